"""What is the video like? The engine that the job or its profile chose looks at it; what answered is recorded."""

from __future__ import annotations

from agent.deps import Deps
from agent.state import JobSpec, State
from agent.tasks.messages import AnalyseRequest, AnalyseResult
from toolchain.video.facts import MediaFacts


def analyse(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    request = AnalyseRequest(
        path=job.input,
        facts=MediaFacts.model_validate(state["facts"]),
        work=deps.run.work,
        analyser=job.analyser or deps.profile.analyser,
    )
    result = deps.worker.call("analyse", request, AnalyseResult, deps.emit)
    fell_back = result.analysed.fell_back
    warnings = [f"{fell_back}; the report is made of measured signals"] if fell_back else []
    return {
        "description": result.description,
        "analysed": result.analysed.model_dump(mode="json"),
        "warnings": [*state["warnings"], *warnings],
    }
