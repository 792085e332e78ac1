"""Hue: colours keep their hue, skin above all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.vqa.view import View

MIN_CHROMA = 0.02
MIN_SHARE = 0.005
"""Below this share of the frame there are too few coloured pixels to speak of a hue."""


def shift_degrees(view: View) -> NDArray[np.float32]:
    """|hue angle change| in the Ct, Cp plane of each half-size pixel, both at the source's luminance."""
    source, mapped = view.half_source_itp, view.half_mapped_itp
    cross = source[..., 1] * mapped[..., 2] - source[..., 2] * mapped[..., 1]
    dot = source[..., 1] * mapped[..., 1] + source[..., 2] * mapped[..., 2]
    return np.degrees(np.arctan2(np.abs(cross), dot))


def median(view: View) -> float | None:
    """Median hue shift of the coloured pixels in degrees; None where the frame has hardly any."""
    return _percentile(view, _coloured(view), 50)


def p95(view: View) -> float | None:
    """95th percentile of the hue shift of the coloured pixels in degrees; None where the frame has hardly any."""
    return _percentile(view, _coloured(view), 95)


def skin_median(view: View) -> float | None:
    """Median hue shift of skin-coloured pixels in degrees; None where the frame has hardly any."""
    return _percentile(view, _coloured(view) & skin(view), 50)


def skin(view: View) -> NDArray[np.bool_]:
    """Half-size pixels whose Cb, Cr codes are those of skin.

    77..127 and 133..173: Chai and Ngan, Face segmentation using skin-color map, IEEE TCSVT 9(4), 1999.
    """
    red, green, blue = np.moveaxis(view.half_source_signal, -1, 0)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    cb, cr = 128 + (blue - luma) * (112 / 219 / 0.9278), 128 + (red - luma) * (112 / 219 / 0.7874)
    return (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173) & (luma > 30)


def _coloured(view: View) -> NDArray[np.bool_]:
    return np.hypot(view.half_source_itp[..., 1], view.half_source_itp[..., 2]) > MIN_CHROMA


def _percentile(view: View, mask: NDArray[np.bool_], percent: float) -> float | None:
    if np.count_nonzero(mask) < max(MIN_SHARE * mask.size, 1):
        return None
    return float(np.percentile(shift_degrees(view)[mask], percent))
