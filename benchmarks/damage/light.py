"""Damage to light and colour: `(good output, place, strength) -> damaged output`, both BT.2020 nits, float32.

What may be damaged at all is asked of the picture itself, never of a gate.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import Image
from benchmarks.damage.place import Place
from toolchain.color.ictcp import ictcp_from_nits, nits_from_ictcp
from toolchain.color.primaries import conversion_matrix, luminance_coefficients

_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_TO_P3 = conversion_matrix("bt2020", "p3_d65").T.astype(np.float32)
VISIBLE_NITS = 0.15
COLOURED = 0.03
"""sqrt(Ct^2 + Cp^2) from which a pixel has a hue to speak of."""

SKIN_HUE_DEG = (108.0, 162.0)
SKIN_CHROMA = (0.015, 0.16)
SKIN_NITS = (2.0, 150.0)
"""Where the skin patches of a colour chart and the Monk tones lie at 203-nit white (toolchain.models.guards)."""

SKIN_GAP_PX = 15
"""Eyes, lips and shadows within a face belong to it."""

PEAK_NITS = 1000.0


def always(first: Image, place: Place, strength: float) -> bool:
    """Any picture can be damaged."""
    return True


# Light


def expose(output: Image, place: Place, stops: float) -> Image:
    """Everything brighter or darker."""
    return output * np.float32(2**stops)


def ceiling(output: Image, place: Place, percent: float) -> Image:
    """A hard top that this much of the shot's first frame reaches, beyond what reaches the source's own top."""
    top = place.first_source.max(axis=2)
    free = place.first_output.max(axis=2)[top < 0.97 * top.max()]
    rank = min(percent / 100 * top.size / max(free.size, 1), 1.0)
    return np.minimum(output, np.float32(np.quantile(free, 1 - rank)))


def toe(output: Image, place: Place, percent: float) -> Image:
    """Black up to a level that this much of the shot's visible shadows stays under; linear to four times that."""
    y = luminance(place.first_output)[luminance(place.first_source) >= VISIBLE_NITS]
    level = float(np.quantile(y, min(percent / 100 * place.graphics.size / max(y.size, 1), 1.0))) if y.size else 0.0
    return _to_luminance(output, lambda tone: np.where(tone < 4 * level, np.maximum(tone - level, 0) * 4 / 3, tone))


def subtract(output: Image, place: Place, nits: float) -> Image:
    """Black subtracted."""
    return _to_luminance(output, lambda y: np.maximum(y - nits, 0))


def has_shadows(first: Image, place: Place, nits: float) -> bool:
    """Subtracting takes twice the reference's limit of visible pixels: 1 %."""
    lost = (luminance(place.first_source) >= VISIBLE_NITS) & (luminance(first) <= nits)
    return float(lost.mean()) >= 0.01


def overexpand(output: Image, place: Place, exponent: float) -> Image:
    """All above 20 nits of the source raised by a power, up to the peak: glare instead of highlights."""
    y = luminance(place.source)
    gain = np.maximum(y / 20, 1) ** np.float32(exponent)
    return np.minimum(place.source * gain[..., None], PEAK_NITS).astype(np.float32)


# Colour


def turn(output: Image, place: Place, degrees: float) -> Image:
    """Every hue turned in CtCp."""
    return _turned(output, np.full(output.shape[:2], degrees, np.float32))


def turn_one(output: Image, place: Place, degrees: float) -> Image:
    """Hues far from the shot's main one turned, the others left."""
    return _turned(output, degrees * _soften(_second_hue(place.source, place.first_source)))


def tint_skin(output: Image, place: Place, degrees: float) -> Image:
    """Faces, and what else has the colours of skin, turned towards green with all that lies within."""
    return _turned(output, degrees * _soften(_skin(place.source)))


def has_colour(first: Image, place: Place, strength: float) -> bool:
    """At least a twentieth of the picture is coloured."""
    return float(np.mean(_chroma(place.first_source) > COLOURED)) >= 0.05


def has_second_hue(first: Image, place: Place, strength: float) -> bool:
    """A second hue fills 3 % of the picture and a tenth of what is coloured."""
    second = _second_hue(place.first_source, place.first_source).mean()
    return bool(second >= 0.03 and second >= 0.1 * np.mean(_chroma(place.first_source) > COLOURED))


def has_skin(first: Image, place: Place, strength: float) -> bool:
    """The clip shows faces, and skin fills 3 % of the picture."""
    return place.faces and float(_skin(place.first_source).mean()) >= 0.03


def saturate(output: Image, place: Place, factor: float) -> Image:
    """Chroma multiplied in BT.2020, negative light cut."""
    return np.maximum(negative(output, place, factor), 0)


def negative(output: Image, place: Place, factor: float) -> Image:
    """Chroma multiplied, negative light left in: colours that no BT.2020 signal holds."""
    y = luminance(output)[..., None]
    return (y + np.float32(factor) * (output - y)).astype(np.float32)


def has_vivid(first: Image, place: Place, factor: float) -> bool:
    """A hundredth of the picture turns visibly negative."""
    return float(np.mean(negative(first, place, factor).min(axis=2) < -1)) >= 0.01


def holes(output: Image, place: Place, percent: float) -> Image:
    """Pixels that are no numbers."""
    damaged = output.copy()
    damaged[np.random.default_rng(place.seed).random(output.shape[:2]) < percent / 100] = np.nan
    return damaged


def leave_p3(output: Image, place: Place, percent: float) -> Image:
    """A part of the picture whose hues reach further in BT.2020 than in P3, taken to BT.2020's edge."""
    pushed, gain = _to_the_edge(output)
    chosen = gain >= np.quantile(gain, 1 - percent / 100)
    return np.where(chosen[..., None], pushed, output).astype(np.float32)


