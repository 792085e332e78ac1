"""Flatness: the share of the picture painted in one tone, a cue for animation and screens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.signals.native import block_extremes

BLOCK = 8
MAX_RANGE = 1.5  # codes
CODE_RANGE = (20.0, 232.0)  # clipped black and white are flat in any picture


def flatness(luma: NDArray[np.float32]) -> float:
    """Share (0..1) of 8x8 blocks within one code of constant, among blocks that are neither black nor white.

    `luma` is HxW float32 in 8-bit codes at native resolution. A picture of black or white alone gives 0.
    """
    low, high = block_extremes(luma, BLOCK)
    usable = (high > CODE_RANGE[0]) & (low < CODE_RANGE[1])
    count = int(usable.sum())
    return float(((high - low <= MAX_RANGE) & usable).sum() / count) if count else 0.0
