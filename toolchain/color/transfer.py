"""Transfer functions: sRGB, BT.1886, PQ and HLG.

Signals are gamma-coded values, 1.0 at nominal white (PQ: at 10000 nits); light is in nits or relative to white
as each function says. Any shape; where a function takes RGB, the last axis is R, G, B. float32 in gives float32
out, everything else float64. Every finite input gives a finite output: negative light is black, signals are
clipped at SIGNAL_CEILING and light at LIGHT_CEILING.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray, as_float
from toolchain.errors import UsageError

REFERENCE_WHITE_NITS = 203.0
"""HDR reference white: 58 % PQ, 75 % HLG at 1000 nits. Report ITU-R BT.2408-7, section 2.1, Table 1."""

SIGNAL_CEILING = 4.0
"""Above any value that legal Y'CbCr codes can decode to (about 2.2); keeps powers and exponentials finite."""

LIGHT_CEILING = 1e8
"""Above anything a signal up to SIGNAL_CEILING decodes to; keeps products and powers finite in float32."""

PQ_PEAK_NITS = 10000.0
PQ_M1 = 2610 / 16384
PQ_M2 = 2523 / 4096 * 128
PQ_C1 = 3424 / 4096
PQ_C2 = 2413 / 4096 * 32
PQ_C3 = 2392 / 4096 * 32
PQ_BLACK_SIGNAL = 1e-9
"""Any signal up to c1^m2 (7.3e-7) is no light; this one stands for 0 where a logarithm is taken."""

BT1886_GAMMA = 2.4

HLG_A = 0.17883277
HLG_B = 1 - 4 * HLG_A
HLG_C = float(0.5 - HLG_A * np.log(4 * HLG_A))

BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
"""Weights of R, G, B in luminance as Rec. ITU-R BT.2100-2, Table 5 rounds them for the HLG OOTF."""


def srgb_eotf(signal: ArrayLike) -> FloatArray:
    """sRGB signal to linear light, both 1.0 at white. IEC 61966-2-1:1999, section 5.2."""
    signal = np.clip(as_float(signal), 0, SIGNAL_CEILING)
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def srgb_eotf_inverse(linear: ArrayLike) -> FloatArray:
    """Linear light to sRGB signal, both 1.0 at white. IEC 61966-2-1:1999, section 5.3."""
    linear = np.clip(as_float(linear), 0, LIGHT_CEILING)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def bt1886_eotf(signal: ArrayLike, white_nits: float = 1.0, black_nits: float = 0.0) -> FloatArray:
    """Signal (1.0 = white, super-white allowed) to light in the unit of `white_nits`.

    With black at 0 this is a pure power of 2.4. Signals below black go down to no light, never below.
    Rec. ITU-R BT.1886 (03/2011), Annex 1. Raises UsageError unless 0 <= black < white.
    """
    gain, lift = _bt1886_gain_and_lift(white_nits, black_nits)
    return gain * np.clip(as_float(signal) + lift, 0, SIGNAL_CEILING + lift) ** BT1886_GAMMA


def bt1886_eotf_inverse(light: ArrayLike, white_nits: float = 1.0, black_nits: float = 0.0) -> FloatArray:
    """Light in the unit of `white_nits` to signal; light darker than `black_nits` gives a signal below 0.

    Inverse of `bt1886_eotf` on its range. Rec. ITU-R BT.1886 (03/2011), Annex 1.
    """
    gain, lift = _bt1886_gain_and_lift(white_nits, black_nits)
    return (np.clip(as_float(light), 0, LIGHT_CEILING) / gain) ** (1 / BT1886_GAMMA) - lift


def _bt1886_gain_and_lift(white_nits: float, black_nits: float) -> tuple[float, float]:
    if not 0 <= black_nits < white_nits < np.inf:
        raise UsageError(
            f"BT.1886 black {black_nits} and white {white_nits} nits do not fit: 0 <= black < white is allowed; "
            "give the display's own levels."
        )
    white_root, black_root = white_nits ** (1 / BT1886_GAMMA), black_nits ** (1 / BT1886_GAMMA)
    return (white_root - black_root) ** BT1886_GAMMA, black_root / (white_root - black_root)


def pq_eotf(signal: ArrayLike) -> FloatArray:
    """PQ signal, clipped to [0, 1], to nits in [0, 10000]. Rec. ITU-R BT.2100-2, Table 4.

    Written around root - 1, for root - c1 and c2 - c3 root cancel in float32 (c2 - c3 is 1 - c1).
    """
    below_one = np.expm1(np.log(np.clip(as_float(signal), PQ_BLACK_SIGNAL, 1)) / PQ_M2)
    ratio = np.maximum(below_one + (1 - PQ_C1), 0) / ((PQ_C2 - PQ_C3) - PQ_C3 * below_one)
    return PQ_PEAK_NITS * ratio ** (1 / PQ_M1)


