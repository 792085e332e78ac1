"""Runs on disk: found again by their key, locked while worked on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.state import JobSpec
from agent.store import RunStore, job_key
from toolchain.errors import EnvironmentNotReady, UsageError


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"content")
    return JobSpec(input=source, output=tmp_path / "out.mp4")


def test_the_same_job_is_the_same_run(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    run = store.open(job)
    assert store.open(job.model_copy(update={"overwrite": True})).id == run.id
    assert store.open(job.model_copy(update={"profile": "fast"})).id != run.id
    assert store.get(run.id[:6]).status.job == job


def test_other_content_is_another_run(job: JobSpec) -> None:
    before = job_key(job)
    job.input.write_bytes(b"changed")
    assert job_key(job) != before


def test_a_run_is_held_by_one_process(job: JobSpec, tmp_path: Path) -> None:
    run = RunStore(tmp_path / "home").open(job)
    with run.locked(), pytest.raises(EnvironmentNotReady, match="another process"), run.locked():
        raise AssertionError("the lock was taken twice")


def test_unknown_ambiguous_and_damaged_runs_are_usage_errors(job: JobSpec, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    with pytest.raises(UsageError, match="no run"):
        store.get("zzz")
    with pytest.raises(UsageError, match="no run"):
        store.get("")
    run = store.open(job)
    (run.folder / "status.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        _ = run.status


def test_status_survives_a_round_trip(job: JobSpec, tmp_path: Path) -> None:
    run = RunStore(tmp_path / "home").open(job)
    run.write_status(run.status, state="delivered", exit_code=0)
    assert (run.status.state, run.status.exit_code) == ("delivered", 0)
