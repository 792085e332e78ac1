"""Ringing: no halo and no oscillation beside strong edges that the source does not have."""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View

REACH_PIXELS = 9
EDGE_PU = 40.0
"""Contrast in PU21 units within the reach that makes an edge strong; all of SDR, black to white, is 304."""

MIN_EDGES_SHARE = 0.001


def overshoot_percent(view: View) -> float | None:
    """How far the output leaves the source's range of 3x3 pixels beside strong edges, in % of the edge's contrast.

    Taken on the down-mapped output. A rising tone curve moves the range with the pixel, whatever its slope, so it
    scores 0; a halo, an overshoot or an oscillation lies outside. 95th percentile of the pixels within reach of a
    strong edge; None where there are hardly any. At working size, as `sharpness` is. Formula ours.
    """
    source, mapped = view.source_pu, view.mapped_pu
    darkest, brightest = _range(source, REACH_PIXELS)
    contrast = brightest - darkest
    near = contrast >= EDGE_PU
    if np.count_nonzero(near) < max(MIN_EDGES_SHARE * near.size, 1):
        return None
    low, high = _range(source, 3)
    outside = np.maximum(np.maximum(mapped - high, low - mapped), 0)
    return float(np.percentile(outside[near] / contrast[near], 95) * 100)


def _range(pu: Image, size: int) -> tuple[Image, Image]:
    """Smallest and largest value in the square around each pixel."""
    square = np.ones((size, size), np.uint8)
    return np.asarray(cv2.erode(pu, square), np.float32), np.asarray(cv2.dilate(pu, square), np.float32)


RINGING = MetricSpec(
    "ringing", "% of contrast", (0.0, 2000.0), "lower", "PU21 luma of the down-mapped result", "gate",
    "halos and oscillation beside strong edges", neutral=0.0, measure=overshoot_percent, absent="no strong edges",
)  # fmt: skip
