"""Give the verified file its name, with a manifest beside it that says what was done and why."""

from __future__ import annotations

from pathlib import Path

from agent.deps import Deps
from agent.records import append_record, manifest, manifest_path
from agent.state import JobSpec, State
from toolchain.files import publish, write_atomic


def commit(state: State, deps: Deps) -> State:
    """Idempotent: a crash between the rename and the checkpoint finds the output in place and goes on."""
    job = JobSpec.model_validate(state["job"])
    temporary = Path(state["temporary"])
    if temporary.exists():
        publish(temporary, job.output, job.overwrite)
    write_atomic(manifest_path(job.output), manifest(state, deps))
    append_record(state, deps, "delivered")
    return {"disposition": "delivered"}
