"""Noise: spread of fine detail where the picture is flat."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.signals.native import block_means, blocks

# Difference of two Laplacians: blind to slopes, and sigma 6 on white noise of sigma 1 (Immerkaer 1996).
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
KERNEL_GAIN = 6.0
BLOCK = 16
FLAT_SHARE = 0.2
CODE_RANGE = (22.0, 228.0)  # nearer to black and white, clipping hides the noise
MIN_BLOCKS = 4


def noise_sigma(luma: NDArray[np.float32]) -> float:
    """Sigma of luma noise in 8-bit codes, the median high-pass spread of the flattest fifth of 16x16 blocks.

    `luma` is HxW float32 in 8-bit codes at native resolution. Returns 0 where nothing can be measured (black, white
    or too small). Noise that a codec has smoothed counts only as far as it is still fine-grained. The median over
    blocks ignores blocks that hold detail; within a block the spread is a root mean square, because a MAD falls to 0
    as soon as rounding makes most differences 0.
    """
    if min(luma.shape) < 3 * BLOCK:
        return 0.0
    detail = np.square(cv2.filter2D(luma, cv2.CV_32F, KERNEL), dtype=np.float32)
    spread = np.sqrt(block_means(detail, BLOCK)) / KERNEL_GAIN
    coarse = blocks(block_means(luma, 4), BLOCK // 4)
    level, structure = coarse.mean(axis=(2, 3)), coarse.std(axis=(2, 3))
    usable = (level > CODE_RANGE[0]) & (level < CODE_RANGE[1])
    if usable.sum() < MIN_BLOCKS:
        return 0.0
    flattest = usable & (structure <= np.quantile(structure[usable], FLAT_SHARE))
    return float(np.median(spread[flattest]))
