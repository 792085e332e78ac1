"""Is the finished file, as it lies on disk, better than doing nothing?"""

from __future__ import annotations

from pathlib import Path

from agent.controls import controls_of_candidate
from agent.deps import Deps
from agent.nodes.render import render
from agent.state import JobSpec, State
from agent.tasks.messages import VerifyRequest
from analysis.schema import Plan, Verdict
from analysis.selection.profile import gates_path
from toolchain.video.facts import MediaFacts


def verify(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    plan = Plan.model_validate(state["plan_record"])
    if not Path(state["temporary"]).exists():
        # The run was stopped, and somebody tidied the output's folder: the segments are still there.
        render(state, deps)
    request = VerifyRequest(
        source=job.input,
        facts=MediaFacts.model_validate(state["facts"]),
        output=Path(state["temporary"]),
        work=deps.run.work,
        model_id=state["candidate"],
        controls=controls_of_candidate(job, deps.profile, plan, state["candidate"]),
        how=deps.profile.verify,
        limits=gates_path(deps.profile),
        restored=bool(plan.restore),
    )
    verdict = deps.worker.call("verify", request, Verdict, deps.emit)
    return {"final_verdict": verdict.model_dump(mode="json"), "reason": verdict.reason}
