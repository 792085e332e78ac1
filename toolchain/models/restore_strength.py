"""From what `analysis.signals` measures of a picture to how strongly a restoring network is told to work."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIGMA_TOP = 8.0
"""Noise sigma in 8-bit codes that is told as 1; more is told as 1 too."""


def sigma_strength(sigma_codes: ArrayLike) -> NDArray[np.float64]:
    """Noise sigma in 8-bit codes, as `analysis.signals.noise` measures it, -> the network's strength in [0, 1]."""
    return np.clip(np.asarray(sigma_codes, dtype=np.float64) / SIGMA_TOP, 0.0, 1.0)


def compression_strength(blockiness: ArrayLike) -> NDArray[np.float64]:
    """`analysis.signals.blockiness` (1 = no grid) -> compression in [0, 1): fitted by eye to this project's pairs.

    Coders that smooth their own grid hide it: a low value does not prove light compression.
    """
    return np.clip(1.0 - np.exp(-(np.asarray(blockiness, dtype=np.float64) - 1.05) / 0.35), 0.0, 1.0)


def softness_strength(blur: ArrayLike) -> NDArray[np.float64]:
    """`analysis.signals.blur` (0 sharp, 1 blurred) -> softness in [0, 1]: 0 up to 0.28, 1 from 0.58."""
    return np.clip((np.asarray(blur, dtype=np.float64) - 0.28) / 0.3, 0.0, 1.0)
