"""Give the verified file its name, with a manifest beside it that says what was done and why."""

from __future__ import annotations

from pathlib import Path

from agent.deps import Deps
from agent.nodes.render import render
from agent.outputs import manifest_path
from agent.records import append_record, manifest
from agent.state import JobSpec, State
from toolchain.errors import EnvironmentNotReady
from toolchain.files import publish, sha256_file, write_atomic


def commit(state: State, deps: Deps) -> State:
    """Idempotent: after a crash it finds what was done by the file's digest, and goes on.

    The manifest is written first, under a temporary name: a disk without room for it never gets the video either.
    When the disk is full nothing stays in the output's folder; a resumed run muxes its segments again.
    """
    job = JobSpec.model_validate(state["job"])
    temporary = Path(state["temporary"])
    digest = state["rendered"]["sha256"]
    if not temporary.exists() and not _delivered(job.output, digest):
        render(state, deps)
    prepared = temporary.with_suffix(".json")
    try:
        write_atomic(prepared, manifest(state, deps))
        if temporary.exists():
            publish(temporary, job.output, job.overwrite)
        publish(prepared, manifest_path(job.output), overwrite=True)
    except EnvironmentNotReady:
        temporary.unlink(missing_ok=True)
        prepared.unlink(missing_ok=True)
        raise
    append_record(state, deps, "delivered")
    return {"disposition": "delivered"}


def _delivered(output: Path, digest: str) -> bool:
    return output.exists() and sha256_file(output) == digest
