"""RGB primaries and the linear-light matrices between them, derived from chromaticities as SMPTE RP 177 does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolchain.color.arrays import FloatArray, apply_matrix
from toolchain.errors import UsageError

D65 = (0.3127, 0.3290)
"""White of every set below. Rec. ITU-R BT.709-6, item 1.4; BT.2020-2, Table 3; SMPTE EG 432-1."""

CHROMATICITIES: dict[str, tuple[tuple[float, float], ...]] = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt601_625": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    "bt601_525": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "p3_d65": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""x, y of R, G, B. Rec. ITU-T H.273 (07/2024), Table 2, values 1, 5, 6, 9 and 12."""

Matrix3 = NDArray[np.float64]


@cache
def _rgb_to_xyz(name: str) -> Matrix3:
    columns = np.array([_xyz(x, y) for x, y in CHROMATICITIES[name]]).T
    matrix = columns * np.linalg.solve(columns, _xyz(*D65))
    matrix.flags.writeable = False
    return matrix


def _xyz(x: float, y: float) -> NDArray[Any]:
    """The tristimulus values of a chromaticity at Y = 1."""
    return np.array([x / y, 1.0, (1 - x - y) / y])


def rgb_to_xyz_matrix(name: str) -> Matrix3:
    """3x3 float64, linear RGB of the named primaries to CIE XYZ with white at Y = 1. SMPTE RP 177-1993, section 3.3.

    Names are those of `toolchain.video.facts.Primaries`; another raises UsageError.
    """
    if name not in CHROMATICITIES:
        raise UsageError(f"Primaries {name!r} are not known: use one of {', '.join(CHROMATICITIES)}.")
    return _rgb_to_xyz(name)


def xyz_to_rgb_matrix(name: str) -> Matrix3:
    """3x3 float64, CIE XYZ to linear RGB of the named primaries; inverse of `rgb_to_xyz_matrix`."""
    return np.linalg.inv(rgb_to_xyz_matrix(name)).astype(np.float64, copy=False)


def conversion_matrix(source: str, target: str) -> Matrix3:
    """3x3 float64, linear RGB of `source` primaries to linear RGB of `target`; white stays white.

    bt709 to bt2020 is Rec. ITU-R BT.2087-0, Annex 1 (M2) before rounding to four digits. No chromatic adaptation
    is needed, for every set has the D65 white.
    """
    if source == target:
        rgb_to_xyz_matrix(source)  # refuses an unknown name
        return np.eye(3)
    return xyz_to_rgb_matrix(target) @ rgb_to_xyz_matrix(source)


def luminance_coefficients(name: str) -> NDArray[np.float64]:
    """The weights of linear R, G, B in luminance, shape (3,), sum 1: the Y row of `rgb_to_xyz_matrix`, unrounded."""
    return rgb_to_xyz_matrix(name)[1].copy()


def convert(rgb: ArrayLike, source: str, target: str) -> FloatArray:
    """Linear RGB (last axis 3, any unit) from `source` to `target` primaries, not clipped.

    Colours outside the target gamut come out with negative components: see `toolchain.color.gamut`.
    float32 in gives float32 out, everything else float64.
    """
    return apply_matrix(conversion_matrix(source, target), rgb)
