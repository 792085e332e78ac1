"""Letterbox: black bars around the active picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.signals.boxes import Fractions

BLACK_MARGIN = 6  # codes above black that still count as black (compression)
EDGE_STEP = 8.0  # codes by which the first line of picture stands out from the bar
MIN_BAR_SHARE = 0.02
MAX_BAR_SHARE = 0.4
MAX_ASYMMETRY = 0.02  # bars come in equal pairs; a dark top of a night scene does not


def active_picture(luma: NDArray[np.uint8], full_range: bool) -> Fractions | None:
    """The picture inside black bars as shares of the frame, x0, y0, x1, y1; None without bars.

    `luma` is HxW uint8. Bars are black lines at two opposite sides, equal within 2 % of the frame, with a sharp end.
    A black frame has none.
    """
    black = BLACK_MARGIN if full_range else 16 + BLACK_MARGIN
    top, bottom = _bars(luma, black)
    left, right = _bars(luma.T, black)
    if not (top or left):
        return None
    height, width = luma.shape
    return left / width, top / height, 1 - right / width, 1 - bottom / height


def _bars(luma: NDArray[np.uint8], black: int) -> tuple[int, int]:
    """Lines of bar at the start and the end; (0, 0) unless both are bars."""
    count = luma.shape[0]
    dark = np.quantile(luma, 0.95, axis=1) <= black
    if dark.all():
        return 0, 0
    start, end = int(np.argmin(dark)), int(np.argmin(dark[::-1]))
    limits = MIN_BAR_SHARE * count, MAX_BAR_SHARE * count
    if not all(limits[0] <= bar <= limits[1] for bar in (start, end)) or abs(start - end) > MAX_ASYMMETRY * count + 1:
        return 0, 0
    means = luma.mean(axis=1)
    # One line of tolerance: downscaling mixes the bar with the first line of picture.
    steps = (means[start + 1] - means[start - 1], means[count - end - 2] - means[count - end])
    return (start, end) if min(steps) >= EDGE_STEP else (0, 0)
