"""Damage over time: `(good output, place, strength) -> damaged output`. Stops are the standard deviation over three
frames, save for the jump."""

from __future__ import annotations

import numpy as np

from analysis.vqa.spec import Image
from benchmarks.damage.light import luminance
from benchmarks.damage.place import Place

FLASH_FRAME = 1
GRID = (6, 8)


def alternate(output: Image, place: Place, stops: float) -> Image:
    """Brighter and darker from frame to frame."""
    return output * np.float32(2 ** (stops * (-1) ** place.frame))


def flash(output: Image, place: Place, stops: float) -> Image:
    """One frame in three brighter. Their deviation is sqrt(2) / 3 of its height."""
    return output * np.float32(2 ** (stops * 3 / np.sqrt(2) * (place.frame % 3 == FLASH_FRAME)))


def alternate_part(output: Image, place: Place, stops: float) -> Image:
    """The middle of the picture, a ninth, alternates."""
    height, width = output.shape[:2]
    damaged = output.copy()
    middle = (slice(height // 3, 2 * height // 3), slice(width // 3, 2 * width // 3))
    damaged[middle] *= np.float32(2 ** (stops * (-1) ** place.frame))
    return damaged


def patches(output: Image, place: Place, stops: float) -> Image:
    """Every patch of the picture at a gain of its own, anew in each frame, as tiles of a network may."""
    gains = np.random.default_rng(place.seed).normal(0, stops, GRID)
    height, width = output.shape[:2]
    rows, columns = np.arange(height) * GRID[0] // height, np.arange(width) * GRID[1] // width
    return (output * np.exp2(gains[np.ix_(rows, columns)])[..., None]).astype(np.float32)


def jump(output: Image, place: Place, stops: float) -> Image:
    """Every second shot brighter."""
    return output * np.float32(2 ** (stops * (place.shot % 2)))


def has_common_tones(first: Image, place: Place, stops: float) -> bool:
    """The shot has mid-tones (5 to 60 nits) in a fifth of its pixels."""
    y = luminance(place.first_source)
    return float(np.mean((y >= 5) & (y < 60))) >= 0.2
