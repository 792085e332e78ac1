"""Hue: colours keep their hue, skin above all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.vqa.spec import Image
from analysis.vqa.view import View

MIN_CHROMA = 0.03
"""Paler colours lose their hue to the chroma quantiser of an encoder before any model touches it."""

KNEE_CODE = 0.8 * 219
"""Above it SDR pictures have their knee and their clip, component by component, which turn hues: there the source's
hue is no truth, and a result that turns it back is not damaged. Fidelity still watches those pixels."""

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
    mask = _coloured(view) & skin(view)
    if np.count_nonzero(mask) < max(MIN_SHARE * mask.size, 1):
        return None
    cross, dot = _cross_and_dot(view)
    return float(_degrees(cross[mask].sum(dtype=np.float64), dot[mask].sum(dtype=np.float64)))


def skin(view: View) -> NDArray[np.bool_]:
    """Half-size pixels whose Cb, Cr codes are those of skin.

    77..127 and 133..173: Chai and Ngan, Face segmentation using skin-color map, IEEE TCSVT 9(4), 1999.
    """
    red, green, blue = np.moveaxis(view.half_source_signal, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    cb, cr = 128 + (blue - luma) * (112 / 219 / 0.9278), 128 + (red - luma) * (112 / 219 / 0.7874)
    return (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173) & (luma > 30)


def _coloured(view: View) -> NDArray[np.bool_]:
    chroma = np.hypot(view.half_source_itp[..., 1], view.half_source_itp[..., 2])
    return (chroma > MIN_CHROMA) & (view.half_source_signal.max(axis=-1) < KNEE_CODE)


def _percentile(view: View, percent: float) -> float | None:
    """A percentile over pixels of the shift of each pixel's hue sector.

    A model turns all colours of one hue alike; the encoder's chroma noise turns each pixel another way, by 10 degrees
    and more in pale colours. So the shift is formed over sectors of source hue, weighted by chroma, not by pixel.
    """
    mask = _coloured(view)
    source = view.half_source_itp[mask]
    angle = np.arctan2(source[:, 2], source[:, 1])
    sector = np.minimum((angle + np.pi) * (SECTORS / (2 * np.pi)), SECTORS - 1).astype(np.int32)
    cross, dot = (np.bincount(sector, values[mask], SECTORS) for values in _cross_and_dot(view))
    shift, count = _degrees(cross, dot), np.bincount(sector, minlength=SECTORS)
    count = np.where(count >= max(MIN_SHARE * mask.size, 1), count, 0)
    if not count.any():
        return None
    order = np.argsort(shift)
    reached = np.cumsum(count[order])
    return float(shift[order][np.searchsorted(reached, percent / 100 * reached[-1])])


def _cross_and_dot(view: View) -> tuple[Image, Image]:
    """Sine and cosine of each half-size pixel's hue shift at the source's luminance, times both chromas."""
    _, source_t, source_p = np.moveaxis(view.half_source_itp, -1, 0)
    _, mapped_t, mapped_p = np.moveaxis(view.half_mapped_itp, -1, 0)
    return source_t * mapped_p - source_p * mapped_t, source_t * mapped_t + source_p * mapped_p


def _degrees(cross: ArrayLike, dot: ArrayLike) -> NDArray[np.float64]:
    return np.degrees(np.arctan2(np.abs(cross), dot, dtype=np.float64))
