"""Boxes in 0..1000 of the frame: drawn without overlap, in pixels, flipped, cropped."""

from __future__ import annotations

import numpy as np

from analysis.schema import Box
from training.data.distortions_detail import Picture

GRID = 20
"""Corners lie on multiples of this, as the compact model writes them."""
WHOLE: Box = (0, 0, 1000, 1000)
GLOBAL_SHARE = 0.7
"""A region over more of the frame than this is global."""
LEAST_SIDE = 140
"""Two cells of the diagnostic grid at least; what a crop leaves narrower than `LEAST_KEPT_SIDE` is no region."""
LEAST_KEPT_SIDE, LEAST_KEPT_SHARE = 100, 0.35
_GAP = 20


def area_share(box: Box) -> float:
    """Of the frame, 0 to 1."""
    return (box[2] - box[0]) * (box[3] - box[1]) / 1e6


def draw_boxes(rng: np.random.Generator, count: int) -> list[Box]:
    """Up to `count` boxes of 3 to 35 % of the frame that do not touch; at least one."""
    found: list[Box] = []
    for _ in range(20 * count):
        area = float(np.exp(rng.uniform(np.log(0.03), np.log(0.35))))
        stretch = float(np.exp(rng.uniform(-0.5, 0.5)))
        sides = [_on_grid(1000 * np.sqrt(area) * factor) for factor in (stretch, 1 / stretch)]
        width, height = (int(np.clip(side, LEAST_SIDE, 940)) for side in sides)
        x0, y0 = (int(rng.integers((1000 - side) // GRID + 1)) * GRID for side in (width, height))
        box = (x0, y0, x0 + width, y0 + height)
        if not any(_touch(box, other) for other in found):
            found.append(box)
        if len(found) == count:
            break
    return found


def _on_grid(value: float) -> int:
    return int(value / GRID + 0.5) * GRID


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] + _GAP and b[0] < a[2] + _GAP and a[1] < b[3] + _GAP and b[1] < a[3] + _GAP


def pixels_of(box: Box, picture: Picture) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in pixels."""
    height, width = picture.shape[:2]
    return (
        round(box[0] * width / 1000),
        round(box[1] * height / 1000),
        round(box[2] * width / 1000),
        round(box[3] * height / 1000),
    )


def flipped(box: Box) -> Box:
    """After the frame was mirrored left to right."""
    return 1000 - box[2], box[1], 1000 - box[0], box[3]


def cropped(box: Box, window: tuple[float, float, float, float]) -> Box | None:
    """After the frame was cut to `window` (x0, y0, x1, y1 as shares): on the grid, or None where too little is left.

    More than `GLOBAL_SHARE` of the new frame becomes all of it.
    """
    x0, y0, x1, y1 = (1000 * share for share in window)
    inner = (max(box[0], x0), max(box[1], y0), min(box[2], x1), min(box[3], y1))
    if inner[0] >= inner[2] or inner[1] >= inner[3] or area_share(box) == 0:
        return None
    kept = (inner[2] - inner[0]) * (inner[3] - inner[1]) / 1e6
    left, right = ((edge - x0) * 1000 / (x1 - x0) for edge in (inner[0], inner[2]))
    top, bottom = ((edge - y0) * 1000 / (y1 - y0) for edge in (inner[1], inner[3]))
    new = (_on_grid(left), _on_grid(top), _on_grid(right), _on_grid(bottom))
    if area_share(new) >= GLOBAL_SHARE:
        return WHOLE
    narrow = min(new[2] - new[0], new[3] - new[1]) < LEAST_KEPT_SIDE
    return None if narrow or kept < LEAST_KEPT_SHARE * area_share(box) else new
