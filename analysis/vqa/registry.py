"""Every gate and metric there is, in the order of reports. Adding one: its file, its test, one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analysis.vqa import clipping, describe, exposure, fidelity, flicker, gain, gamut, graphics, hue, noise
from analysis.vqa.pooling import FrameGate, Gate
from analysis.vqa.shot_jump import ShotJumpGate
from analysis.vqa.spec import JudgeControls, Limits, Stage
from analysis.vqa.view import View


def make_gates(limits: Limits, controls: JudgeControls) -> tuple[Gate, ...]:
    """A fresh set of gates, one of each kind."""
    free = "mid-tones were left to the model" if controls.mid_gain_ev is None else "no tones below 60 nits"
    grey = "no coloured pixels"
    still = "the video is one frame" if controls.single_frame else ""
    return (
        FrameGate("fidelity_median", "dE-ITP", limits.fidelity_median, fidelity.median, ""),
        FrameGate("fidelity_p95", "dE-ITP", limits.fidelity_p95, fidelity.p95, ""),
        FrameGate("exposure", "stop", limits.exposure, exposure.error_stops, free),
        FrameGate("clipping", "% of pixels", limits.clipping, clipping.clipped_points, ""),
        FrameGate("crushing", "% of pixels", limits.crushing, clipping.crushed_points, ""),
        FrameGate("noise", "ratio", limits.noise, noise.amplification, "nothing but highlights and black"),
        flicker.FlickerGate("flicker", limits.flicker, flicker.whole_frame, still),
        flicker.FlickerGate("flicker_tile", limits.flicker_tile, flicker.tiles_p95, still),
        ShotJumpGate(limits.shot_jump),
        FrameGate("hue_median", "degree", limits.hue_median, hue.median, grey),
        FrameGate("hue_p95", "degree", limits.hue_p95, hue.p95, grey),
        FrameGate("skin", "degree", limits.skin, hue.skin_shift, "no skin"),
        FrameGate("gamut", "% of pixels", limits.gamut, gamut.outside_bt2020_percent, ""),
        FrameGate("gamut_p3", "% of pixels", limits.gamut_p3, gamut.outside_p3_percent, ""),
        FrameGate("graphics", "nits", limits.graphics, graphics.bright_nits, ""),
    )


GATE_NAMES: tuple[str, ...] = (
    "fidelity_median", "fidelity_p95", "exposure", "clipping", "crushing", "noise", "flicker", "flicker_tile",
    "shot_jump", "hue_median", "hue_p95", "skin", "gamut", "gamut_p3", "graphics",
)  # fmt: skip

_NEEDS_CONSECUTIVE_FRAMES = frozenset({"flicker", "flicker_tile"})


def required_gates(stage: Stage) -> tuple[str, ...]:
    """The gates without which no result of that stage is certain. A pilot sees single frames: no flicker."""
    if stage == "verify":
        return GATE_NAMES
    return tuple(name for name in GATE_NAMES if name not in _NEEDS_CONSECUTIVE_FRAMES)


@dataclass(frozen=True)
class MetricSpec:
    """A number of one frame that is not a gate. Selection and acceptance each have exactly one, never the same."""

    name: str
    unit: str
    range: tuple[float, float]
    role: Literal["selection", "acceptance", "description"]
    measure: Callable[[View], float]


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("selection_score", "PU21 units", (-600.0, 420.0), "selection", gain.selection_score),
    MetricSpec("acceptance_gain", "PU21 units", (-1200.0, 600.0), "acceptance", gain.acceptance_gain),
    MetricSpec("peak_nits_p999", "nits", (0.0, 10000.0), "description", describe.peak_nits_p999),
    MetricSpec("mean_nits", "nits", (0.0, 10000.0), "description", describe.mean_nits),
    MetricSpec("highlight_share", "share", (0.0, 1.0), "description", describe.highlight_share),
)


def stage_metric(stage: Stage) -> MetricSpec:
    """The gain that a stage goes by: the pilot selects, verification accepts."""
    role = "selection" if stage == "pilot" else "acceptance"
    return next(metric for metric in METRICS if metric.role == role)
