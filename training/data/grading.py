"""From an HDR master to the SDR picture a colourist would have delivered, so that the pair's truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolchain.color.arrays import FloatArray, as_float
from toolchain.color.gamut import clip_to_gamut
from toolchain.color.primaries import conversion_matrix, convert, luminance_coefficients
from toolchain.color.tonescale import bt2390_eetf, bt2446a_compress, bt2446c_compress
from toolchain.color.transfer import BT1886_GAMMA, REFERENCE_WHITE_NITS, bt1886_eotf, bt1886_eotf_inverse
from toolchain.errors import UsageError

Curve = Literal[
    "clip",
    "shoulder",
    "reinhard",
    "filmic",
    "rational",
    "camera",
    "sigmoid",
    "knee",
    "bt2446a",
    "bt2446c",
    "bt2390",
]
CURVES: tuple[Curve, ...] = get_args(Curve)
UNSEEN_CURVES: tuple[Curve, ...] = ("sigmoid", "bt2446c", "knee")
"""Whole families kept from every training: a log-sigmoid, a standard's, a camera's. They judge what was learnt."""

Target = Literal["channels", "luminance"]


@dataclass(frozen=True)
class GradeRecipe:
    """One way of making SDR from HDR.

    `clip` and `shoulder` are anchored: below the shoulder's knee the SDR picture shown at 203-nit white equals the
    master. The others darken or compress mid-tones too, each in its own way.
    """

    curve: Curve = "shoulder"
    exposure_ev: float = 0.0
    saturation: float = 1.0
    peak_nits: float = 1000.0
    """Brightest light of the master: it reaches SDR white, except under `clip` and `bt2446c`."""
    knee: float = 0.6
    """`shoulder` and `knee`: relative light (1.0 = 203 nits) up to which nothing changes."""
    strength: float = 1.0
    """How far `filmic`, `rational`, `camera` and `sigmoid` bend: exposure before the curve, or its contrast."""
    applied_to: Target = "channels"
    """R, G and B each through the curve (colours bleach towards white), or luminance alone (they keep their hue).
    BT.2446 says itself what it is applied to."""

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise UsageError(f"Grade curve {self.curve!r} is not known: use one of {', '.join(CURVES)}.")
        if not 0.0 < self.knee < 1.0:
            raise UsageError(f"A knee of {self.knee} is not usable: it lies between 0 and 1, both excluded.")
        if not REFERENCE_WHITE_NITS < self.peak_nits <= 10000.0:
            raise UsageError(
                f"A master peak of {self.peak_nits} nits is not usable: give more than 203, up to 10000."
            )
        if not 0.25 <= self.strength <= 4.0:
            raise UsageError(f"A curve strength of {self.strength} is not usable: give 0.25 to 4, 1 is the usual.")
        if self.applied_to not in get_args(Target):
            raise UsageError(f"A curve cannot be applied to {self.applied_to!r}: use channels or luminance.")
        if not (-8.0 <= self.exposure_ev <= 8.0 and 0.0 <= self.saturation <= 2.0):
            raise UsageError(
                f"Exposure {self.exposure_ev} EV with saturation {self.saturation} is not usable: "
                "give -8 to 8 EV and 0 to 2."
            )


SAMPLE_GRADE = GradeRecipe()
"""Mid-tones kept at the 203-nit anchor, highlights rolled off from 122 nits up."""


def grade(rgb_nits: ArrayLike, recipe: GradeRecipe = SAMPLE_GRADE) -> NDArray[np.float32]:
    """(..., 3) BT.2020 linear nits -> (..., 3) float32 BT.709 R'G'B' signal in [0, 1] for a BT.1886 display.

    Colours outside BT.709 are clipped there. 1.0 of the signal is 203 nits of the anchored curves.
    """
    nits = np.asarray(rgb_nits, dtype=np.float32) * np.float32(2.0**recipe.exposure_ev)
    if recipe.curve in _SIGNAL_CURVES:
        signal_2020 = _SIGNAL_CURVES[recipe.curve](nits, recipe)
        light = convert(bt1886_eotf(np.clip(signal_2020, 0.0, 1.0)), "bt2020", "bt709")
        return bt1886_eotf_inverse(np.clip(_saturate(light, recipe.saturation), 0.0, 1.0)).astype(np.float32)
    light = nits @ (_TO_BT709 / np.float32(REFERENCE_WHITE_NITS))
    light = np.maximum(_saturate(light, recipe.saturation), 0.0)
    curve = _LIGHT_CURVES[recipe.curve]
    shown = curve(light, recipe) if recipe.applied_to == "channels" else _on_luminance(light, curve, recipe)
    return bt1886_eotf_inverse(np.clip(shown, 0.0, 1.0)).astype(np.float32)


LightCurve = Callable[[FloatArray, GradeRecipe], FloatArray]
_CAMERA_GAIN = 24.0
_TO_BT709 = conversion_matrix("bt2020", "bt709").T.astype(np.float32)
_LUMINANCE_709 = luminance_coefficients("bt709")


def _saturate(light: FloatArray, amount: float) -> FloatArray:
    """Move every colour away from (amount > 1) or towards (< 1) the grey of the same luminance."""
    if amount == 1.0:
        return light
    luminance = light @ _LUMINANCE_709.astype(light.dtype)
    return luminance[..., None] + amount * (light - luminance[..., None])


def _on_luminance(light: FloatArray, curve: LightCurve, recipe: GradeRecipe) -> FloatArray:
    """The curve on luminance; R, G and B keep their ratios, and what then leaves the cube loses saturation."""
    luminance = (light @ _LUMINANCE_709.astype(light.dtype))[..., None]
    ratio = curve(luminance, recipe) / np.maximum(luminance, np.finfo(np.float32).tiny)
    return clip_to_gamut(light * ratio, _LUMINANCE_709)


def _clip(light: FloatArray, _: GradeRecipe) -> FloatArray:
    return np.minimum(light, 1.0)


def _shoulder(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """Identity to the knee, then k + a u / (u + b) through slope 1 at the knee and 1.0 at the peak."""
    room, reach = 1.0 - recipe.knee, recipe.peak_nits / REFERENCE_WHITE_NITS - recipe.knee
    over = np.maximum(light - recipe.knee, 0.0)
    scale = room * reach / (reach - room)
    return np.minimum(light, recipe.knee) + scale * over / (over + scale)


def _reinhard(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """L (1 + L / Lp^2) / (1 + L): E. Reinhard et al., Photographic Tone Reproduction, 2002, equation 4."""
    peak = recipe.peak_nits / REFERENCE_WHITE_NITS
    return light * (1.0 + light / peak**2) / (1.0 + light)


def _filmic(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """An S-curve with a toe: J. Hable's operator (GDC 2010, A B C D E F = .15 .5 .1 .2 .02 .3), white at the peak."""

    def curve(x: FloatArray) -> FloatArray:
        return (x * (0.15 * x + 0.05) + 0.004) / (x * (0.15 * x + 0.50) + 0.06) - 0.02 / 0.30

    bias = 2.0 * recipe.strength
    return curve(bias * light) / float(curve(as_float(bias * recipe.peak_nits / REFERENCE_WHITE_NITS)))


