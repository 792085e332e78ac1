"""Brightness: luma histogram, percentiles, stops and crushed share of a shot, from counts of 8-bit luma codes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.models.spec import ShotTone

BINS = 256
WHITE_NITS = 203.0
FLOOR_NITS = 0.05
DISPLAY_GAMMA = 2.4  # BT.1886, black lift 0
CRUSHED_SIGNAL = 1.5 / 219.0


def code_counts(luma: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels at each of the 256 luma codes. `luma` is HxW uint8; returns int64[256]."""
    counts = cv2.calcHist([np.ascontiguousarray(luma)], [0], None, [BINS], [0, BINS])
    return counts.ravel().astype(np.int64)


def code_signals(full_range: bool) -> NDArray[np.float64]:
    """Y' in [0, 1] for each 8-bit code: c/255 for full range, (c - 16)/219 clipped for limited (BT.709-6, 4.6)."""
    codes = np.arange(BINS, dtype=np.float64)
    return codes / 255.0 if full_range else np.clip((codes - 16.0) / 219.0, 0.0, 1.0)


def without_bars(counts: NDArray[np.int64], bar_share: float) -> NDArray[np.int64]:
    """Take `bar_share` (0..1) of the pixels away from the darkest codes: what letterbox bars put there."""
    excess = np.minimum(np.cumsum(counts), round(bar_share * int(counts.sum())))
    return counts - np.diff(excess, prepend=0)


def shot_tone(counts: NDArray[np.int64], full_range: bool) -> ShotTone:
    """Shares over 256 equal bins of Y' from code counts. No pixels at all count as black."""
    bins = np.minimum((code_signals(full_range) * BINS).astype(np.intp), BINS - 1)
    histogram = np.bincount(bins, weights=counts, minlength=BINS)
    if histogram.sum() == 0:
        histogram[0] = 1.0
    return ShotTone(histogram=tuple((histogram / histogram.sum()).tolist()))


def crushed_share(counts: NDArray[np.int64], full_range: bool) -> float:
    """Share (0..1) of pixels with Y' at or below 1.5/219, i.e. within one limited-range code of black."""
    total = int(counts.sum())
    return float(counts[code_signals(full_range) <= CRUSHED_SIGNAL].sum() / total) if total else 0.0


def stops(signal_low: float, signal_high: float) -> float:
    """log2 ratio of display light (BT.1886 gamma 2.4, white 203 nits, floor 0.05 nits) of two Y' values; 0..12."""
    low, high = (max(FLOOR_NITS, WHITE_NITS * signal**DISPLAY_GAMMA) for signal in (signal_low, signal_high))
    return max(0.0, math.log2(high / low))
