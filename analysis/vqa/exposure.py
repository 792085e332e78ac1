"""Exposure: mid-tones are as bright as they were asked to be."""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import FrameGate
from analysis.vqa.spec import JudgeControls
from analysis.vqa.tones import MIDTONES_NITS, MIN_TONES_SHARE
from analysis.vqa.view import View, stops


def error_stops(view: View) -> float | None:
    """|log2 of the geometric-mean ratio of output to source at the exposure asked for|, over mid-tones, in stops.

    Mid-tones are the source's. Frames with hardly any are judged by all that is darker, so that a raised black is
    seen too. None where there is neither, or no exposure was asked for (`mid_gain_ev` None).
    """
    if view.controls.mid_gain_ev is None:
        return None
    source = view.half_source_y
    tones = (source >= MIDTONES_NITS[0]) & (source <= MIDTONES_NITS[1])
    if np.count_nonzero(tones) < MIN_TONES_SHARE * tones.size:
        tones = source <= MIDTONES_NITS[1]
    if np.count_nonzero(tones) < MIN_TONES_SHARE * tones.size:
        return None
    return abs(float(np.mean(stops(view.half_output_y[tones]) - stops(view.reference.half_y[tones]))))


def _gate(spec: MetricSpec, limit: float, controls: JudgeControls) -> FrameGate:
    absent = "mid-tones were left to the model" if controls.mid_gain_ev is None else "no tones below 60 nits"
    return FrameGate(spec.name, spec.unit, limit, error_stops, absent)


EXPOSURE = MetricSpec(
    "exposure", "stop", (0.0, 17.0), "lower", "half-size luminance of mid-tones, log2", "gate",
    "how far mid-tones are from the brightness that was asked for", neutral=0.0, gate=_gate,
)  # fmt: skip
