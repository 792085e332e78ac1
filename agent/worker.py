"""The child process that touches media, and the parent's handle on it.

Untrusted media is decoded, and encoders run, in one killable child with resource limits. Parent and child speak
JSON lines: a request names a task of `agent.tasks` and carries its pydantic request; the child answers with events
and one result or one error. The child dies with its parent, so a killed run leaves nobody writing.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from toolchain.errors import ERROR_BY_NAME, AgentError, EnvironmentNotReady, InputError, UsageError
from toolchain.events import Emit, Event
from toolchain.files import DISK_FULL

Result = TypeVar("Result", bound=BaseModel)

STALL_TIMEOUT_S: dict[str, float] = {
    "probe": 300.0,
    "scan": 900.0,
    "analyse": 3600.0,
    "render": 1800.0,
    "score": 900.0,
    "verify": 3600.0,
}
"""A task that reports nothing for so long is taken for hung, e.g. by a hostile file. The others say nothing while a
disk copies a film; what they read was decoded once before."""

_FIRST_LOOKS = ("probe", "scan", "score")
"""Tasks that meet a file for the first time: when they crash, the file is to blame; later ones are our own doing."""

_EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
_PR_SET_PDEATHSIG = 1


class Worker:
    """Starts the child at once; `call` runs one task after another in it. Use as a context manager."""

    def __init__(self, log: Path, memory_gib: float | None = None):
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                # -P: a folder that the user happens to be in must not lend us its av.py.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "agent.worker",
                    str(os.getpid()),
                    str(memory_gib or _memory_limit_gib()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                # Products of pixels and 3x3 matrices: BLAS threads would only wait for each other.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - Popen was given a pipe
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def call(
        self, task: str, request: BaseModel, result: type[Result], emit: Emit, *, foreign: bool = False
    ) -> Result:
        """Run `task` in the child, forwarding its events to `emit`.

        Raises the child's own AgentError. A hang or crash is the input's fault (InputError) in the tasks that meet it
        first, and where `foreign` says that this one does; else it leaves the run resumable (EnvironmentNotReady,
        AgentError).
        """
        self._send({"task": task, "request": request.model_dump(mode="json")})
        while True:
            message = self._receive(task, foreign)
            match message["kind"]:
                case "event":
                    emit(_EVENTS.validate_python(message["event"]))
                case "error":
                    raise ERROR_BY_NAME.get(message["name"], AgentError)(message["message"])
                case _:
                    return result.model_validate(message["result"])

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise EnvironmentNotReady(f"the worker process could not be started: see {self._log}") from None

    def _receive(self, task: str, foreign: bool) -> dict[str, Any]:
        limit_s = STALL_TIMEOUT_S.get(task)
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self.close()
            kind = InputError if foreign or task in _FIRST_LOOKS else EnvironmentNotReady
            raise kind(
                f"step `{task}` made no progress for {limit_s:.0f} s and was stopped; see {self._log}"
            ) from None
        if line is None:
            raise _death(task, self._process.wait(), self._log, foreign)
        return json.loads(line)

    @property
    def alive(self) -> bool:
        """False once the child has crashed or been stopped: a new one is needed."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the child, by force if it is busy."""
        self._process.kill()
        self._process.wait()


def _death(task: str, status: int, log: Path, foreign: bool = False) -> AgentError:
    """Why the child ended in the middle of `task`; `foreign`: it met a file of unknown origin."""
    if status == -signal.SIGKILL:
        return EnvironmentNotReady(
            f"step `{task}` was killed (signal SIGKILL), probably for lack of memory: free some, then resume the run"
        )
    cause = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    if foreign or task in _FIRST_LOOKS:
        return InputError(f"step `{task}` crashed on this input ({cause}): it may be damaged or hostile; see {log}")
    return AgentError(
        f"step `{task}` crashed ({cause}): resume the run, and report it with {log} if it does so again"
    )


def _memory_limit_gib() -> float:
    given = os.environ.get("SDR2HDR_WORKER_MEMORY_GIB", "16")
    try:
        limit = float(given)
    except ValueError:
        limit = 0.0
    if not 1.0 <= limit <= 4096.0:
        raise UsageError(f"SDR2HDR_WORKER_MEMORY_GIB is '{given}': a number of GiB from 1 to 4096 is needed")
    return limit


def die_with_parent(parent_pid: int | None = None) -> None:
    """Ask the kernel to end this process when its parent ends; exits at once if the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(1)


def _limit_resources(memory_gib: float) -> None:
    limit_bytes = int(memory_gib * (1 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve() -> None:
    # Libraries print to file descriptor 1 now and then; the protocol keeps a descriptor of its own.
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with lock:
            protocol.write(json.dumps(message) + "\n")

    def emit(event: Event) -> None:
        send({"kind": "event", "event": event.model_dump(mode="json")})

    from agent import tasks

    threading.Thread(target=tasks.preload, daemon=True).start()
    for line in sys.stdin:
        message = json.loads(line)
        try:
            send({"kind": "result", "result": tasks.run(message["task"], message["request"], emit)})
        except Exception as error:
            traceback.print_exc()
            own = _as_own_error(error)
            name = next(base.__name__ for base in type(own).__mro__ if base.__name__ in ERROR_BY_NAME)
            send({"kind": "error", "name": name, "message": str(own)})


def _as_own_error(error: Exception) -> AgentError:
    """Every failure of a task in our own words; what nobody foresaw is a bug of ours (exit code 1)."""
    if isinstance(error, AgentError):
        return error
    if isinstance(error, MemoryError):
        return EnvironmentNotReady(
            "the picture needs more memory than the worker may use: raise SDR2HDR_WORKER_MEMORY_GIB"
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return EnvironmentNotReady("the disk is full: free some space, then run the same command again")
    return AgentError(f"internal error, {type(error).__name__}: {error}; please report it with the run's worker.log")


def _main() -> None:
    die_with_parent(int(sys.argv[1]))
    # Ctrl-C reaches the whole process group; the parent decides, and ends this process itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_resources(float(sys.argv[2]))
    _serve()


if __name__ == "__main__":
    _main()
