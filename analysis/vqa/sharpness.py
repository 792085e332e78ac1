"""Sharpness: edges are as steep as they were, beside the same edges seen coarsely."""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View

COARSE_SIGMA = 2.0
"""Pixels of the working picture: a blur that neither encoder nor sharpener reaches."""

EDGE_PU = 3.0
"""Slope in PU21 units a pixel, seen coarsely, from which the source has an edge."""

MIN_EDGES_SHARE = 0.001


def change_log2(view: View) -> float | None:
    """log2 of the output's edge sharpness over the source's: below 0 softer, above 0 sharper; None without edges.

    Sharpness is the RMS gradient of PU21 luma at edges over that of the same picture blurred, so a steeper tone curve
    is no sharpness; what is left of the curve is taken out by the fitted down-mapping. At working size: what a
    1080p picture has finer than about four of its own pixels is not seen. Formula ours.
    """
    source, mapped = view.source_pu, view.mapped_pu
    coarse = _energy(_blurred(source))
    edges = coarse >= EDGE_PU**2
    if np.count_nonzero(edges) < max(MIN_EDGES_SHARE * edges.size, 1):
        return None
    # Steps on both sides of a pixel may make an edge of it when seen coarsely, and leave it no slope of its own.
    before = max(_mean(_energy(source), edges) / _mean(coarse, edges), 1e-6)
    after = _mean(_energy(mapped), edges) / max(_mean(_energy(_blurred(mapped)), edges), 1e-6)
    return 0.5 * float(np.clip(np.log2(max(after, 1e-6) / before), -20, 20))


def amount_log2(view: View) -> float | None:
    """How far the sharpness is from the source's on either side, in log2; None without edges."""
    change = view.once(change_log2)
    return None if change is None else abs(change)


def _blurred(pu: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(pu, (0, 0), COARSE_SIGMA), np.float32)


def _energy(pu: Image) -> Image:
    """Squared gradient by central differences, PU21 units a pixel."""
    across, down = (cv2.Sobel(pu, -1, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1)))
    return np.asarray(across * across + down * down, np.float32)


def _mean(energy: Image, where: np.ndarray) -> float:
    return float(energy[where].mean(dtype=np.float64))


_DOMAIN = "PU21 luma of the down-mapped result at edges"
SHARPNESS = MetricSpec(
    "sharpness", "log2 ratio", (0.0, 10.0), "lower", _DOMAIN, "gate",
    "edges blurred or sharpened", neutral=0.0, measure=amount_log2, absent="no edges",
)  # fmt: skip
CHANGE = MetricSpec(
    "sharpness_change", "log2 ratio", (-10.0, 10.0), "neither", _DOMAIN, "description",
    "softer (below 0) or sharper edges", neutral=0.0, measure=lambda view: view.once(change_log2), absent="no edges",
)  # fmt: skip
