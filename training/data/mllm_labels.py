"""Dynamic range and contrast of an HDR master, as grades: the truth that the SDR picture only hints at."""

from __future__ import annotations

import numpy as np

from analysis.mllm.frame_report import CONTRASTS, GRADES, Contrast
from analysis.schema import Grade
from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import luminance_coefficients

FLOOR_NITS = 0.05
"""Below lies noise, or what no living room shows."""
MASTER_STOPS = (5.0, 7.0, 9.0, 11.0)
"""Upper limits of very_low, low, medium and high; above the last: very_high."""
SPREAD_STOPS = (3.2, 5.0)
"""Upper limits of low and medium contrast."""
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)


def master_stops(nits: FloatArray) -> tuple[float, float]:
    """(H, W, 3) BT.2020 nits -> log2 P99.5 / P0.5 and log2 P90 / P10 of luminance, floor 0.05 nits."""
    luminance = np.maximum(nits[::2, ::2] @ _LUMINANCE, FLOOR_NITS)
    low, tenth, ninetieth, high = np.log2(np.percentile(luminance, (0.5, 10.0, 90.0, 99.5)))
    return float(high - low), float(ninetieth - tenth)


def grades(stops: float, spread: float) -> tuple[Grade, Contrast]:
    """Dynamic range by the whole span, contrast by the span of the middle four fifths."""
    return (
        GRADES[sum(stops >= limit for limit in MASTER_STOPS)],
        CONTRASTS[sum(spread >= limit for limit in SPREAD_STOPS)],
    )
