"""Which models are eligible, in which order, with which probability and why?"""

from __future__ import annotations

from agent.controls import controls_for
from agent.deps import Deps
from agent.state import JobSpec, State
from agent.workspace import Workspace
from analysis.selection.rules import make_plan
from toolchain.models.registry import specs
from toolchain.models.weights import state as state_of


def plan(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    analysis = Workspace(deps.run.work).load_analysis()
    asked = None if job.peak_nits is None else controls_for(job, deps.profile)
    catalogue = specs()
    states = {spec.id: state_of(spec) for spec in catalogue}
    absent = {model_id: found.message for model_id, found in states.items() if not found.ready}
    made = make_plan(analysis, catalogue, deps.profile, pinned_model=job.model, controls=asked, unavailable=absent)
    return {"plan_record": made.model_dump(mode="json")}
