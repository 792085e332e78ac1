"""From an HDR master to the SDR picture a colourist would have delivered, so that the pair's truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolchain.color.arrays import FloatArray, as_float
from toolchain.color.primaries import conversion_matrix, convert, luminance_coefficients
from toolchain.color.tonescale import bt2390_eetf, bt2446a_compress, bt2446c_compress
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf, bt1886_eotf_inverse
from toolchain.errors import UsageError

Curve = Literal["clip", "shoulder", "reinhard", "filmic", "bt2446a", "bt2446c", "bt2390"]
CURVES: tuple[Curve, ...] = get_args(Curve)


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
    """`shoulder` only: relative light (1.0 = 203 nits) up to which nothing changes."""

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise UsageError(f"Grade curve {self.curve!r} is not known: use one of {', '.join(CURVES)}.")
        if not 0.0 < self.knee < 1.0:
            raise UsageError(f"A knee of {self.knee} is not usable: it lies between 0 and 1, both excluded.")
        if not REFERENCE_WHITE_NITS < self.peak_nits <= 10000.0:
            raise UsageError(
                f"A master peak of {self.peak_nits} nits is not usable: give more than 203, up to 10000."
            )
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
    shown = _LIGHT_CURVES[recipe.curve](light, recipe)
    return bt1886_eotf_inverse(np.clip(shown, 0.0, 1.0)).astype(np.float32)


_TO_BT709 = conversion_matrix("bt2020", "bt709").T.astype(np.float32)
_LUMINANCE_709 = luminance_coefficients("bt709")


def _saturate(light: FloatArray, amount: float) -> FloatArray:
    """Move every colour away from (amount > 1) or towards (< 1) the grey of the same luminance."""
    if amount == 1.0:
        return light
    luminance = light @ _LUMINANCE_709.astype(light.dtype)
    return luminance[..., None] + amount * (light - luminance[..., None])


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

    exposed = 2.0 * light
    return curve(exposed) / float(curve(as_float(2.0 * recipe.peak_nits / REFERENCE_WHITE_NITS)))


def _bt2390(light: FloatArray, recipe: GradeRecipe) -> FloatArray:
    shown = bt2390_eetf(light * REFERENCE_WHITE_NITS, recipe.peak_nits, REFERENCE_WHITE_NITS)
    return shown / REFERENCE_WHITE_NITS


_LIGHT_CURVES: dict[str, Callable[[FloatArray, GradeRecipe], FloatArray]] = {
    "clip": _clip,
    "shoulder": _shoulder,
    "reinhard": _reinhard,
    "filmic": _filmic,
    "bt2390": _bt2390,
}
_SIGNAL_CURVES: dict[str, Callable[[FloatArray, GradeRecipe], FloatArray]] = {
    "bt2446a": lambda nits, recipe: bt2446a_compress(nits, recipe.peak_nits),
    "bt2446c": lambda nits, _: bt2446c_compress(nits),
}
