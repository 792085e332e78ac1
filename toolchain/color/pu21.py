"""PU21: luminance to perceptually uniform units, so that SDR metrics mean the same on HDR light."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray, as_float

PU21_MIN_NITS = 0.005
PU21_MAX_NITS = 10000.0

P1, P2, P3 = 0.353487901, 0.3734658629, 8.277049286e-5
P4, P5 = 0.9062562627, 0.09150303166
P6, P7 = 0.9099517204, 596.3148142
"""The banding_glare variant. Mantiuk and Azimi, PU21 (Picture Coding Symposium 2021), equation 2 and Table 1."""


def pu21_encode(nits: ArrayLike) -> FloatArray:
    """Nits, clipped to [0.005, 10000], to PU21 units: 0 at 0.005 nits, about 256 at 100 nits, 595 at 10000.

    Elementwise, any shape. Mantiuk and Azimi 2021, equation 2, banding_glare.
    """
    power = np.clip(as_float(nits), PU21_MIN_NITS, PU21_MAX_NITS) ** P4
    return np.maximum(P7 * (((P1 + P2 * power) / (1 + P3 * power)) ** P5 - P6), 0)


def pu21_decode(value: ArrayLike) -> FloatArray:
    """PU21 units to nits in [0.005, 10000]; inverse of `pu21_encode`, values beyond its range are clipped."""
    highest = float(pu21_encode(PU21_MAX_NITS))
    root = (np.clip(as_float(value), 0, highest) / P7 + P6) ** (1 / P5)
    nits = (np.maximum(root - P1, 0) / (P2 - P3 * root)) ** (1 / P4)
    return np.clip(nits, PU21_MIN_NITS, PU21_MAX_NITS)
