"""Which models are eligible, in which order, with which probability and why?"""

from __future__ import annotations

from agent.deps import Deps
from agent.state import JobSpec, State
from agent.workspace import Workspace
from analysis.selection.rules import make_plan
from toolchain.models.registry import specs


def plan(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    analysis = Workspace(deps.run.work).load_analysis()
    made = make_plan(analysis, specs(), deps.profile, pinned_model=job.model)
    return {"plan_record": made.model_dump(mode="json")}
