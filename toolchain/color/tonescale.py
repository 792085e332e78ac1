"""Tone mapping between SDR and HDR by the ITU's reports: BT.2446 methods A, B and C, BT.2390 EETF, BT.2408.

SDR is BT.2020 gamma-coded R'G'B', 1.0 at white (100 nits); HDR is linear BT.2020 RGB in nits. The last axis is
R, G, B. float32 in gives float32 out, everything else float64. BT.709 pictures are converted to BT.2020 first
(`primaries.convert` on linear light).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray, apply_matrix, as_float
from toolchain.color.transfer import (
    BT1886_GAMMA,
    BT2020_LUMINANCE,
    PQ_PEAK_NITS,
    REFERENCE_WHITE_NITS,
    bt1886_eotf,
    bt1886_eotf_inverse,
    hlg_eotf,
    hlg_oetf,
    pq_eotf,
    pq_eotf_inverse,
)
from toolchain.color.ycbcr import rgb_to_ycbcr_matrix, ycbcr_to_rgb_matrix
from toolchain.errors import UsageError

SDR_WHITE_NITS = 100.0
"""SDR white of every method in Report ITU-R BT.2446-1."""

SUPER_WHITE_SIGNAL = (1019 - 64) / 876
"""The highest 10-bit narrow-range video level, "109 %". Rec. ITU-R BT.2100-2, Table 9."""


def direct203(rgb_linear: ArrayLike) -> FloatArray:
    """Relative linear light (1.0 = SDR white) to nits with white at 203, nothing expanded.

    Report ITU-R BT.2408-7, section 5.1 (display-referred mapping). Linear, so negative components stay negative.
    """
    return as_float(rgb_linear) * REFERENCE_WHITE_NITS


# BT.2446 method A


def bt2446a_expand(rgb_signal_bt2020: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """SDR signal, clipped to [0, 1], to nits in [0, peak_nits]. Report ITU-R BT.2446-1, section 4, Table 3.

    At 1000 nits this is the published curve: greys of 0.5, 0.75 and 1.0 become 76, 279 and 999.5 nits. The report
    has no other peak; there the curve is multiplied by how the exact inverse of section 4.2 (which is published for
    every peak) differs from its own value at 1000 nits. Raises UsageError unless 100 <= peak_nits <= 10000.
    """
    _check_peak(peak_nits)
    ycbcr = apply_matrix(rgb_to_ycbcr_matrix("bt2020nc"), np.clip(as_float(rgb_signal_bt2020), 0, 1))
    luma, chroma = np.clip(ycbcr[..., :1], 0, 1), ycbcr[..., 1:]
    luma_hdr = _bt2446a_published_curve(luma)
    if peak_nits != 1000:
        luma_hdr = luma_hdr * _ratio(_bt2446a_exact_inverse(luma, peak_nits), _bt2446a_exact_inverse(luma, 1000.0))
    chroma_hdr = 1.075 * chroma * _ratio(luma_hdr, luma)
    rgb = apply_matrix(ycbcr_to_rgb_matrix("bt2020nc"), np.concatenate([luma_hdr, chroma_hdr], axis=-1))
    return peak_nits * np.clip(rgb, 0, 1) ** BT1886_GAMMA


def _bt2446a_published_curve(luma: FloatArray) -> FloatArray:
    """SDR luma in [0, 1] to HDR luma, 1.0 = 1000 nits. Report ITU-R BT.2446-1, section 4, Table 3."""
    level = 255 * luma
    low = 1.8712e-5 * level**2 - 2.7334e-3 * level + 1.3141
    high = 2.8305e-6 * level**2 - 7.4622e-4 * level + 1.2528
    return level ** np.where(level <= 70, low, high) / 1000


def bt2446a_compress(rgb_nits_bt2020: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """Nits, clipped to [0, peak_nits], to SDR signal in [0, 1]. Report ITU-R BT.2446-1, section 4.2.

    Raises UsageError unless 100 <= peak_nits <= 10000.
    """
    _check_peak(peak_nits)
    rgb = (np.clip(as_float(rgb_nits_bt2020), 0, peak_nits) / peak_nits) ** (1 / BT1886_GAMMA)
    ycbcr = apply_matrix(rgb_to_ycbcr_matrix("bt2020nc"), rgb)
    luma = np.clip(ycbcr[..., :1], 0, 1)
    log_luma = np.log1p((_rho(peak_nits) - 1) * luma) / math.log(_rho(peak_nits))
    luma_sdr = (_rho(SDR_WHITE_NITS) ** _bt2446a_knee(log_luma) - 1) / (_rho(SDR_WHITE_NITS) - 1)
    chroma = ycbcr[..., 1:] * _ratio(luma_sdr, 1.1 * luma)
    luma_sdr = luma_sdr - np.maximum(0.1 * chroma[..., 1:], 0)
    sdr = apply_matrix(ycbcr_to_rgb_matrix("bt2020nc"), np.concatenate([luma_sdr, chroma], axis=-1))
    return np.clip(sdr, 0, 1)


def _rho(nits: float) -> float:
    """Report ITU-R BT.2446-1, section 4.2: the base of the logarithm that stands for lightness."""
    return 1 + 32 * (nits / PQ_PEAK_NITS) ** (1 / BT1886_GAMMA)


def _bt2446a_knee(log_luma: FloatArray) -> FloatArray:
    """Report ITU-R BT.2446-1, section 4.2, step 2."""
    shoulder = -1.1510 * log_luma**2 + 2.7811 * log_luma - 0.6302
    upper = np.where(log_luma < 0.9909, shoulder, 0.5 * log_luma + 0.5)
    return np.where(log_luma <= 0.7399, 1.0770 * log_luma, upper)


def _bt2446a_exact_inverse(luma_sdr: FloatArray, peak_nits: float) -> FloatArray:
    """SDR luma to HDR luma, both in [0, 1]: section 4.2 solved for its input.

    The rounded constants leave a gap of 0.0006 at 0.7399; levels in it come from the gap's edge.
    """
    knee = np.log1p((_rho(SDR_WHITE_NITS) - 1) * luma_sdr) / math.log(_rho(SDR_WHITE_NITS))
    root = np.sqrt(np.maximum(2.7811**2 - 4 * 1.1510 * (knee + 0.6302), 0))
    shoulder = np.clip((2.7811 - root) / (2 * 1.1510), 0.7399, 0.9909)
    log_luma = np.where(knee <= 1.0770 * 0.7399, knee / 1.0770, np.maximum(shoulder, 2 * knee - 1))
    return np.expm1(log_luma * math.log(_rho(peak_nits))) / (_rho(peak_nits) - 1)


# BT.2446 method B

METHOD_B_PEAK_NITS = 291.0
METHOD_B_SYSTEM_GAMMA = 1.03
"""The HLG display whose light is the SDR picture's. Report ITU-R BT.2446-1, section 5 (simplified HLG mapping)."""


