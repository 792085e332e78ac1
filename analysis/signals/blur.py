"""Blur: how little a picture changes when it is blurred again."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.signals.native import blocks

TILE = 128
TILES = 8
TAPS = 9
MIN_ACTIVITY = 0.6  # codes of mean gradient: below it there are no edges to judge by


def blur(luma: NDArray[np.float32]) -> float:
    """Crete's perceptual blur of the picture's most detailed parts: 0 sharp .. 1 blurred.

    `luma` is HxW float32 in 8-bit codes at native resolution. Only the eight 128x128 tiles with the strongest
    gradients count, so a soft background behind a sharp subject does not matter. A picture without edges gives 0.
    (Crete et al., "The blur effect", SPIE 6492, 2007, sections 3 and 4.)
    """
    tiles = blocks(luma, TILE).reshape(-1, TILE, TILE)
    if len(tiles) == 0:
        tiles = luma[np.newaxis]
    coarse = tiles[:, ::2, ::2]
    if min(coarse.shape[1:]) < 2:
        return 0.0
    activity = np.abs(np.diff(coarse, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(coarse, axis=2)).mean(axis=(1, 2))
    chosen = [int(i) for i in np.argsort(activity)[::-1][:TILES] if activity[i] >= MIN_ACTIVITY]
    return float(np.median([_crete(tiles[i]) for i in chosen])) if chosen else 0.0


def _crete(tile: NDArray[np.float32]) -> float:
    return max(_directional(tile, axis=0), _directional(tile, axis=1))


def _directional(tile: NDArray[np.float32], axis: int) -> float:
    size = (1, TAPS) if axis == 0 else (TAPS, 1)
    again = cv2.blur(tile, size, borderType=cv2.BORDER_REFLECT)
    before, after = np.abs(np.diff(tile, axis=axis)), np.abs(np.diff(again, axis=axis))
    total = float(before.sum())
    if total <= 0.0:
        return 0.0
    lost = float(np.maximum(0.0, before - after).sum())
    return min(1.0, max(0.0, (total - lost) / total))
