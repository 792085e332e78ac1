"""Run a job and show it: shared by `process`, `plan`, `analyze` and `runs resume`."""

from __future__ import annotations

import sys

from agent.cli.render import JsonEvents, human_events
from agent.runner import Outcome, run_job
from agent.state import JobSpec
from agent.store import RunStore, job_key


def execute_job(job: JobSpec, store: RunStore, json_events: bool) -> int:
    """Run the job with the front end that was asked for; prints the result and returns the exit code."""
    outcome = run_with_front_end(job, store, json_events)
    if job.stop_after != "commit":
        store.get(outcome.run_id).clear_work()
    if not json_events:
        _tell(job, outcome)
    return outcome.exit_code


def run_with_front_end(job: JobSpec, store: RunStore, json_events: bool) -> Outcome:
    """Run the job; with `json_events` the last line on stdout is job.completed, job.kept_original or job.failed."""
    if json_events:
        events = JsonEvents(job_key(job))
        outcome = run_job(job, store, events)
        last = {0: "job.completed", 4: "job.kept_original"}.get(outcome.exit_code, "job.failed")
        events.write({"type": last, **outcome.summary})
    else:
        with human_events() as emit:
            outcome = run_job(job, store, emit)
    if outcome.exit_code not in (0, 4):
        sys.stderr.write(f"error: {outcome.message}\n")
    return outcome


def _tell(job: JobSpec, outcome: Outcome) -> None:
    for warning in outcome.state.get("warnings", []):
        sys.stderr.write(f"warning: {warning}\n")
    if outcome.exit_code == 4:
        sys.stderr.write(f"kept the original: {outcome.message}\n")
    elif outcome.exit_code == 0 and job.stop_after == "pilot":
        for verdict in outcome.state.get("pilot_verdicts", []):
            sys.stdout.write(
                f"{verdict['model_id']:<10} {verdict['outcome'].replace('_', ' '):<15} {verdict['reason']}\n"
            )
        sys.stdout.write(
            f"would render with {outcome.state.get('candidate') or 'nothing: the original would be kept'}\n"
        )
    elif outcome.exit_code == 0:
        sys.stdout.write(f"{job.output}\n")
        sys.stderr.write(f"delivered with {outcome.state.get('candidate')}{_light(outcome)}: {_verdict(outcome)}\n")


def _light(outcome: Outcome) -> str:
    rendered = outcome.state.get("rendered", {})
    if rendered.get("max_cll") is None:
        return ""
    return f", MaxCLL {rendered['max_cll']} and MaxFALL {rendered['max_fall']} nits"


def _verdict(outcome: Outcome) -> str:
    return str(outcome.state.get("final_verdict", {}).get("reason", ""))
