"""The mid-tone convention: any expanding model shifted so that its mid-tones keep the SDR picture's brightness.

At SDR mid-tones the output equals the picture at 203-nit white times 2**mid_gain_ev (BT.2408 reference white);
towards white the shift fades out, so the model still reaches its own highlights, and black stays black.
"""

from __future__ import annotations

import numpy as np

from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf, bt1886_eotf_inverse
from toolchain.models.curves import grey_nits, luminance, smoothstep
from toolchain.models.spec import FloatArray, PixelFunction

MID_SIGNALS = np.linspace(0.3, 0.6, 13)
"""SDR greys taken for mid-tones: 11 to 60 nits at 203-nit white, where faces and most of a picture lie."""

FADE_SIGNALS = (0.6, 1.0)
"""The shift is whole up to the first signal and gone from the second."""

LEAST_CONTRAST = 0.25
"""The smallest slope d log(out) / d log(in) the fade may leave; where a model has less of its own, it keeps that."""


def native_mid_gain_ev(expand: PixelFunction) -> float:
    """The model's own mid-tone gain over the SDR picture at 203-nit white: mean EV over `MID_SIGNALS`."""
    sdr_nits = REFERENCE_WHITE_NITS * bt1886_eotf(MID_SIGNALS)
    # The floor keeps a model that shows nothing at some grey from making the mean infinite.
    return float(np.mean(np.log2(np.maximum(grey_nits(expand, MID_SIGNALS), 1e-3) / sdr_nits)))


def anchored(expand: PixelFunction, mid_gain_ev: float) -> PixelFunction:
    """`expand` with its mean mid-tone gain at `mid_gain_ev`; its contrast within the mid-tones stays its own.

    A luminance ratio 2**(shift (1 - fade)), so hue and saturation stay. Where a rise of the mid-tones leaves too
    little room below the model's white, white rises as well: the grey axis stays monotone if it was.
    """
    shift_ev = mid_gain_ev - native_mid_gain_ev(expand)
    fade = _fade_share(expand, shift_ev)

    def shifted(rgb: FloatArray) -> FloatArray:
        signal = bt1886_eotf_inverse(luminance(rgb))
        gain_ev = shift_ev * (1 - fade * smoothstep(*FADE_SIGNALS, signal))
        return expand(rgb) * np.exp2(gain_ev)[..., np.newaxis]

    return shifted


def _fade_share(expand: PixelFunction, shift_ev: float) -> float:
    """How much of the shift may fade towards white, 0..1, for the grey axis to stay monotone."""
    if shift_ev <= 0:
        return 1.0  # highlights pulled away from lowered mid-tones only steepen the curve
    signals = np.linspace(*FADE_SIGNALS, 81)
    light_ev = np.log2(bt1886_eotf(signals))
    own_ev = np.log2(np.maximum(grey_nits(expand, signals), 1e-3))
    own_slope = np.diff(own_ev) / np.diff(light_ev)
    fade_slope = shift_ev * np.diff(smoothstep(*FADE_SIGNALS, signals)) / np.diff(light_ev)
    spare = np.maximum(own_slope - LEAST_CONTRAST, 0)
    return float(np.clip(np.min(spare / fade_slope), 0, 1))
