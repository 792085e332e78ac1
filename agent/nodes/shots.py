"""Where are the cuts, and what is measured on each shot? One decode pass, kept in the run's work folder."""

from __future__ import annotations

from agent.deps import Deps
from agent.requests import scan_request
from agent.state import JobSpec, State
from agent.tasks.messages import ScanSummary
from toolchain.video.facts import MediaFacts


def shots(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    request = scan_request(job.input, deps.profile, deps.run.work, MediaFacts.model_validate(state["facts"]))
    summary = deps.worker.call("scan", request, ScanSummary, deps.emit)
    return {"warnings": [*state["warnings"], *summary.warnings]}
