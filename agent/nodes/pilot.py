"""What do the best candidates, and doing nothing, really do to the sampled frames?"""

from __future__ import annotations

from agent import routing
from agent.controls import controls_for
from agent.deps import Deps
from agent.state import JobSpec, State
from agent.tasks.messages import PilotRequest, PilotResult
from analysis.schema import Plan
from analysis.selection.profile import gates_path
from toolchain.video.facts import MediaFacts


def pilot(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    request = PilotRequest(
        facts=MediaFacts.model_validate(state["facts"]),
        work=deps.run.work,
        plan=Plan.model_validate(state["plan_record"]),
        controls=controls_for(job, deps.profile),
        limits=gates_path(deps.profile),
    )
    result = deps.worker.call("pilot", request, PilotResult, deps.emit)
    ranking = list(result.ranking[: deps.profile.max_attempts])
    candidate = routing.next_candidate({**state, "attempt": 0, "ranking": ranking, "candidate": ""})
    return {
        "pilot_verdicts": [verdict.model_dump(mode="json") for verdict in result.verdicts],
        "ranking": ranking,
        "attempt": 0,
        "candidate": candidate,
    }