def bt2446b_expand(rgb_signal_bt2020: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """SDR signal (super-white allowed) to nits: gentle, for live material with clipped areas.

    The report draws method B's curve and states no equation; this is its simplified HLG form: the SDR display light
    is taken for that of a 291-nit HLG display of gamma 1.03, and the signal is shown on an HLG display of
    `peak_nits`. A level of 0.9 lands at HLG 0.757 (reference white is 0.75), 1.0 at 288 nits of 1000.
    Report ITU-R BT.2446-1, section 5. Raises UsageError unless 100 <= peak_nits <= 10000.
    """
    _check_peak(peak_nits)
    signal = np.clip(as_float(rgb_signal_bt2020), 0, SUPER_WHITE_SIGNAL)
    rgb = bt1886_eotf(signal, white_nits=SDR_WHITE_NITS / METHOD_B_PEAK_NITS)
    inverse_ootf = _positive_power(_luminance(rgb), 1 / METHOD_B_SYSTEM_GAMMA - 1)
    return hlg_eotf(hlg_oetf(rgb * inverse_ootf), peak_nits)


# BT.2446 method C

METHOD_C_K1, METHOD_C_K2, METHOD_C_K3, METHOD_C_K4 = 0.83802, 15.09968, 0.74204, 78.99439
METHOD_C_SDR_KNEE_NITS = 58.5
METHOD_C_HDR_KNEE_NITS = METHOD_C_SDR_KNEE_NITS / METHOD_C_K1
"""Report ITU-R BT.2446-1, section 6.1.4."""


def bt2446c_expand(rgb_signal_bt2020: ArrayLike, alpha: float = 0.0) -> FloatArray:
    """SDR signal in [0, 1.09] to nits; greys of 75, 90, 100 and 109 SDR nits become 105, 197, 333 and 561.

    `alpha` in [0, 0.33) is the crosstalk that `bt2446c_compress` was, or would be, given.
    Report ITU-R BT.2446-1, section 6.2. Raises UsageError for another alpha.
    """
    signal = np.clip(as_float(rgb_signal_bt2020), 0, SUPER_WHITE_SIGNAL)
    rgb = apply_matrix(_crosstalk(alpha), bt1886_eotf(signal, SDR_WHITE_NITS))
    luminance = _luminance(rgb)
    high = METHOD_C_HDR_KNEE_NITS * (np.exp((luminance - METHOD_C_K4) / METHOD_C_K2) + METHOD_C_K3)
    # The rounded constants would step back by 0.04 nits at the knee.
    high = np.maximum(high, METHOD_C_HDR_KNEE_NITS)
    luminance_hdr = np.where(luminance < METHOD_C_SDR_KNEE_NITS, luminance / METHOD_C_K1, high)
    expanded = rgb * _ratio(luminance_hdr, luminance)
    return np.clip(apply_matrix(np.linalg.inv(_crosstalk(alpha)), expanded), 0, PQ_PEAK_NITS)


def bt2446c_compress(rgb_nits_bt2020: ArrayLike, alpha: float = 0.0) -> FloatArray:
    """Nits to SDR signal in [0, 1.09]: 1000 nits of grey become 118 SDR nits, signal 1.07.

    `alpha` in [0, 0.33) mixes the channels before the curve, and the inverse separates them after it, so that
    bright saturated colours clip less. Without the optional chroma correction, so `bt2446c_expand` inverts it.
    Report ITU-R BT.2446-1, section 6.1. Raises UsageError for another alpha.
    """
    rgb = apply_matrix(_crosstalk(alpha), np.clip(as_float(rgb_nits_bt2020), 0, PQ_PEAK_NITS))
    luminance = _luminance(rgb)
    above = np.maximum(luminance / METHOD_C_HDR_KNEE_NITS, 1) - METHOD_C_K3
    high = METHOD_C_K2 * np.log(above) + METHOD_C_K4
    luminance_sdr = np.where(luminance < METHOD_C_HDR_KNEE_NITS, METHOD_C_K1 * luminance, high)
    compressed = apply_matrix(np.linalg.inv(_crosstalk(alpha)), rgb * _ratio(luminance_sdr, luminance))
    return np.clip(bt1886_eotf_inverse(compressed, SDR_WHITE_NITS), 0, SUPER_WHITE_SIGNAL)


def _crosstalk(alpha: float) -> FloatArray:
    """Report ITU-R BT.2446-1, section 6.1.2: 1 - 2 alpha on the diagonal, alpha elsewhere; singular at 1/3."""
    if not 0 <= alpha <= 0.33:
        raise UsageError(f"A crosstalk alpha of {alpha} is not usable: Report BT.2446 allows 0 to 0.33.")
    return np.full((3, 3), alpha) + (1 - 3 * alpha) * np.eye(3)


# BT.2390 EETF


def bt2390_eetf(
    nits: ArrayLike,
    source_peak_nits: float,
    target_peak_nits: float,
    source_black_nits: float = 0.0,
    target_black_nits: float = 0.0,
) -> FloatArray:
    """Light of a mastering display onto a smaller one: Hermite roll-off in PQ and a lift of black; elementwise.

    Apply it to R, G and B alike, or to luminance. Input is clipped to the source's range; a target that reaches
    further than the source changes nothing. Report ITU-R BT.2390-8, section 5.4.1. Where the lift exceeds a quarter
    of the range, its exponent 4 falls to 1 / lift, for the report's curve would turn back there. Raises UsageError
    unless 0 <= black < peak <= 10000 on both sides.
    """
    _check_display(source_peak_nits, source_black_nits)
    _check_display(target_peak_nits, target_black_nits)
    levels = (source_black_nits, source_peak_nits, target_black_nits, target_peak_nits)
    low, high, target_low, target_high = (float(level) for level in pq_eotf_inverse(levels))
    lift = max((target_low - low) / (high - low), 0.0)
    ceiling = min((target_high - low) / (high - low), 1.0)
    relative = np.clip((pq_eotf_inverse(nits) - low) / (high - low), 0, 1)
    rolled = _hermite_roll_off(relative, ceiling)
    lifted = rolled + lift * (1 - rolled) ** min(4.0, 1 / lift if lift else 4.0)
    return pq_eotf(np.minimum(lifted, ceiling) * (high - low) + low)


def _hermite_roll_off(relative: FloatArray, ceiling: float) -> FloatArray:
    """Unchanged up to the knee, then a Hermite spline that reaches `ceiling` at 1 with slope 0."""
    if ceiling >= 1:
        return relative
    knee = max(1.5 * ceiling - 0.5, 0.0)
    t = np.maximum(relative - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * ceiling
    return np.where(relative < knee, relative, spline)


# Shared


def _luminance(rgb: FloatArray) -> FloatArray:
    """BT.2020 luminance with the last axis kept as 1."""
    return (rgb @ np.asarray(BT2020_LUMINANCE, dtype=rgb.dtype))[..., np.newaxis]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """numerator / denominator, and 0 where there is nothing to divide by: black stays black."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _positive_power(values: FloatArray, exponent: float) -> FloatArray:
    """values ** exponent, and 0 at 0 for negative exponents too."""
    return np.power(values, exponent, out=np.zeros_like(values), where=values > 0)


def _check_peak(peak_nits: float) -> None:
    if not SDR_WHITE_NITS <= peak_nits <= PQ_PEAK_NITS:
        raise UsageError(f"An HDR peak of {peak_nits} nits is not usable: give 100 to 10000 nits.")


def _check_display(peak_nits: float, black_nits: float) -> None:
    if not 0 <= black_nits < peak_nits <= PQ_PEAK_NITS:
        raise UsageError(
            f"A display from {black_nits} to {peak_nits} nits is not usable: 0 <= black < peak <= 10000 is."
        )
