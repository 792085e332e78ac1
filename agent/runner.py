"""One job from request to outcome: lock, graph, status, exit code. Every front end calls this."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.state import JobSpec, State
from agent.store import FINISHED, JobIdentity, Run, RunState, RunStatus, RunStore, identify
from agent.worker import Worker
from toolchain.errors import AgentError, Interrupted
from toolchain.events import Emit
from toolchain.files import disk_errors, write_atomic

Collect = Callable[[Run, State], None]
"""Takes what it wants of a run that went well, from its work folder and the graph's last state."""

_STATE_OF_EXIT: dict[int, RunState] = {0: "delivered", 4: "kept_original", 130: "interrupted"}


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `state` is the graph's last state, empty when an error ended it."""

    run_id: str
    exit_code: int
    message: str
    state: State = field(default_factory=State)  # type: ignore[arg-type]

    @property
    def summary(self) -> dict[str, Any]:
        """The result for `--json`: what was chosen and how it was judged."""
        verdict = self.state.get("final_verdict")
        return {
            "run_id": self.run_id,
            "exit_code": self.exit_code,
            "message": self.message,
            "output": self.state.get("job", {}).get("output") if self.exit_code == 0 else None,
            "analyser": self.state.get("analysed"),
            "model": self.state.get("candidate"),
            "verdict": verdict,
            "warnings": self.state.get("warnings", []),
        }


def run_job(
    job: JobSpec,
    store: RunStore,
    emit: Emit,
    identity: JobIdentity | None = None,
    collect: Collect | None = None,
) -> Outcome:
    """Run `job`, going on where an earlier, unfinished run of the same job stopped. Never raises AgentError.

    `identity` saves reading the input again. `collect` is called when all went well, while the run is still held and
    its work folder still there.
    """
    run_id = ""
    try:
        run = store.open(job, identity or identify(job))
        run_id = run.id
        with run.locked():
            return _run_locked(job, store, run, emit, collect)
    except AgentError as error:
        return Outcome(run_id, error.exit_code, str(error))


def _run_locked(job: JobSpec, store: RunStore, run: Run, emit: Emit, collect: Collect | None) -> Outcome:
    status = _begin(run, job)
    try:
        state = _execute(run, store, status, emit)
        code, message = (4, state.get("reason", "")) if state.get("disposition") == "kept_original" else (0, "")
        outcome = Outcome(run.id, code, message, state)
        if collect and code == 0:
            collect(run, state)
    except Interrupted as error:
        outcome = Outcome(run.id, error.exit_code, f"{error}; `agent runs resume {run.id}` goes on from here")
    except AgentError as error:
        outcome = Outcome(run.id, error.exit_code, str(error))
    except KeyboardInterrupt:
        text = f"stopped; `agent runs resume {run.id}` goes on from here"
        outcome = Outcome(run.id, Interrupted.exit_code, text)
    _end(run, job, outcome)
    return outcome


def _begin(run: Run, job: JobSpec) -> RunStatus:
    """A finished run of the same job starts anew; one that was cut short keeps its work and its checkpoints."""
    status = run.status
    if status.finished:
        run.clear_work()
    with disk_errors(run.work):
        run.work.mkdir(parents=True, exist_ok=True)
    return run.write_status(
        status, job=job, state="running", attempt=status.attempt + status.finished, exit_code=None, message=""
    )


def _execute(run: Run, store: RunStore, status: RunStatus, emit: Emit) -> State:
    with Worker(run.log) as process:
        # Imported here, and not before: the worker starts meanwhile.
        from agent.ahead import LookAhead
        from agent.deps import Deps
        from analysis.selection.profile import load_profile

        profile = load_profile(status.job.profile)
        scanned = (run.work / "scan.json").exists()
        worker = process if scanned else LookAhead(process, status.job, profile, run.work)
        # LangGraph takes most of a second to import: the worker probes and scans meanwhile.
        from agent.graph import execute

        deps = Deps(run, store, worker, profile, emit)
        # With the time of its start: a run that was removed and begun again finds nobody else's checkpoints.
        thread_id = f"{status.job_key}:{status.started_at:.6f}:{status.attempt}"
        return execute(status.job, deps, store.checkpoints, thread_id)


def _end(run: Run, job: JobSpec, outcome: Outcome) -> None:
    state = _STATE_OF_EXIT.get(outcome.exit_code, "failed")
    if job.stop_after != "commit" and outcome.exit_code == 0:
        state = "planned"
    run.write_status(run.status, state=state, exit_code=outcome.exit_code, message=outcome.message)
    if outcome.exit_code in FINISHED:
        run.clear_work()
        run.clear_partials(job.output.parent)
    write_atomic(run.folder / "outcome.json", json.dumps(outcome.summary, indent=2, ensure_ascii=False))
