"""ICtCp in its PQ form, and the colour difference that is measured in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray, apply_matrix
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

RGB_TO_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
LMS_PQ_TO_ICTCP = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
"""Rec. ITU-R BT.2100-2, Table 7 (constant intensity, PQ)."""

LMS_TO_RGB = np.linalg.inv(RGB_TO_LMS)
ICTCP_TO_LMS_PQ = np.linalg.inv(LMS_PQ_TO_ICTCP)

ITP_WEIGHTS = np.array([1.0, 0.5, 1.0])
"""I, T, P from I, Ct, Cp. Rec. ITU-R BT.2124-0, Annex 1."""


def ictcp_from_nits(rgb_nits_bt2020: ArrayLike) -> FloatArray:
    """Linear BT.2020 RGB in nits (last axis 3) to I in [0, 1] and Ct, Cp around 0. Rec. ITU-R BT.2100-2, Table 7.

    Light is clipped to what PQ carries: 0 to 10000 nits in each of L, M, S. Grey has Ct = Cp = 0.
    """
    return apply_matrix(LMS_PQ_TO_ICTCP, pq_eotf_inverse(apply_matrix(RGB_TO_LMS, rgb_nits_bt2020)))


def nits_from_ictcp(ictcp: ArrayLike) -> FloatArray:
    """I, Ct, Cp (last axis 3) to linear BT.2020 RGB in nits, which may be negative; inverts `ictcp_from_nits`."""
    return apply_matrix(LMS_TO_RGB, pq_eotf(apply_matrix(ICTCP_TO_LMS_PQ, ictcp)))


def delta_e_itp(a_nits: ArrayLike, b_nits: ArrayLike) -> FloatArray:
    """Colour difference of two linear BT.2020 pictures in absolute nits; the last axis (3) is consumed.

    1 is about one just noticeable difference under the most sensitive adaptation. Rec. ITU-R BT.2124-0, Annex 1:
    720 sqrt(dI^2 + dT^2 + dP^2) with T = 0.5 Ct.
    """
    difference = ictcp_from_nits(a_nits) - ictcp_from_nits(b_nits)
    return 720 * np.sqrt(np.sum((difference * ITP_WEIGHTS.astype(difference.dtype)) ** 2, axis=-1))
