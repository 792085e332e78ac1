"""One job from request to outcome: lock, graph, status, exit code. Every front end calls this."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from agent.state import JobSpec, State
from agent.store import Run, RunState, RunStatus, RunStore
from agent.worker import Worker
from toolchain.errors import AgentError, Interrupted
from toolchain.events import Emit
from toolchain.files import write_atomic

_FINISHED = (0, 3, 4)
"""Exit codes after which there is nothing to go on with: delivered or planned, bad input, original kept."""

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
            "model": self.state.get("candidate"),
            "verdict": verdict,
            "warnings": self.state.get("warnings", []),
        }


def run_job(job: JobSpec, store: RunStore, emit: Emit) -> Outcome:
    """Run `job`, going on where an earlier, unfinished run of the same job stopped. Never raises AgentError."""
    run = store.open(job)
    with run.locked():
        status = _begin(run, job)
        try:
            state = _execute(run, store, status, emit)
            code, message = (4, state.get("reason", "")) if state.get("disposition") == "kept_original" else (0, "")
            outcome = Outcome(run.id, code, message, state)
        except AgentError as error:
            outcome = Outcome(run.id, error.exit_code, str(error))
        except KeyboardInterrupt:
            text = f"stopped; `agent runs resume {run.id}` goes on from here"
            outcome = Outcome(run.id, Interrupted.exit_code, text)
        _end(run, outcome, planned=job.stop_after != "commit")
    return outcome


def _begin(run: Run, job: JobSpec) -> RunStatus:
    """A finished run of the same job starts anew; one that was cut short keeps its work and its checkpoints."""
    status = run.status
    finished = status.exit_code in _FINISHED
    if finished:
        run.clear_work()
    run.work.mkdir(parents=True, exist_ok=True)
    return run.write_status(
        status, job=job, state="running", attempt=status.attempt + finished, exit_code=None, message=""
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
        return execute(status.job, deps, store.checkpoints, f"{status.job_key}:{status.attempt}")


def _end(run: Run, outcome: Outcome, planned: bool) -> None:
    state = _STATE_OF_EXIT.get(outcome.exit_code, "failed")
    if planned and outcome.exit_code == 0:
        state = "planned"
    run.write_status(run.status, state=state, exit_code=outcome.exit_code, message=outcome.message)
    if outcome.exit_code in _FINISHED and state != "planned":
        run.clear_work()
    write_atomic(run.folder / "outcome.json", json.dumps(outcome.summary, indent=2, ensure_ascii=False))
