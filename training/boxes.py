"""Boxes against boxes: how much two share, and which of one list belongs to which of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analysis.schema import Box, Distortion

HIT_IOU = 0.5
GLOBAL_SHARE = 0.7
"""A box over more of the frame than this speaks of the whole frame (ViDA-UGC)."""

Floats = NDArray[np.float64]


def iou_table(first: Sequence[Box], second: Sequence[Box]) -> Floats:
    """float64 (len(first), len(second)): intersection over union of boxes with 0 <= x0 < x1, y likewise."""
    one = np.array(first, dtype=np.float64).reshape(-1, 1, 4)
    other = np.array(second, dtype=np.float64).reshape(1, -1, 4)
    size = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.prod(np.maximum(size, 0), axis=-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


def is_local(box: Box) -> bool:
    """Whether a box, 0..1000, is a place in the frame and not the frame."""
    return (box[2] - box[0]) * (box[3] - box[1]) <= GLOBAL_SHARE * 1000 * 1000


def matches(
    found: Sequence[Distortion], true: Sequence[Distortion], least_iou: float = HIT_IOU, same_type: bool = True
) -> list[tuple[int, int, float]]:
    """(index of found, index of true, IoU) of pairs one to one: as many as there can be, then of the highest IoU."""
    if not found or not true:
        return []
    overlap = iou_table([item.bbox_1000 for item in found], [item.bbox_1000 for item in true])
    allowed = overlap >= least_iou
    if same_type:
        allowed &= np.array([[item.type == other.type for other in true] for item in found])
    # One pair more is worth more than any sum of IoUs.
    worth = np.where(allowed, overlap + 1 + min(overlap.shape), 0.0)
    pairs = assignment(-worth)
    return [(row, column, float(overlap[row, column])) for row, column in pairs if allowed[row, column]]


def assignment(cost: Floats) -> list[tuple[int, int]]:
    """(row, column), by row, of the pairs of least summed `cost` (N, M): every row has one, or every column."""
    rows, columns = linear_sum_assignment(cost)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
