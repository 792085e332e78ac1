"""The child process: its errors arrive as ours, and its death is never silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.tasks.messages import ProbeRequest
from agent.worker import Worker, _death
from toolchain.errors import AgentError, InputError, UsageError
from toolchain.events import ignore
from toolchain.video.facts import MediaFacts


def test_errors_of_the_child_keep_their_class_and_sentence(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a video")
    with Worker(tmp_path / "log") as worker, pytest.raises(InputError, match=r"notes\.txt"):
        worker.call("probe", ProbeRequest(path=text), MediaFacts, ignore)


def test_an_unknown_task_is_our_bug(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker, pytest.raises(AgentError, match="unknown task"):
        worker.call("sabotage", ProbeRequest(path=tmp_path), MediaFacts, ignore)


def test_a_killed_child_is_reported_with_its_signal(tmp_path: Path) -> None:
    with Worker(tmp_path / "log") as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(AgentError, match=r"SIGKILL|could not be started"):
            worker.call("probe", ProbeRequest(path=tmp_path), MediaFacts, ignore)


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from agent.worker import Worker\n"
        f"worker = Worker(pathlib.Path({str(tmp_path / 'log')!r}))\n"
        "print(worker._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(1.0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def test_a_module_in_the_users_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A downloads folder may hold an av.py."""
    (tmp_path / "av.py").write_text("raise SystemExit('poisoned')")
    text = tmp_path / "notes.txt"
    text.write_text("not a video")
    monkeypatch.chdir(tmp_path)
    with Worker(tmp_path / "log") as worker, pytest.raises(InputError, match=r"notes\.txt"):
        worker.call("probe", ProbeRequest(path=text), MediaFacts, ignore)


@pytest.mark.parametrize("value", ["abc", "0", "-1", "1e9"])
def test_a_memory_limit_that_is_none_is_a_usage_error(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDR2HDR_WORKER_MEMORY_GIB", value)
    with pytest.raises(UsageError, match="SDR2HDR_WORKER_MEMORY_GIB"):
        Worker(tmp_path / "log")


@pytest.mark.parametrize(
    ("task", "foreign", "error"),
    [
        ("scan", False, InputError),
        ("score", False, InputError),
        ("verify", False, AgentError),
        ("verify", True, InputError),
    ],
)
def test_a_crash_is_the_inputs_fault_only_at_first_sight(
    task: str, foreign: bool, error: type[AgentError], tmp_path: Path
) -> None:
    """A run that crashed later keeps its segments: its error is not one of those that end it. `agent verify` meets
    its output in the task `verify` for the first time."""
    assert type(_death(task, -signal.SIGSEGV, tmp_path / "log", foreign)) is error


def _alive(pid: int) -> bool:
    """Running, and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
