"""Runs on disk: one folder a run, found again by its job key after a crash.

    <home>/checkpoints.sqlite       LangGraph's checkpoints
    <home>/decisions.jsonl          append-only decision records
    <home>/runs/<run id>/job.json   the request and its key
    <home>/runs/<run id>/status.json
    <home>/runs/<run id>/work/      scan, key frames, segments; removed when the run ends well

<home> is $SDR2HDR_HOME, else the user's state folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.state import JobSpec
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import disk_errors, sha256_file, write_atomic

RunState = Literal["running", "delivered", "kept_original", "failed", "planned", "interrupted"]


class RunStatus(BaseModel):
    """Where a run stands. `exit_code` is what the command returned, None while it runs or after a crash."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    job_key: str
    job: JobSpec
    state: RunState
    attempt: int = 1
    step: str = ""
    exit_code: int | None = None
    message: str = ""
    started_at: float
    updated_at: float


class Run:
    """One run's folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.id = folder.name
        self.work = folder / "work"
        self.log = folder / "worker.log"

    @property
    def status(self) -> RunStatus:
        """Raises UsageError when the folder is not a run of ours."""
        try:
            return RunStatus.model_validate_json((self.folder / "status.json").read_bytes())
        except (OSError, ValidationError):
            raise UsageError(f"run {self.id} cannot be read: `agent runs list` shows the runs there are") from None

    def write_status(self, status: RunStatus, **changes: object) -> RunStatus:
        """Store `status` with `changes` and the present time; returns what was stored."""
        status = status.model_copy(update={**changes, "updated_at": time.time()})
        write_atomic(self.folder / "status.json", status.model_dump_json(indent=2))
        return status

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. The lock goes with the process, however it ends."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EnvironmentNotReady(
                    f"run {self.id} is being worked on by another process: wait for it"
                ) from None
            yield

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

    def open(self, job: JobSpec) -> Run:
        """The run of this job: a new one, or the unfinished one of the same input, settings and version."""
        key = job_key(job)
        run = Run(self.home / "runs" / key[:16])
        with disk_errors(run.folder):
            run.folder.mkdir(exist_ok=True)
        now = time.time()
        if not (run.folder / "status.json").exists():
            run.write_status(
                RunStatus(run_id=run.id, job_key=key, job=job, state="running", started_at=now, updated_at=now)
            )
        return run

    def get(self, run_id: str) -> Run:
        """The run whose id is, or begins with, `run_id`. Raises UsageError for none or several."""
        found = [run for run in self.runs() if run.id.startswith(run_id)] if run_id else []
        if len(found) != 1:
            how_many = "no run" if not found else f"{len(found)} runs"
            raise UsageError(
                f"{how_many} with an id beginning '{run_id}': `agent runs list` shows the runs there are"
            )
        return found[0]

    def runs(self) -> list[Run]:
        """All readable runs, newest first."""
        folders = [path.parent for path in (self.home / "runs").glob("*/status.json")]
        return sorted(map(Run, folders), key=lambda run: run.status.started_at, reverse=True)


def default_home() -> Path:
    """$SDR2HDR_HOME, else the user's state folder (XDG on Linux)."""
    given = os.environ.get("SDR2HDR_HOME")
    return Path(given) if given else platformdirs.user_state_path("sdr2hdr-agent")


def job_key(job: JobSpec) -> str:
    """SHA-256 over the input's content, every setting and the version: the same work has the same key."""
    stat = job.input.stat()
    digest = hashlib.sha256(_content_hash(job.input, stat.st_size, stat.st_mtime_ns).encode())
    digest.update(job.model_copy(update={"overwrite": False}).model_dump_json().encode())
    digest.update(version("sdr2hdr-agent").encode())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def _content_hash(path: Path, _size: int, _mtime_ns: int) -> str:
    """Read once a process while size and time stay: a film has gigabytes."""
    return sha256_file(path)
