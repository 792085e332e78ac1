"""`agent runs list|show|resume`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from agent.cli.commands import JsonOption
from agent.cli.jobs import execute_job
from agent.store import Run, RunStatus, RunStore
from toolchain.errors import EnvironmentNotReady, UsageError

app = typer.Typer(help="Look at runs, and go on with one that was stopped.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or its beginning.")]


@app.command("list")
def list_runs(json_output: JsonOption = False) -> int:
    """List all runs, newest first."""
    for run in RunStore().runs():
        status = run.status
        if json_output:
            sys.stdout.write(status.model_dump_json() + "\n")
        else:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.started_at))
            sys.stdout.write(f"{status.run_id}  {started}  {_state(run, status):<14} {status.job.input}\n")
    return 0


@app.command("show")
def show_run(run_id: RunId, json_output: JsonOption = False) -> int:
    """Show one run: its request, where it stands and how it was judged."""
    run = RunStore().get(run_id)
    status = run.status
    if json_output:
        sys.stdout.write(status.model_dump_json() + "\n")
        return 0
    rows = {
        "run": status.run_id,
        "state": _state(run, status),
        "step": status.step,
        "exit code": status.exit_code,
        "message": status.message,
        "input": status.job.input,
        "output": status.job.output,
        "attempt": status.attempt,
        "folder": run.folder,
    }
    sys.stdout.write("".join(f"{name:<10} {value}\n" for name, value in rows.items() if value not in ("", None)))
    outcome = run.folder / "outcome.json"
    if outcome.exists():
        sys.stdout.write(outcome.read_text() + "\n")
    return 0


@app.command("resume")
def resume_run(run_id: RunId, json_events: JsonOption = False) -> int:
    """Go on with a run that was stopped or killed, at the first missing piece."""
    store = RunStore()
    run = store.get(run_id)
    status = run.status
    if status.exit_code in (0, 3, 4):
        raise UsageError(f"run {run.id} is finished ({status.state}): there is nothing to resume")
    if not status.job.input.exists():
        raise UsageError(f"run {run.id} cannot go on: its input {status.job.input} is gone")
    if store.open(status.job).id != run.id:
        raise UsageError(f"run {run.id} cannot go on: its input {status.job.input} has changed; start a new run")
    return execute_job(status.job, store, json_events)


def _state(run: Run, status: RunStatus) -> str:
    """A run that says `running` but is held by nobody was killed."""
    if status.state != "running":
        return status.state
    try:
        with run.locked():
            return "killed"
    except EnvironmentNotReady:
        return "running"
