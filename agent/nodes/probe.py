"""What exactly is this file? One that is HDR already, or too small or large for the codec, ends the run here."""

from __future__ import annotations

from agent.controls import output_for
from agent.deps import Deps
from agent.requests import probe_request
from agent.state import JobSpec, State
from toolchain.video.facts import MediaFacts


def probe(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    facts = deps.worker.call("probe", probe_request(job), MediaFacts, deps.emit)
    if facts.video is not None and job.stop_after != "analyse":
        output_for(job, deps.profile, facts.video).check_size(facts.video.width, facts.video.height)
    return {"facts": facts.model_dump(mode="json"), "warnings": []}
