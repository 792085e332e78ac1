"""Where are the cuts, and what is measured on each shot? One decode pass, kept in the run's work folder."""

from __future__ import annotations

from agent.deps import Deps
from agent.state import JobSpec, State
from agent.tasks.messages import ScanRequest, ScanSummary
from toolchain.video.facts import MediaFacts


def shots(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    request = ScanRequest(
        path=job.input,
        facts=MediaFacts.model_validate(state["facts"]),
        work=deps.run.work,
        key_frames_per_shot=deps.profile.pilot_frames_per_shot,
        max_key_frames=deps.profile.max_pilot_frames,
    )
    summary = deps.worker.call("scan", request, ScanSummary, deps.emit)
    return {"warnings": [*state["warnings"], *summary.warnings]}
