"""Hue: colours keep their hue, skin above all."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import SourceView, View

MIN_CHROMA = 0.03
"""Paler colours lose their hue to the chroma quantiser of an encoder before any model touches it."""

SECTORS = 36
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
    _, ct, cp = cv2.split(source.half_itp)
    return ct * ct + cp * cp > MIN_CHROMA**2


def _coloured_skin(source: SourceView) -> NDArray[np.bool_]:
    return source.once(_coloured) & skin(source)


def _sectors(source: SourceView) -> NDArray[np.int32]:
    """The hue sector of each coloured pixel, in the order of the mask."""
    _, ct, cp = cv2.split(source.half_itp)
    mask = source.once(_coloured)
    angle = np.arctan2(cp[mask], ct[mask])
    return np.minimum((angle + np.pi) * (SECTORS / (2 * np.pi)), SECTORS - 1).astype(np.int32)


def _percentile(view: View, percent: float) -> float | None:
    """A percentile over pixels of the shift of each pixel's hue sector.

    A model turns all colours of one hue alike; the encoder's chroma noise turns each pixel another way, by 10 degrees
    and more in pale colours. So the shift is formed over sectors of source hue, weighted by chroma, not by pixel.
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
    cross, dot = (np.bincount(sector, values[mask], SECTORS) for values in view.once(_cross_and_dot))
    count = np.bincount(sector, minlength=SECTORS)
    return _degrees(cross, dot), np.where(count >= max(MIN_SHARE * mask.size, 1), count, 0)


def _cross_and_dot(view: View) -> tuple[Image, Image]:
    """Sine and cosine of each half-size pixel's hue shift at the source's luminance, times both chromas."""
    _, source_t, source_p = cv2.split(view.half_source_itp)
    _, mapped_t, mapped_p = cv2.split(view.half_mapped_itp)
    cross = source_t * mapped_p - source_p * mapped_t
    return np.asarray(cross, np.float32), np.asarray(source_t * mapped_t + source_p * mapped_p, np.float32)


def _degrees(cross: ArrayLike, dot: ArrayLike) -> NDArray[np.float64]:
    return np.degrees(np.arctan2(np.abs(cross), dot, dtype=np.float64))


_DOMAIN = "half-size light in ICtCp, hue angle of CtCp"
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
