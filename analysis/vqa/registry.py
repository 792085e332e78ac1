"""Everything that is measured of a result, in the order of reports. Adding one: its file, its test, one line here."""

from __future__ import annotations

from analysis.vqa import (
    cambi,
    clipping,
    colorvideovdp,
    contours,
    describe,
    expected,
    exposure,
    fidelity,
    flicker,
    gain,
    gamut,
    graphics,
    hue,
    noise,
    pu_psnr,
    ringing,
    sharpness,
    shot_jump,
    unevenness,
    vmaf_neg,
    volume,
)
from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import Gate
from analysis.vqa.spec import JudgeControls, Limits, Stage

MEASURES: tuple[MetricSpec, ...] = (
    fidelity.MEDIAN,
    fidelity.P95,
    unevenness.UNEVENNESS,
    exposure.EXPOSURE,
    clipping.CLIPPING,
    clipping.CRUSHING,
    noise.NOISE,
    sharpness.SHARPNESS,
    ringing.RINGING,
    cambi.BANDING,
    contours.CONTOURS,
    vmaf_neg.STRUCTURE_VMAF,
    colorvideovdp.STRUCTURE,
    flicker.FLICKER,
    flicker.FLICKER_TILE,
    shot_jump.SHOT_JUMP,
    hue.MEDIAN,
    hue.P95,
    hue.SKIN,
    gamut.GAMUT,
    gamut.GAMUT_P3,
    graphics.GRAPHICS,
    expected.HARM,
    expected.GAIN,
    gain.ACCEPTANCE,
    describe.PEAK_NITS,
    describe.MEAN_NITS,
    describe.HIGHLIGHT_SHARE,
    volume.FHLP,
    volume.EHL,
    volume.FWGP,
    volume.EWG,
    pu_psnr.PU_PSNR,
    sharpness.CHANGE,
)
"""A gate's limit is the field of `Limits` that has its name."""

GATES: tuple[MetricSpec, ...] = tuple(spec for spec in MEASURES if spec.role == "gate")
GATE_NAMES: tuple[str, ...] = tuple(spec.name for spec in GATES)

METRICS: tuple[MetricSpec, ...] = tuple(spec for spec in MEASURES if spec.role != "gate")
"""Numbers of single frames that are no gate. Selection and acceptance are one each, never the same."""


def make_gates(limits: Limits, controls: JudgeControls, stage: Stage = "verify") -> tuple[Gate, ...]:
    """A fresh set of that stage's gates, one of each kind, in registry order."""
    return tuple(spec.make_gate(getattr(limits, spec.name), controls) for spec in GATES if stage in spec.stages)


def required_gates(stage: Stage) -> tuple[str, ...]:
    """The gates without which no result of that stage is certain. A pilot sees single frames: no flicker."""
    return tuple(spec.name for spec in GATES if spec.required and stage in spec.stages)


def stage_metrics(stage: Stage) -> tuple[MetricSpec, ...]:
    """The metrics that are measured at that stage. A pilot never sees the acceptance gain."""
    return tuple(spec for spec in METRICS if stage in spec.stages)


def stage_metric(stage: Stage) -> MetricSpec:
    """The gain that a stage goes by: the pilot selects, verification accepts."""
    role = "selection" if stage == "pilot" else "acceptance"
    return next(metric for metric in METRICS if metric.role == role)
