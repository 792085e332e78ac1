"""A smooth gain over the picture on top of a shot's table: a bilateral grid that chooses among a stack of tables.

A stack holds one model baked at several gains, each table behind all guards; a pixel's codes are mixed of the two
tables its gain lies between. So whatever the grid says, the result is bounded by tables that are safe themselves.
The gain depends on where the pixel is and on its own luma ("guide"), never on its neighbours: edges stay where they
are (Chen, Paris and Durand, Real-time edge-aware image processing with the bilateral grid, SIGGRAPH 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UsageError
from toolchain.lut import Lut3d
from toolchain.models.spec import FloatArray

GUIDE_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""The guide is the luma these make of the source's own R'G'B' signal. Rec. ITU-R BT.709-6, item 3.2."""


@dataclass(frozen=True, eq=False)
class LutStack:
    """Tables of one kind, side by side: made once a shot by `stack_luts`.

    `table`: float32, C-contiguous (size**3 * depth, 4), row i * depth + k = row i of table k. `depth` >= 2.
    """

    table: NDArray[np.float32]
    depth: int
    size: int
    domain_max: float
    bit_depth: int


def stack_luts(luts: Sequence[Lut3d]) -> LutStack:
    """The tables as a stack, in the order given. UsageError for fewer than two, or for tables of different kinds."""
    kinds = {(lut.size, lut.domain_max, lut.bit_depth) for lut in luts}
    if len(luts) < 2 or len(kinds) > 1:
        raise UsageError(f"{len(luts)} LUTs of {len(kinds)} kinds make no stack: two or more baked alike do.")
    size, domain_max, bit_depth = kinds.pop()
    table = np.stack([lut.table for lut in luts], axis=1).reshape(-1, 4)
    return LutStack(table, len(luts), size, domain_max, bit_depth)


@dataclass(frozen=True, eq=False)
class GainGrid:
    """Which tables of the stack one frame takes where.

    `values`: float32, C-contiguous (bins, rows, columns), finite, 0 (first table) to depth - 1 (last). Nodes lie at
    guide 0 to 1 and from the picture's first to last row and column, evenly; between them the value is trilinear.
    """

    values: NDArray[np.float32]
    stack: LutStack

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 3 or values.dtype != np.float32 or not values.size or not values.flags.c_contiguous:
            raise UsageError(
                f"A gain grid of {values.dtype} {values.shape} cannot be used: float32, 3-D and filled is."
            )
        if not (values.min() >= 0 and values.max() <= self.stack.depth - 1):  # this way round NaN is refused too
            raise UsageError(f"A gain grid leaves 0 to {self.stack.depth - 1}, the tables its stack has: clip it.")


def guide_signal(rgb_signal: FloatArray) -> FloatArray:
    """(..., 3) R'G'B' signal -> (...) guide, clipped to [0, 1]."""
    return np.clip(np.asarray(rgb_signal) @ np.asarray(GUIDE_WEIGHTS), 0, 1)


def slice_grid(values: FloatArray, guide: FloatArray) -> FloatArray:
    """The grid (bins, rows, columns) at each pixel of a picture with this guide (H, W), in float64: (H, W).

    The definition of what `toolchain.kernel` does in float32.
    """
    bins, rows, columns = values.shape
    height, width = guide.shape
    z, z_part = _cells(np.clip(guide, 0, 1) * (bins - 1), bins)
    y, y_part = _cells(np.linspace(0, rows - 1, height)[:, None] if height > 1 else np.zeros((1, 1)), rows)
    x, x_part = _cells(np.linspace(0, columns - 1, width)[None] if width > 1 else np.zeros((1, 1)), columns)
    total = np.zeros(guide.shape)
    for dz, dy, dx in np.ndindex(2, 2, 2):
        weight = _share(z_part, dz) * _share(y_part, dy) * _share(x_part, dx)
        node = np.minimum(z + dz, bins - 1), np.minimum(y + dy, rows - 1), np.minimum(x + dx, columns - 1)
        total += weight * np.asarray(values, dtype=np.float64)[node]
    return total


def _cells(position: FloatArray, nodes: int) -> tuple[NDArray[np.int64], FloatArray]:
    cell = np.clip(position.astype(np.int64), 0, max(nodes - 2, 0))
    return cell, position - cell


def _share(part: FloatArray, upper: int) -> FloatArray:
    return part if upper else 1 - part
