"""Hue: colours keep their hue, skin above all."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.tones import MIDTONES_NITS, TINY_NITS
from analysis.vqa.view import SourceView, View, largest, mix, to_ictcp
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.color.transfer import REFERENCE_WHITE_NITS

MIN_CHROMA = 0.03
"""Paler areas lose their hue to the chroma quantiser of an encoder before any model touches it."""

SECTORS = 36
EQUAL_SHARE = 0.05
"""Components this close count as equal: both may have been cut at white."""

UP_SETS = tuple(chosen for chosen in product((False, True), repeat=3) if any(chosen) and not all(chosen))
"""Which components were bent. All three at once turn little that the sets of two do not."""

MIN_SHARE = 0.01
"""Below this share of the frame there are too few pixels of a hue, or of skin, to judge it by."""


def median(view: View) -> float | None:
    """Hue shift that half of the coloured pixels exceed, in degrees; None where the frame has hardly any."""
    return _percentile(view, 50)


def p95(view: View) -> float | None:
    """Hue shift that 5 % of the coloured pixels exceed, in degrees; None where the frame has hardly any."""
    return _percentile(view, 95)


def skin_shift(view: View) -> float | None:
    """Mean hue shift of skin-coloured pixels, weighted by chroma, in degrees; None where there are hardly any."""
    mask = view.of_source.once(_coloured_skin)
    if np.count_nonzero(mask) < max(MIN_SHARE * mask.size, 1):
        return None
    cross, dot = view.once(_cross_and_dot)
    return float(_degrees(cross[mask].sum(dtype=np.float64), dot[mask].sum(dtype=np.float64)))


def skin(source: SourceView) -> NDArray[np.bool_]:
    """Half-size pixels whose Cb, Cr codes are those of skin.

    77..127 and 133..173: Chai and Ngan, Face segmentation using skin-color map, IEEE TCSVT 9(4), 1999.
    """
    red, green, blue = cv2.split(source.half_signal)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    cb, cr = 128 + (blue - luma) * (112 / 219 / 0.9278), 128 + (red - luma) * (112 / 219 / 0.7874)
    return (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173) & (luma > 30)


def _coloured(source: SourceView) -> NDArray[np.bool_]:
    _, ct, cp = cv2.split(source.soft_itp)
    return ct * ct + cp * cp > MIN_CHROMA**2


def _coloured_skin(source: SourceView) -> NDArray[np.bool_]:
    return source.once(_coloured) & skin(source)


def _sectors(source: SourceView) -> NDArray[np.int32]:
    """The hue sector of each coloured pixel, in the order of the mask."""
    _, ct, cp = cv2.split(source.soft_itp)
    mask = source.once(_coloured)
    angle = np.arctan2(cp[mask], ct[mask])
    return np.minimum((angle + np.pi) * (SECTORS / (2 * np.pi)), SECTORS - 1).astype(np.int32)


def _percentile(view: View, percent: float) -> float | None:
    """A percentile over areas of the shift of each one's hue sector.

    A model turns all colours of one hue alike; the encoder's chroma noise turns each place another way, by 10 degrees
    and more in pale colours. So the shift is formed over sectors of source hue, weighted by chroma, not by place.
    What a sector turns within its bend (`_bends`) is no shift.
    """
    shift, count = view.once(_sector_shifts)
    if not count.any():
        return None
    order = np.argsort(shift)
    reached = np.cumsum(count[order])
    return float(shift[order][np.searchsorted(reached, percent / 100 * reached[-1])])


def _sector_shifts(view: View) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each sector's shift in degrees, and how many pixels it holds; 0 where they are too few."""
    mask, sector = view.of_source.once(_coloured), view.of_source.once(_sectors)
    turned = _turns(sector, *(values[mask] for values in view.once(_cross_and_dot)))
    count = np.bincount(sector, minlength=SECTORS)
    shift = np.abs(turned - np.clip(turned, *_bends(view)))
    return shift, np.where(count >= max(MIN_SHARE * mask.size, 1), count, 0)


