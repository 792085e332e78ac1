"""`agent runs list|show|resume|remove`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from agent.cli.commands import JsonOption
from agent.cli.jobs import execute_job
from agent.cli.render import json_events, show, tell, write_line
from agent.store import JobIdentity, Run, RunStatus, RunStore, identify
from toolchain.errors import UsageError

app = typer.Typer(help="Look at runs, go on with one that was stopped, or remove one.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or its beginning.")]


@app.command("list")
def list_runs(json_output: JsonOption = False) -> int:
    """List all runs, newest first."""
    runs, unreadable = RunStore().runs()
    for run in runs:
        status = run.status
        if json_output:
            write_line(sys.stdout, status.model_dump_json())
        else:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.started_at))
            show(f"{status.run_id}  {started}  {_state(run, status):<14} {status.job.input}")
    for run in unreadable:
        tell(f"warning: {run.id} cannot be read: `agent runs remove {run.id}` removes it")
    return 0


@app.command("show")
def show_run(run_id: RunId, json_output: JsonOption = False) -> int:
    """Show one run: its request, where it stands and how it was judged."""
    run = RunStore().get(run_id)
    status = run.status
    if json_output:
        write_line(sys.stdout, status.model_dump_json())
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
    for name, value in rows.items():
        if value not in ("", None):
            show(f"{name:<10} {value}")
    outcome = run.folder / "outcome.json"
    if outcome.exists():
        for line in outcome.read_text(errors="replace").split("\n"):
            show(line)
    return 0


@app.command("resume")
def resume_run(run_id: RunId, as_json: JsonOption = False) -> int:
    """Go on with a run that was stopped or killed, at the first missing piece."""
    with json_events(as_json) as events:
        store = RunStore()
        run = store.get(run_id)
        status = run.status
        return execute_job(status.job, store, events, _identity_to_resume(run, status))


@app.command("remove")
def remove_run(run_id: RunId) -> int:
    """Forget a run: its record, its work and what it left beside its output. The output itself stays."""
    run = RunStore().get(run_id)
    run.remove()
    tell(f"run {run.id} is removed")
    return 0


def _identity_to_resume(run: Run, status: RunStatus) -> JobIdentity:
    """UsageError unless going on would make what the run set out to make."""
    if status.finished:
        raise UsageError(f"run {run.id} is finished ({status.state}): there is nothing to resume")
    if not status.job.input.exists():
        raise UsageError(f"run {run.id} cannot go on: its input {status.job.input} is gone")
    identity = identify(status.job)
    if identity.key != status.job_key:
        same_input = identity.input_sha256 == status.input_sha256
        changed = "this program or its configuration" if same_input else f"its input {status.job.input}"
        raise UsageError(f"run {run.id} cannot go on: {changed} has changed; start a new run")
    return identity


def _state(run: Run, status: RunStatus) -> str:
    """A run that says `running` but is held by nobody was killed."""
    return "killed" if status.state == "running" and not run.held else status.state
