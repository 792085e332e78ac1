"""Banding: smooth areas that go up in steps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.signals.native import block_extremes, block_means

BLOCK = 32
MAX_RANGE = 20.0  # codes across a block: more is an edge
MIN_STEP = 0.75  # codes: a finer step (10-bit and deeper sources) is not seen
COARSE_STEP = 1.5  # codes: mean step from which a block counts in full
FINE_WEIGHT = 0.5  # steps of one 8-bit code, the least there is, show only once the picture is expanded
SAME = 0.1  # codes: neighbours closer than this are equal
MIN_EQUAL = 0.85  # share of equal neighbours in a stepped block; noise or dither breaks the steps up
MIN_SMOOTH_SHARE = 0.05  # of all blocks: a few blocks are no area


def stepped_blocks(luma: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Maps (rows, columns) of 32x32 blocks: smooth (a slope, no edge), and how stepped each is.

    `luma` is HxW float32 in 8-bit codes at native resolution. Stepped is 0 (no, or not smooth), 0.5 (steps of one
    8-bit code) or 1 (coarser). A constant block is not smooth in this sense: it holds no slope.
    """
    if min(luma.shape) <= BLOCK:
        return np.zeros((0, 0), np.bool_), np.zeros((0, 0), np.float32)
    low, high = block_extremes(luma[:-1, :-1], BLOCK)
    total, changed = np.zeros_like(low), np.zeros_like(low)
    for neighbour in (luma[1:, :-1], luma[:-1, 1:]):
        step = cv2.absdiff(neighbour, luma[:-1, :-1]).astype(np.float32, copy=False)
        total += block_means(step, BLOCK)
        _, unequal = cv2.threshold(step, SAME, 1.0, cv2.THRESH_BINARY)
        changed += block_means(unequal.astype(np.float32, copy=False), BLOCK)
    # A step between this block and the next shows in `changed` alone: bands may be as wide as the blocks.
    smooth = (high - low <= MAX_RANGE) & (changed > 0.0)
    equal, mean_step = 1.0 - 0.5 * changed, total / np.maximum(changed, 1e-6)
    stepped = smooth & (equal >= MIN_EQUAL) & (mean_step >= MIN_STEP)
    weight = np.where(mean_step >= COARSE_STEP, 1.0, FINE_WEIGHT)
    return smooth, (stepped * weight).astype(np.float32)


def banding(smooth: NDArray[np.bool_], stepped: NDArray[np.float32]) -> float:
    """Share (0..1) of the smooth area that is stepped, from `stepped_blocks`; a small smooth area is weighed down."""
    if smooth.size == 0:
        return 0.0
    return float(stepped.sum() / max(smooth.sum(), MIN_SMOOTH_SHARE * smooth.size, 1.0))
