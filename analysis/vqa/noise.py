"""Noise: grain is not amplified where the picture is flat."""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.tones import MIDTONES_NITS
from analysis.vqa.view import View

BLOCK_PIXELS = 16
FLAT_SHARE = 0.2
FLOOR_PU = 1.0
"""One to two codes of ten-bit PQ in PU21: below this, both sides count as clean."""

_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Gain 1 on white noise and 0 on slopes: J. Immerkaer, Fast Noise Variance Estimation, CVIU 64 (1996)."""


def amplification(view: View) -> float | None:
    """Noise sigma of the output over that of the source at the exposure asked for, in PU21.

    Taken on the flattest fifth of blocks that are not highlights.

    Highlights (above 60 nits) stay out: an expansion spreads them, and their grain with them, by intent. None where
    no block lies below.
    """
    height, width = (size // BLOCK_PIXELS for size in view.source_y.shape)
    if not height or not width:
        return None
    blocks = cv2.resize(
        view.source_y[: height * BLOCK_PIXELS, : width * BLOCK_PIXELS], (width, height), interpolation=cv2.INTER_AREA
    )
    usable = (blocks >= 0.5) & (blocks <= MIDTONES_NITS[1])
    if not usable.any():
        return None
    structure = _structure(view.source_pu, height, width)
    flat = usable & (structure <= np.quantile(structure[usable], FLAT_SHARE))
    return float(_sigma(view.output_pu, flat) / _sigma(view.reference.pu, flat))


def _structure(pu: Image, height: int, width: int) -> Image:
    """How much each block varies at a scale where grain has gone."""
    cells = cv2.resize(
        pu[: height * BLOCK_PIXELS, : width * BLOCK_PIXELS], (width * 4, height * 4), interpolation=cv2.INTER_AREA
    )
    cells = cells.reshape(height, 4, width, 4)
    return cells.max(axis=(1, 3)) - cells.min(axis=(1, 3))


def _sigma(pu: Image, flat: np.ndarray) -> float:
    """1.4826 MAD of the Laplacian over the flat blocks, and the floor, added as powers."""
    height, width = flat.shape
    laplacian = np.abs(cv2.filter2D(pu, -1, _LAPLACIAN)[: height * BLOCK_PIXELS, : width * BLOCK_PIXELS])
    blocks = laplacian.reshape(height, BLOCK_PIXELS, width, BLOCK_PIXELS).swapaxes(1, 2)
    return float(np.hypot(1.4826 * np.median(blocks[flat]), FLOOR_PU))


NOISE = MetricSpec(
    "noise", "ratio", (0.0, 1200.0), "lower", "PU21 luma, flat blocks below highlights", "gate",
    "grain of the result over that of the source", neutral=1.0, measure=amplification,
    absent="nothing but highlights and black",
)  # fmt: skip
