"""Runs on disk: one folder a run, found again by its job key after a crash.

    <home>/checkpoints.sqlite          LangGraph's checkpoints
    <home>/decisions.jsonl             append-only decision records
    <home>/runs/<run id>/status.json   the request, its key and where the run stands
    <home>/runs/<run id>/outcome.json  the result, once there is one
    <home>/runs/<run id>/lock          held while a process works on the run
    <home>/runs/<run id>/worker.log    what libraries said
    <home>/runs/<run id>/work/         scan, key frames, segments; removed when the run is finished

<home> is $SDR2HDR_HOME, else the user's state folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.state import JobSpec
from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.files import disk_errors, sha256_file, write_atomic

RunState = Literal["running", "delivered", "kept_original", "failed", "planned", "interrupted"]

FINISHED = (0, 3, 4)
"""Exit codes after which there is nothing to go on with: delivered or planned, bad input, original kept."""

_LOCK_PATIENCE_S = 0.5
"""`runs list` asks for a run's lock for an instant: who wants to work on the run outlasts that."""


@dataclass(frozen=True)
class JobIdentity:
    """SHA-256 of the input's content, and the key over that and everything else that decides the result."""

    key: str
    input_sha256: str


class RunStatus(BaseModel):
    """Where a run stands. `exit_code` is what the command returned, None while it runs or after a crash."""

    model_config = ConfigDict(extra="ignore")  # a newer version may have written it

    run_id: str
    job_key: str
    input_sha256: str = ""
    job: JobSpec
    state: RunState
    attempt: int = 1
    step: str = ""
    exit_code: int | None = None
    message: str = ""
    started_at: float
    updated_at: float

    @property
    def finished(self) -> bool:
        """There is nothing to resume."""
        return self.exit_code in FINISHED


class Run:
    """One run's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.id = folder.name
        self.work = folder / "work"
        self.log = folder / "worker.log"

    @property
    def status(self) -> RunStatus:
        """Raises UsageError when the file is missing, damaged or not ours."""
        try:
            return RunStatus.model_validate_json((self.folder / "status.json").read_bytes())
        except (OSError, ValidationError):
            raise UsageError(f"run {self.id} cannot be read: `agent runs remove {self.id}` removes it") from None

    def write_status(self, status: RunStatus, **changes: object) -> RunStatus:
        """Store `status` with `changes` and the present time; returns what was stored."""
        status = status.model_copy(update={**changes, "updated_at": time.time()})
        write_atomic(self.folder / "status.json", status.model_dump_json(indent=2))
        return status

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. The lock goes with the process, however it ends."""
        with disk_errors(self.folder):
            file = (self.folder / "lock").open("w")
        with file:
            self._take(file)
            yield

    def _take(self, file: IO[str]) -> None:
        deadline_s = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise EnvironmentNotReady(
                        f"run {self.id} is being worked on by another process: wait for it"
                    ) from None
                time.sleep(0.02)

    @property
    def held(self) -> bool:
        """A process works on the run. Askers share the lock: they do not take each other for that process."""
        try:
            file = (self.folder / "lock").open()
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def remove(self) -> None:
        """Remove the run and what it left beside its output. Raises EnvironmentNotReady while it is held."""
        with self.locked():
            with suppress(UsageError):  # what cannot be read can be removed all the same
                self.clear_partials(self.status.job.output.parent)
            with disk_errors(self.folder):
                shutil.rmtree(self.folder)

    def clear_partials(self, folder: Path) -> None:
        """Remove the unfinished files that this run left in its output's folder."""
        with suppress(OSError):  # hidden leftovers are no reason to fail a run that is over
            for path in folder.glob(f".*{self.id}.partial*"):
                path.unlink(missing_ok=True)

    def clear_work(self) -> None:
        """Remove the large intermediate files; the record of the run stays."""
        shutil.rmtree(self.work, ignore_errors=True)


class RunStore:
    """All runs of this user."""

    def __init__(self, home: Path | None = None):
        self.home = home or default_home()
        with disk_errors(self.home):
            (self.home / "runs").mkdir(parents=True, exist_ok=True)
        self.checkpoints = self.home / "checkpoints.sqlite"
        self.decisions = self.home / "decisions.jsonl"

    def open(self, job: JobSpec, identity: JobIdentity) -> Run:
        """The run of this job: a new one, or the unfinished one of the same input, settings and version."""
        run = Run(self.home / "runs" / identity.key[:16])
        with disk_errors(run.folder):
            run.folder.mkdir(exist_ok=True)
        now = time.time()
        if not (run.folder / "status.json").exists():
            run.write_status(
                RunStatus(
                    run_id=run.id,
                    job_key=identity.key,
                    input_sha256=identity.input_sha256,
                    job=job,
                    state="running",
                    started_at=now,
                    updated_at=now,
                )
            )
        return run

    def get(self, run_id: str) -> Run:
        """The run whose id is, or begins with, `run_id`, readable or not. Raises UsageError for none or several."""
        names = [folder.name for folder in self._folders()]
        found = [run_id] if run_id in names else [name for name in names if run_id and name.startswith(run_id)]
        if len(found) != 1:
            how_many = "no run" if not found else f"{len(found)} runs"
            raise UsageError(
                f"{how_many} with an id beginning '{run_id}': `agent runs list` shows the runs there are"
            )
        return Run(self.home / "runs" / found[0])

    def runs(self) -> tuple[list[Run], list[Run]]:
        """All readable runs, newest first, and those that are damaged or not ours."""
        started_at: dict[Run, float] = {}
        unreadable: list[Run] = []
        for run in map(Run, self._folders()):
            try:
                started_at[run] = run.status.started_at
            except UsageError:
                unreadable.append(run)
        return sorted(started_at, key=started_at.__getitem__, reverse=True), unreadable

    def _folders(self) -> list[Path]:
        return [path.parent for path in (self.home / "runs").glob("*/status.json")]


def default_home() -> Path:
    """$SDR2HDR_HOME, else the user's state folder (XDG on Linux)."""
    given = os.environ.get("SDR2HDR_HOME")
    return Path(given) if given else platformdirs.user_state_path("sdr2hdr-agent")


def identify(job: JobSpec) -> JobIdentity:
    """Reads the whole input. The same content, settings, catalogue and version have the same key.

    Raises InputError when the input cannot be read.
    """
    try:
        input_sha256 = sha256_file(job.input)
    except OSError as error:
        raise InputError(f"{job.input} cannot be read ({error.strerror}): check the file") from error
    digest = hashlib.sha256(input_sha256.encode())
    digest.update(job.model_copy(update={"overwrite": False}).model_dump_json().encode())
    digest.update(version("sdr2hdr-agent").encode())
    digest.update(configs_sha256().encode())
    return JobIdentity(digest.hexdigest(), input_sha256)


@cache
def configs_sha256() -> str:
    """Over all profiles, gates and data sheets: whoever edits one gets a new run instead of an old one's work."""
    return folder_sha256(files("configs"))


def folder_sha256(folder: Traversable) -> str:
    """Hex SHA-256 over names and content of the YAML files in `folder` and below, in the order of their names."""
    digest = hashlib.sha256()
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            digest.update(f"{entry.name} {folder_sha256(entry)}\n".encode())
        elif entry.name.endswith(".yaml"):
            digest.update(f"{entry.name} {hashlib.sha256(entry.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
