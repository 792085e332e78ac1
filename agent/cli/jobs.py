"""Run a job and show it: shared by `process`, `plan`, `analyze` and `runs resume`."""

from __future__ import annotations

from agent.cli.render import JsonEvents, human_events, show, tell
from agent.runner import Collect, Outcome, run_job
from agent.state import JobSpec
from agent.store import JobIdentity, RunStore, identify


def execute_job(job: JobSpec, store: RunStore, events: JsonEvents | None, identity: JobIdentity | None = None) -> int:
    """Run the job with the front end that was asked for; prints the result and returns the exit code."""
    outcome = run_with_front_end(job, store, events, identity)
    if events is None:
        _tell(job, outcome)
    return outcome.exit_code


def run_with_front_end(
    job: JobSpec,
    store: RunStore,
    events: JsonEvents | None,
    identity: JobIdentity | None = None,
    collect: Collect | None = None,
) -> Outcome:
    """Run the job; with `events` the last line on stdout is job.completed, job.kept_original or job.failed.

    `identity` and `collect` as in `run_job`.
    """
    identity = identity or identify(job)
    if events is not None:
        events.job_key = identity.key
        outcome = run_job(job, store, events, identity, collect)
        last = {0: "job.completed", 4: "job.kept_original"}.get(outcome.exit_code, "job.failed")
        events.write({"type": last, **outcome.summary})
    else:
        with human_events() as emit:
            outcome = run_job(job, store, emit, identity, collect)
    if outcome.exit_code not in (0, 4):
        tell(f"error: {outcome.message}")
    return outcome


def _tell(job: JobSpec, outcome: Outcome) -> None:
    if outcome.exit_code == 4:
        tell(f"kept the original: {outcome.message}")
    elif outcome.exit_code == 0 and job.stop_after == "pilot":
        for verdict in outcome.state.get("pilot_verdicts", []):
            show(f"{verdict['model_id']:<10} {verdict['outcome'].replace('_', ' '):<15} {verdict['reason']}")
        show(f"would render with {outcome.state.get('candidate') or 'nothing: the original would be kept'}")
    elif outcome.exit_code == 0:
        show(job.output)
        tell(f"delivered with {outcome.state.get('candidate')}{_light(outcome)}: {_verdict(outcome)}")


def _light(outcome: Outcome) -> str:
    rendered = outcome.state.get("rendered", {})
    if rendered.get("max_cll") is None:
        return ""
    return f", MaxCLL {rendered['max_cll']} and MaxFALL {rendered['max_fall']} nits"


def _verdict(outcome: Outcome) -> str:
    return str(outcome.state.get("final_verdict", {}).get("reason", ""))
