"""Y'CbCr: matrices between R'G'B' and Y'CbCr, and the integer codes that carry them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UsageError

LUMA_COEFFICIENTS: dict[str, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
}
"""K_R and K_B. Rec. ITU-T H.273 (07/2024), Table 4, values 5/6, 1 and 9."""

Matrix3 = NDArray[np.float64]


def rgb_to_ycbcr_matrix(matrix: str) -> Matrix3:
    """3x3 float64, R'G'B' in [0, 1] to Y' in [0, 1] and Cb, Cr in [-0.5, 0.5]. H.273 (07/2024), equations 38 to 40.

    Names are those of `toolchain.video.facts.Matrix`; another raises UsageError. "rgb" is the identity: the
    planes are R, G, B already, and all three use the luma offset and scale of `code_range`.
    """
    if matrix == "rgb":
        return np.eye(3)
    if matrix not in LUMA_COEFFICIENTS:
        raise UsageError(f"Matrix {matrix!r} is not known: use rgb or one of {', '.join(LUMA_COEFFICIENTS)}.")
    k_r, k_b = LUMA_COEFFICIENTS[matrix]
    luma = np.array([k_r, 1 - k_r - k_b, k_b])
    blue_difference = (np.array([0, 0, 1]) - luma) / (2 * (1 - k_b))
    red_difference = (np.array([1, 0, 0]) - luma) / (2 * (1 - k_r))
    return np.stack([luma, blue_difference, red_difference])


def ycbcr_to_rgb_matrix(matrix: str) -> Matrix3:
    """3x3 float64, Y', Cb, Cr to R'G'B'; inverse of `rgb_to_ycbcr_matrix`."""
    return np.linalg.inv(rgb_to_ycbcr_matrix(matrix)).astype(np.float64, copy=False)


def code_range(bit_depth: int, range_: str) -> tuple[float, float, float, float]:
    """(y_offset, y_scale, c_offset, c_scale): Y' = (code - y_offset) / y_scale, C = (code - c_offset) / c_scale.

    `range_` is "limited" or "full". Rec. ITU-R BT.2100-2, Table 9; Rec. ITU-T H.273 (07/2024), equations 20 to 31.
    Raises UsageError for another range or a depth outside 8 to 16 bits.
    """
    if not 8 <= bit_depth <= 16:
        raise UsageError(f"A bit depth of {bit_depth} is not supported: 8 to 16 bits are.")
    middle = float(2 ** (bit_depth - 1))
    if range_ == "full":
        return 0.0, 2.0 * middle - 1, middle, 2.0 * middle - 1
    if range_ == "limited":
        step = float(2 ** (bit_depth - 8))
        return 16 * step, 219 * step, middle, 224 * step
    raise UsageError(f"Range {range_!r} is not known: use limited or full.")
