"""One job, whatever happens: an outcome, a status that tells it, and no leftovers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import runner
from agent.runner import run_job
from agent.state import JobSpec
from agent.store import Run, RunStore, identify
from toolchain.errors import AgentError, EnvironmentNotReady, InputError, Interrupted
from toolchain.events import ignore


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"content")
    return JobSpec(input=source, output=tmp_path / "out.mp4")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


def execute_as(monkeypatch: pytest.MonkeyPatch, work: Callable[[Run], Any]) -> None:
    """Stand in for the graph."""
    monkeypatch.setattr(runner, "_execute", lambda run, *_: work(run))


def fail_with(error: BaseException) -> Callable[[Run], Any]:
    def work(_: Run) -> Any:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "state", "kept"),
    [
        (InputError("bad"), 3, "failed", False),
        (EnvironmentNotReady("full"), 5, "failed", True),
        (AgentError("bug"), 1, "failed", True),
        (Interrupted("nobody reads"), 130, "interrupted", True),
        (KeyboardInterrupt(), 130, "interrupted", True),
    ],
)
def test_every_end_is_an_outcome(
    error: BaseException,
    code: int,
    state: str,
    kept: bool,
    job: JobSpec,
    store: RunStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What can be gone on with stays; what cannot leaves neither work nor a partial file."""
    run = store.open(job, identify(job))
    partial = job.output.with_name(f".{run.id}.partial.mp4")
    partial.touch()
    execute_as(monkeypatch, fail_with(error))
    outcome = run_job(job, store, ignore)
    assert (outcome.run_id, outcome.exit_code, run.status.exit_code, run.status.state) == (run.id, code, code, state)
    assert ("agent runs resume" in outcome.message) == (code == 130)
    assert (run.work.exists(), partial.exists()) == (kept, kept)


def test_what_fails_before_the_run_is_an_outcome_too(job: JobSpec, store: RunStore) -> None:
    identity = identify(job)
    run = store.open(job, identity)
    with run.locked():
        held = run_job(job, store, ignore, identity)
    assert (held.exit_code, held.run_id) == (5, run.id)
    assert "another process" in held.message
    job.input.unlink()
    gone = run_job(job, store, ignore)
    assert (gone.exit_code, gone.run_id) == (3, "")


def test_results_are_collected_while_the_run_is_held(
    job: JobSpec, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_as(monkeypatch, lambda run: (run.work / "result").write_text("42") and {})
    found: list[tuple[str, bool]] = []
    planned = job.model_copy(update={"stop_after": "plan"})
    outcome = run_job(
        planned, store, ignore, collect=lambda r, _: found.append(((r.work / "result").read_text(), r.held))
    )
    run = store.get(outcome.run_id)
    assert found == [("42", True)]
    assert (run.status.state, run.work.exists(), run.held) == ("planned", False, False)


def test_a_run_begun_again_after_its_removal_has_checkpoints_of_its_own(
    job: JobSpec, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    monkeypatch.setattr("agent.graph.execute", lambda _job, _deps, _path, thread: threads.append(thread) or {})
    monkeypatch.setattr("agent.ahead.LookAhead", lambda process, *_: process)
    for _ in range(2):
        store.get(run_job(job, store, ignore).run_id).remove()
    assert len(set(threads)) == 2
