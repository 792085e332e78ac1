"""Boxes: from regions of the decoded frame to 0..1000 of the displayed frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
Fractions = tuple[float, float, float, float]
WHOLE_FRAME: Box = (0, 0, 1000, 1000)


def quarter_turns(rotation_deg: int) -> int:
    """The nearest whole number of clockwise quarter turns, 0 to 3.

    A display matrix may hold any angle, but boxes have upright sides, and faces are found nearly upright.
    """
    return (rotation_deg + 45) // 90 % 4


def displayed_box(region: Fractions, rotation_deg: int) -> Box:
    """Turn a region of the decoded frame into a box of the displayed one.

    `region`: x0, y0, x1, y1 as shares (0..1) of the decoded frame. `rotation_deg`: the clockwise turn a player
    applies (negative allowed), taken as the nearest quarter turn. Returns integers 0..1000, never empty.
    """
    x0, y0, x1, y1 = region
    turns = quarter_turns(rotation_deg)
    if turns == 1:
        x0, y0, x1, y1 = 1 - y1, x0, 1 - y0, x1
    elif turns == 2:
        x0, y0, x1, y1 = 1 - x1, 1 - y1, 1 - x0, 1 - y0
    elif turns == 3:
        x0, y0, x1, y1 = y0, 1 - x1, y1, 1 - x0
    left, top = (min(999, max(0, round(1000 * value))) for value in (x0, y0))
    right, bottom = (min(1000, max(1, round(1000 * value))) for value in (x1, y1))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def hull(mask: NDArray[np.bool_]) -> Fractions | None:
    """Smallest region that holds 98 % of a mask's true pixels in each direction (stray ones do not stretch it).

    `mask` is HxW. Returns x0, y0, x1, y1 as shares of the frame; None for an empty mask.
    """
    count = int(mask.sum())
    if count == 0:
        return None
    height, width = mask.shape
    x0, x1 = _span(mask.sum(axis=0), count)
    y0, y1 = _span(mask.sum(axis=1), count)
    return x0 / width, y0 / height, x1 / width, y1 / height


def _span(profile: NDArray[np.integer], count: int) -> tuple[int, int]:
    cumulative = np.cumsum(profile)
    first = int(np.searchsorted(cumulative, 0.01 * count, side="right"))
    return first, int(np.searchsorted(cumulative, 0.99 * count)) + 1
