"""Gamut: how much of a picture is outside one, and how to bring it inside without turning its hue."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolchain.color.arrays import FloatArray, as_float
from toolchain.color.primaries import convert
from toolchain.color.transfer import LIGHT_CEILING
from toolchain.errors import UsageError


def outside_share(rgb_linear_bt2020: ArrayLike, target: str = "bt2020", tolerance: float = 2e-3) -> float:
    """The share of pixels, 0 to 1, whose colour lies outside the `target` primaries' triangle.

    Input is linear BT.2020 RGB (last axis 3) in any unit, before clipping. A pixel counts when a component in the
    target's primaries is below -tolerance times the pixel's largest magnitude, so rounding and black do not count,
    nor, by default, does P3 red, which lies 0.16 % outside BT.2020. Light above the peak is not a gamut question.
    The test is that of Report ITU-R BT.2407-0, section 2 (hard clipping). No pixels at all give 0. Raises
    UsageError for unknown primaries.
    """
    rgb = convert(rgb_linear_bt2020, "bt2020", target)
    outside = rgb.min(axis=-1) < -tolerance * np.abs(rgb).max(axis=-1)
    return float(outside.mean()) if outside.size else 0.0


def clip_to_gamut(rgb_linear: ArrayLike, coefficients: ArrayLike, peak: float = 1.0) -> FloatArray:
    """The nearest colour of the same hue and luminance with every component in [0, peak].

    `rgb_linear` is linear RGB (last axis 3) in the unit of `peak`; `coefficients` are its primaries'
    `luminance_coefficients`. A pixel outside is moved towards the grey of its own luminance until it fits; one
    inside is returned as it is. Luminance itself is clipped to [0, peak].
    """
    return _desaturate(rgb_linear, coefficients, peak, knee=1.0)


def compress_to_gamut(
    rgb_linear: ArrayLike, coefficients: ArrayLike, peak: float = 1.0, knee: float = 0.8
) -> FloatArray:
    """As `clip_to_gamut`, but soft: colours above `knee` of the possible saturation share what is left of it.

    Different colours outside the gamut stay different, at the price of slightly less saturation just inside it.
    Raises UsageError unless 0 <= knee < 1.
    """
    if not 0 <= knee < 1:
        raise UsageError(f"A gamut knee of {knee} is not usable: give 0 up to, not including, 1.")
    return _desaturate(rgb_linear, coefficients, peak, knee)


def _desaturate(rgb_linear: ArrayLike, coefficients: ArrayLike, peak: float, knee: float) -> FloatArray:
    rgb = np.clip(as_float(rgb_linear), -LIGHT_CEILING, LIGHT_CEILING)
    weights = np.asarray(coefficients, dtype=rgb.dtype)
    luminance = (rgb @ (weights / weights.sum()))[..., np.newaxis]
    grey = np.clip(luminance, 0, peak)
    chroma = rgb - luminance
    saturation = _saturation(chroma, grey, peak)
    kept = _roll_off(saturation, knee) / np.maximum(saturation, np.finfo(rgb.dtype).tiny)
    return np.clip(np.where(saturation > knee, grey + chroma * kept, rgb), 0, peak)


def _saturation(chroma: FloatArray, grey: FloatArray, peak: float) -> FloatArray:
    """How far each pixel goes from its grey (0) to the edge of the cube (1) and beyond, last axis kept as 1.

    The room is kept off 0 so that black and peak white, which have none, give a large number instead of a division
    by zero: their chroma is then scaled away.
    """
    least_room = np.finfo(chroma.dtype).eps * peak
    room = np.maximum(np.where(chroma > 0, peak - grey, grey), least_room)
    return np.max(np.abs(chroma) / room, axis=-1, keepdims=True)


def _roll_off(saturation: FloatArray, knee: float) -> FloatArray:
    """Saturation above the knee into (knee, 1): slope 1 at the knee, 1 at infinity; a knee of 1 is a hard clip."""
    if knee == 1:
        return np.minimum(saturation, 1)
    excess = np.maximum(saturation - knee, 0) / (1 - knee)
    return knee + (1 - knee) * excess / (1 + excess)
