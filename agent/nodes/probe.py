"""What exactly is this file? An input that is HDR already ends the run here."""

from __future__ import annotations

from agent.deps import Deps
from agent.state import JobSpec, State
from agent.tasks.messages import ProbeRequest
from toolchain.video.facts import MediaFacts


def probe(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    facts = deps.worker.call("probe", ProbeRequest(path=job.input), MediaFacts, deps.emit)
    return {"facts": facts.model_dump(mode="json"), "warnings": []}