def pq_eotf_inverse(nits: ArrayLike) -> FloatArray:
    """Nits, clipped to [0, 10000], to PQ signal. Rec. ITU-R BT.2100-2, Table 4.

    No light is 7.3e-7, as the standard's formula has it, not exactly 0. Written around 1 like `pq_eotf`.
    """
    power = (np.clip(as_float(nits), 0, PQ_PEAK_NITS) / PQ_PEAK_NITS) ** PQ_M1
    return np.exp(PQ_M2 * np.log1p((PQ_C2 - PQ_C3) * (power - 1) / (1 + PQ_C3 * power)))


def hlg_oetf(scene: ArrayLike) -> FloatArray:
    """Scene light (1.0 = nominal peak) to HLG signal. Rec. ITU-R BT.2100-2, Table 5, HLG reference OETF."""
    scene = np.clip(as_float(scene), 0, LIGHT_CEILING)
    logarithmic = HLG_A * np.log(12 * np.maximum(scene, 1 / 12) - HLG_B) + HLG_C
    return np.where(scene <= 1 / 12, np.sqrt(3 * np.minimum(scene, 1 / 12)), logarithmic)


def hlg_oetf_inverse(signal: ArrayLike) -> FloatArray:
    """HLG signal (super-white allowed) to scene light (1.0 = nominal peak). Rec. ITU-R BT.2100-2, Table 5."""
    signal = np.clip(as_float(signal), 0, SIGNAL_CEILING)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12)


def hlg_system_gamma(peak_nits: float) -> float:
    """The HLG system gamma of a display in a reference environment: 1.2 at 1000 nits.

    400 to 2000 nits: Rec. ITU-R BT.2100-2, Table 5, note 5f. Outside: the extended formula of Report ITU-R
    BT.2390-10, section 6.2, kappa = 1.111. Raises UsageError unless 1 <= peak_nits <= 10000.
    """
    if not 1 <= peak_nits <= PQ_PEAK_NITS:
        raise UsageError(f"An HLG display peak of {peak_nits} nits is not usable: give 1 to 10000 nits.")
    if 400 <= peak_nits <= 2000:
        return float(1.2 + 0.42 * np.log10(peak_nits / 1000))
    return float(1.2 * 1.111 ** np.log2(peak_nits / 1000))


def hlg_ootf(rgb_scene: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """BT.2020 scene light (last axis RGB, 1.0 = nominal peak) to display nits, black at 0.

    Rec. ITU-R BT.2100-2, Table 5, HLG reference OOTF.
    """
    rgb = np.clip(as_float(rgb_scene), 0, LIGHT_CEILING)
    return peak_nits * rgb * _luminance_power(rgb, hlg_system_gamma(peak_nits) - 1)


def hlg_ootf_inverse(rgb_nits: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """Display nits (BT.2020, last axis RGB) to scene light. Rec. ITU-R BT.2100-2, Table 5, note 5i."""
    gamma = hlg_system_gamma(peak_nits)
    rgb = np.clip(as_float(rgb_nits) / peak_nits, 0, LIGHT_CEILING)
    return rgb * _luminance_power(rgb, (1 - gamma) / gamma)


def _luminance_power(rgb: FloatArray, exponent: float) -> FloatArray:
    """Luminance to a power, kept as a last axis of 1; 0 where there is no light, also for negative exponents."""
    luminance = (rgb @ np.asarray(BT2020_LUMINANCE, dtype=rgb.dtype))[..., np.newaxis]
    return np.where(luminance > 0, np.where(luminance > 0, luminance, 1) ** exponent, 0).astype(rgb.dtype, copy=False)


def hlg_eotf(signal: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """HLG R'G'B' signal (last axis RGB) to display nits, black at 0. Rec. ITU-R BT.2100-2, Table 5."""
    return hlg_ootf(hlg_oetf_inverse(signal), peak_nits)


def hlg_eotf_inverse(rgb_nits: ArrayLike, peak_nits: float = 1000.0) -> FloatArray:
    """Display nits (BT.2020, last axis RGB) to HLG R'G'B' signal. Rec. ITU-R BT.2100-2, Table 5, note 5i."""
    return hlg_oetf(hlg_ootf_inverse(rgb_nits, peak_nits))
