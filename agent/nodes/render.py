"""The whole file through the chosen model, then into the final container under a temporary name."""

from __future__ import annotations

from agent.controls import controls_of_candidate, output_for
from agent.deps import Deps
from agent.state import JobSpec, State
from agent.tasks.messages import MuxRequest, MuxResult, RenderRequest, RenderResult
from analysis.schema import Plan
from toolchain.video.facts import MediaFacts


def render(state: State, deps: Deps) -> State:
    job = JobSpec.model_validate(state["job"])
    facts = MediaFacts.model_validate(state["facts"])
    plan = Plan.model_validate(state["plan_record"])
    controls = controls_of_candidate(job, deps.profile, plan, state["candidate"])
    assert facts.video is not None  # noqa: S101 - probe refuses files without a picture
    output = output_for(job, deps.profile, facts.video)
    request = RenderRequest(
        path=job.input,
        facts=facts,
        work=deps.run.work,
        candidate=state["candidate"],
        plan=plan,
        controls=controls,
        output=output,
        lut_size=deps.profile.lut_size,
    )
    rendered = deps.worker.call("render", request, RenderResult, deps.emit)
    temporary = job.output.with_name(f".{deps.run.id}.partial{job.output.suffix}")
    mux = MuxRequest(
        path=job.input,
        facts=facts,
        work=deps.run.work,
        rendered=rendered,
        output=output,
        peak_nits=controls.peak_nits,
        temporary=temporary,
    )
    muxed = deps.worker.call("mux", mux, MuxResult, deps.emit)
    return {
        "rendered": {**rendered.model_dump(mode="json"), "sha256": muxed.sha256},
        "temporary": str(temporary),
        "warnings": list(dict.fromkeys([*state["warnings"], *muxed.warnings])),
    }
