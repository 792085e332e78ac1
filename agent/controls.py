"""From a job and its profile to the controls of an expanding model and the encoder's settings."""

from __future__ import annotations

from agent.state import JobSpec
from analysis.schema import Plan
from analysis.selection.profile import Profile
from toolchain.models.spec import Controls
from toolchain.video.facts import VideoFacts
from toolchain.video.output import OutputSpec


def controls_for(job: JobSpec, profile: Profile) -> Controls:
    """The job's own values, else the profile's."""
    return Controls(
        peak_nits=profile.peak_nits if job.peak_nits is None else job.peak_nits,
        mid_gain_ev=profile.mid_gain_ev if job.mid_gain_ev is None else job.mid_gain_ev,
        runtime=job.runtime,
    )


def output_for(job: JobSpec, profile: Profile, video: VideoFacts) -> OutputSpec:
    """The settings of the job's codec in the job's profile, with the source's chroma format where the codec can."""
    encoder = profile.encoders[job.codec]
    return OutputSpec.for_path(
        job.output, job.codec, job.hdr_format, encoder.preset, encoder.crf, source_chroma=video.chroma
    )


def with_parameters(controls: Controls, parameters: dict[str, float]) -> Controls:
    """The controls with a candidate's own parameters: common ones in their own field, the rest in `extra`.

    Values outside the catalogue's ranges are refused where the model is bound (toolchain.models.guards).
    """
    common = {name: value for name, value in parameters.items() if name in Controls.model_fields}
    extra = {name: value for name, value in parameters.items() if name not in Controls.model_fields}
    return Controls.model_validate({**controls.model_dump(), **common, "extra": {**controls.extra, **extra}})


def controls_of_candidate(job: JobSpec, profile: Profile, plan: Plan, model_id: str) -> Controls:
    """What drives `model_id` in this job: the job's controls and what the plan sets for that model."""
    parameters = {candidate.model_id: candidate.parameters for candidate in plan.candidates}
    return with_parameters(controls_for(job, profile), parameters.get(model_id, {}))