def _rational(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """An ACES-like curve: S. Hill's fit of RRT + ODT (BakingLab, 2016), on each channel, white at the peak.

    Without the fit's input and output matrices, which rotate hues; its tiny negative black is cut off.
    """

    def curve(x: FloatArray) -> FloatArray:
        return (x * (x + 0.0245786) - 0.000090537) / (x * (0.983729 * x + 0.4329510) + 0.238081)

    exposed = recipe.strength * light
    white = float(curve(as_float(recipe.strength * recipe.peak_nits / REFERENCE_WHITE_NITS)))
    return np.maximum(curve(exposed), 0.0) / white


def _camera(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """A camera's log picture with a contrast S-curve on it, as dailies and consumer cameras show it.

    Signal = ln(1 + 24 x) over its value at the peak, mixed with its own smoothstep by 0.35 * strength (at most all).
    """
    peak = recipe.peak_nits / REFERENCE_WHITE_NITS
    code = np.minimum(np.log1p(_CAMERA_GAIN * light) / np.log1p(_CAMERA_GAIN * peak), 1.0)
    bent = min(0.35 * recipe.strength, 1.0)
    return ((1.0 - bent) * code + bent * code * code * (3.0 - 2.0 * code)) ** BT1886_GAMMA


def _sigmoid(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """An AgX-like picture: channels crosstalk a little, then a sigmoid over 10 stops below grey to the peak in log2.

    The idea is T. Sobotka's AgX (2019): inset, log2 encoding, sigmoid, outset. The sigmoid here is t^a / (t^a + b
    (1 - t)^a) through signal 0.5 at 18 % grey, a = 2.4 * strength.
    """
    grey, stops_below = 0.18, 10.0
    stops_above = float(np.log2(recipe.peak_nits / REFERENCE_WHITE_NITS / grey))
    mixed = light if light.shape[-1] == 1 else light @ _mixing(0.10).astype(light.dtype)
    stops = np.log2(np.maximum(mixed, 2.0**-24) / grey)
    t = np.clip((stops + stops_below) / (stops_below + stops_above), 0.0, 1.0)
    slope, pivot = 2.4 * recipe.strength, stops_below / (stops_below + stops_above)
    balance = (pivot / (1.0 - pivot)) ** slope
    shown = (t**slope / (t**slope + balance * (1.0 - t) ** slope)) ** BT1886_GAMMA
    return shown if light.shape[-1] == 1 else shown @ np.linalg.inv(_mixing(0.07)).astype(light.dtype)


def _mixing(share: float) -> FloatArray:
    """Each channel gives `share` of itself to the mean of all three; rows sum to 1, so grey stays grey."""
    return (1.0 - share) * np.eye(3) + share / 3.0


def _knee(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    """A broadcast camera's knee: the signal is linear up to a point, then straight to white at the peak's signal."""
    point = recipe.knee ** (1.0 / BT1886_GAMMA)
    peak = (recipe.peak_nits / REFERENCE_WHITE_NITS) ** (1.0 / BT1886_GAMMA)
    signal = bt1886_eotf_inverse(light)
    over = np.maximum(signal - point, 0.0)
    return np.minimum(np.minimum(signal, point) + over * (1.0 - point) / (peak - point), 1.0) ** BT1886_GAMMA


def _bt2390(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    shown = bt2390_eetf(light * REFERENCE_WHITE_NITS, recipe.peak_nits, REFERENCE_WHITE_NITS)
    return shown / REFERENCE_WHITE_NITS


_LIGHT_CURVES: dict[str, LightCurve] = {
    "clip": _clip,
    "shoulder": _shoulder,
    "reinhard": _reinhard,
    "filmic": _filmic,
    "rational": _rational,
    "camera": _camera,
    "sigmoid": _sigmoid,
    "knee": _knee,
    "bt2390": _bt2390,
}
_SIGNAL_CURVES: dict[str, Callable[[FloatArray, GradeRecipe], FloatArray]] = {
    "bt2446a": lambda nits, recipe: bt2446a_compress(nits, recipe.peak_nits),
    "bt2446c": lambda nits, _: bt2446c_compress(nits),
}
