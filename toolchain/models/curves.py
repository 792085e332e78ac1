"""Small curves the models share. Grey axes are sampled in signal, where steps look even."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.primaries import luminance_coefficients
from toolchain.color.transfer import bt1886_eotf, pq_eotf, pq_eotf_inverse
from toolchain.models.spec import FloatArray, PixelFunction

BT2020_WEIGHTS = luminance_coefficients("bt2020")


def luminance(rgb_linear: FloatArray) -> FloatArray:
    """(..., 3) linear BT.2020 -> (...) luminance in the same unit."""
    return rgb_linear @ BT2020_WEIGHTS


def largest_component(rgb: FloatArray) -> FloatArray:
    """(..., 3) -> (...), several times as fast as a maximum along so short an axis."""
    return np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])


def grey_nits(expand: PixelFunction, signals: ArrayLike) -> FloatArray:
    """Luminance in nits that `expand` gives the greys of these SDR signals (1-D, 1.0 = white)."""
    linear = bt1886_eotf(np.asarray(signals, dtype=np.float64))
    return luminance(expand(np.repeat(linear[:, np.newaxis], 3, axis=1)))


def smoothstep(low: float, high: float, values: FloatArray) -> FloatArray:
    """0 up to `low`, 1 from `high` (> low), in between the cubic whose slope is 0 at both ends."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def scaled_highlights(nits: FloatArray, knee_nits: float, white_nits: float, target_nits: float) -> FloatArray:
    """Nits -> nits: unchanged up to a knee, then a cubic Hermite in PQ that takes `white_nits` to `target_nits`.

    The slope is 1 at the knee and the mean slope at white, and goes on so above it. A target far below white moves
    the knee down to where the cubic is still monotone (the knee of BT.2390 section 5.4.1: 1.5 target - 0.5 white).
    """
    knee, white, target = (float(pq_eotf_inverse(level)) for level in (knee_nits, white_nits, target_nits))
    knee = max(min(knee, 1.5 * target - 0.5 * white), 0.0)
    width, slope = white - knee, (target - knee) / (white - knee)
    t = (pq_eotf_inverse(nits) - knee) / width
    # Hermite with slopes 1 and `slope` on a chord of `slope`: the chord plus one term that mends the start.
    curve = knee + width * (slope * t + (1 - slope) * t * (1 - t) ** 2)
    beyond = target + slope * width * (t - 1)
    return np.where(t <= 0, nits, pq_eotf(np.where(t <= 1, curve, beyond)))