def has_wide_hues(first: Image, place: Place, percent: float) -> bool:
    """There is that much of the picture to be taken out of P3."""
    return float(np.mean(_to_the_edge(first)[1] > 0)) >= 2 * percent / 100


def _to_the_edge(output: Image) -> tuple[Image, Image]:
    """All colours at the edge of BT.2020, luminance kept; and how much of each place this takes out of P3."""
    y = luminance(output)
    pure = output - output.min(axis=2, keepdims=True)
    pushed = pure * (y / np.maximum(luminance(pure), 1e-3))[..., None]
    pushed = np.where(luminance(pure)[..., None] > 0.02 * y[..., None], np.minimum(pushed, PEAK_NITS), output)
    negative_share = -(pushed @ _TO_P3).min(axis=2) / np.maximum(pushed.max(axis=2), 1e-3)
    outside = (negative_share > 0.05) & (y > 5)
    order = np.linspace(1, 1.01, outside.size).reshape(outside.shape)  # of places that are equal the lower ones
    return pushed.astype(np.float32), (cv2.blur(outside.astype(np.float32), (9, 9)) * outside * order).astype(
        np.float32
    )


# One place and not another


def blotch(output: Image, place: Place, nits: float) -> Image:
    """Patches of light over the picture, as a network that invents would leave."""
    return (output + nits * np.maximum(_patches(output), 0)[..., None]).astype(np.float32)


def uneven(output: Image, place: Place, stops: float) -> Image:
    """Patches brighter and patches darker by up to this."""
    return (output * np.exp2(stops * _patches(output))[..., None]).astype(np.float32)


def stain(output: Image, place: Place, share: float) -> Image:
    """Patches warmer and patches colder: red and blue changed by this share, luminance kept."""
    wave = share * _patches(output)
    damaged = output * np.stack([1 + wave, np.ones_like(wave), 1 - wave], axis=-1)
    ratio = luminance(output) / np.maximum(luminance(damaged.astype(np.float32)), 1e-6)
    return (damaged * ratio[..., None]).astype(np.float32)


def glare(output: Image, place: Place, nits: float) -> Image:
    """White letters and logos at this luminance."""
    letters = (place.graphics > 0.5) & (luminance(place.source) > 100)
    gain = np.where(letters, nits / np.maximum(luminance(output), 1), 1)
    return (output * gain[..., None]).astype(np.float32)


def has_graphics(first: Image, place: Place, nits: float) -> bool:
    """The clip carries an overlay."""
    return bool(place.graphics.any())


def luminance(nits: Image) -> Image:
    """BT.2020 luminance, HxW, of HxWx3."""
    return nits @ _LUMINANCE


def _to_luminance(output: Image, curve: Callable[[Image], NDArray[np.floating]]) -> Image:
    y = luminance(output)
    return (output * (curve(y) / np.maximum(y, 1e-6))[..., None]).astype(np.float32)


def _turned(nits: Image, degrees: Image) -> Image:
    """Hues turned by this much at each pixel, intensity and chroma kept, negative light cut."""
    intensity, ct, cp = np.moveaxis(ictcp_from_nits(nits), -1, 0)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = nits_from_ictcp(np.stack([intensity, cos * ct - sin * cp, sin * ct + cos * cp], axis=-1))
    return np.maximum(turned, 0).astype(np.float32)


def _chroma(nits: Image) -> Image:
    _, ct, cp = np.moveaxis(ictcp_from_nits(nits), -1, 0)
    return np.hypot(ct, cp)


def _second_hue(source: Image, first: Image) -> NDArray[np.bool_]:
    """Coloured pixels more than 60 degrees from the mean hue of the shot's first frame."""
    _, ct, cp = np.moveaxis(ictcp_from_nits(first), -1, 0)
    coloured = np.hypot(ct, cp) > COLOURED
    main = complex(ct[coloured].sum(), cp[coloured].sum()) or 1.0
    _, ct, cp = np.moveaxis(ictcp_from_nits(source), -1, 0)
    away = np.abs(np.angle((ct + 1j * cp) / main)) > np.pi / 3
    return (np.hypot(ct, cp) > COLOURED) & away


def _skin(source: Image) -> NDArray[np.bool_]:
    y = luminance(source)
    _, ct, cp = np.moveaxis(ictcp_from_nits(source), -1, 0)
    hue, chroma = np.degrees(np.arctan2(cp, ct)), np.hypot(ct, cp)
    inside = (hue > SKIN_HUE_DEG[0]) & (hue < SKIN_HUE_DEG[1]) & (y > SKIN_NITS[0]) & (y < SKIN_NITS[1])
    inside &= (chroma > SKIN_CHROMA[0]) & (chroma < SKIN_CHROMA[1])
    closed = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    return cv2.morphologyEx(closed, cv2.MORPH_CLOSE, np.ones((SKIN_GAP_PX, SKIN_GAP_PX))) > 0


def _soften(mask: NDArray[np.bool_]) -> Image:
    return np.asarray(cv2.blur(mask.astype(np.float32), (3, 3)), np.float32)


def _patches(output: Image) -> Image:
    """Soft patches in [-1, 1], a third of the picture's width each."""
    height, width = output.shape[:2]
    x, y = np.meshgrid(np.linspace(0, 3 * np.pi, width), np.linspace(0, 5 / 3 * np.pi, height))
    return (np.sin(x) * np.sin(y)).astype(np.float32)