def _bends(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The turns of each sector, in signed degrees from the lowest to the highest, that may be the master's own hue.

    An SDR grade that cuts or bends BT.709 components one by one turns the hue of bright colours, and nobody can tell
    from the SDR picture whether it did. What can be told: no component was bent more than a smaller one was. So every
    component above 60 nits may go up to what white becomes in this output, larger ones first, equal ones in any
    order. An output that raises nothing has no such freedom.
    """
    mask, sector = view.of_source.once(_coloured), view.of_source.once(_sectors)
    components = mix(view.half_source, conversion_matrix("bt2020", "bt709"))[mask]
    bright, power = components.max(axis=1, initial=0) > MIDTONES_NITS[1], _rise(view)
    if power <= 1 or not bright.any():
        return np.zeros(SECTORS), np.zeros(SECTORS)
    source = view.half_source_itp[mask]
    chroma = np.square(source[:, 1:]).sum(axis=1)
    total = np.maximum(np.bincount(sector, chroma, SECTORS), 1e-12)
    low, high = _pixel_bends(components[bright], source[bright], power)
    weight = chroma[bright]
    lowest, highest = (np.bincount(sector[bright], weight * turn, SECTORS) / total for turn in (low, high))
    return lowest, highest


def _pixel_bends(components: Image, source: Image, power: float) -> tuple[Image, Image]:
    """Lowest and highest turn of pixels in signed degrees, at most 0 and at least 0. (N, 3) BT.709 nits and ICtCp."""
    raised = components * np.maximum(components / np.float32(MIDTONES_NITS[1]), 1) ** np.float32(power - 1)
    weights = luminance_coefficients("bt709")[None]
    wanted = mix(components[None], weights)[0]
    low, high = np.zeros(len(source), np.float32), np.zeros(len(source), np.float32)
    for chosen in UP_SETS:
        inside, outside = components[:, chosen].min(axis=1), components[:, [not one for one in chosen]].max(axis=1)
        allowed = np.flatnonzero(inside * np.float32(1 + EQUAL_SHARE) >= outside)
        if not allowed.size:
            continue
        light = np.where(chosen, raised[allowed], components[allowed])
        light *= (wanted[allowed] / np.maximum(mix(light[None], weights)[0], np.float32(TINY_NITS)))[:, None]
        target = to_ictcp(np.maximum(mix(light[None], conversion_matrix("bt709", "bt2020")), 0))[0]
        cross, dot = _between(source[allowed].T, target.T)
        turn = np.degrees(np.arctan2(cross, dot))
        low[allowed], high[allowed] = np.minimum(low[allowed], turn), np.maximum(high[allowed], turn)
    return low, high


def _rise(view: View) -> float:
    """The power of light above mid-tones by which SDR white becomes the output's brightest component, at least 1."""
    components = largest(mix(view.half_output, conversion_matrix("bt2020", "bt709")))
    brightest = np.partition(components.ravel(), -max(components.size // 1000, 1))[-max(components.size // 1000, 1)]
    mid = view.tones.level + view.tones.contrast * np.log2(MIDTONES_NITS[1])
    rise = np.log2(max(float(brightest), MIDTONES_NITS[1])) - mid
    return max(float(rise / np.log2(REFERENCE_WHITE_NITS / MIDTONES_NITS[1])), 1.0)


def _turns(sector: NDArray[np.int32], cross: Image, dot: Image) -> NDArray[np.float64]:
    """Each sector's mean turn in signed degrees."""
    sine, cosine = (np.bincount(sector, values, SECTORS) for values in (cross, dot))
    return np.degrees(np.arctan2(sine, cosine))


def _cross_and_dot(view: View) -> tuple[Image, Image]:
    """Sine and cosine of each area's hue shift at the source's luminance, times both chromas.

    Of means of 7x7: an encoder mixes the colours of fine detail, which turns single pixels and not areas.
    """
    return _between(cv2.split(view.soft_source_itp), cv2.split(view.soft_mapped_itp))


def _between(source: Iterable[NDArray[Any]], target: Iterable[NDArray[Any]]) -> tuple[Image, Image]:
    """Sine and cosine of the turn from one hue to another, times both chromas; ICtCp planes of the same shape."""
    (_, source_t, source_p), (_, target_t, target_p) = source, target
    cross, dot = source_t * target_p - source_p * target_t, source_t * target_t + source_p * target_p
    return np.asarray(cross, np.float32), np.asarray(dot, np.float32)


def _degrees(cross: ArrayLike, dot: ArrayLike) -> NDArray[np.float64]:
    return np.degrees(np.arctan2(np.abs(cross), dot, dtype=np.float64))


_DOMAIN = "half-size light in ICtCp, mean of 7x7, hue angle of CtCp"
MEDIAN = MetricSpec(
    "hue_median", "degree", (0.0, 180.0), "lower", _DOMAIN, "gate", "how far most colours turn",
    neutral=0.0, measure=median, absent="no coloured pixels",
)  # fmt: skip
P95 = MetricSpec(
    "hue_p95", "degree", (0.0, 180.0), "lower", _DOMAIN, "gate", "how far the worst colours turn",
    neutral=0.0, measure=p95, absent="no coloured pixels",
)  # fmt: skip
SKIN = MetricSpec(
    "skin", "degree", (0.0, 180.0), "lower", _DOMAIN, "gate", "how far skin turns",
    neutral=0.0, measure=skin_shift, absent="no skin",
)  # fmt: skip
