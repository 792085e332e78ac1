"""What shrinking a picture would erase, as a picture: 48 statistics of each of 16 x 9 cells, measured at native size.

A cell's statistics become a 4 x 4 mosaic of 7-pixel blocks with three channels, so that a model that takes RGB
pictures takes them as one more picture on the grid of the shrunk frame. Nothing is scaled by the picture itself. Two
of a block's lines say how far the statistic is from the picture's usual one and from the cells around: a cast or a
blur in one place is told by its surroundings, which a model of few layers compares late or never. The last column of
every cell says where it is: a model knows places only from one another, and has to name them.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.mllm.cells import KERNEL_STATISTICS, measure_cells
from toolchain.errors import InputError

CELLS = (9, 16)
"""Rows and columns of cells."""
STATISTICS: tuple[str, ...] = (*KERNEL_STATISTICS, "cb", "cr", "cb_spread", "cr_spread")
"""Names, in the order of the last axis of `statistics`."""
MOSAIC, BLOCK_PX = 4, 7
LINES_PX = (5, 1, 1)
"""Of a block: the statistic itself, its difference from the picture's median, and from the mean of `AROUND`."""
AROUND = ((-2, 0), (2, 0), (0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Cells down and across, all at about the same distance. Beyond the rim the picture is mirrored."""
PLACE_WAVES = 4
"""Half waves over the picture, 1 to 4, by whose height a cell says where it is: red across, green down."""
DIAGNOSTIC_SIZE = (448, 252)
PICTURE_SIZE = (224, 140)
"""Widths and heights of the two pictures a model is shown."""
LEAST_SIZE = (128, 72)
"""A smaller picture has cells of less than 8 x 8 pixels."""
CELL_LIMIT_PX = 120
"""A larger cell is measured in a window of this many pixels in its middle, so that 2160p costs what 1080p does."""
MARGIN_PX = 8
"""Pixels around a window that filters may look at. Window corners are multiples of it, as a coder's blocks are."""

SPREAD = 3.0
# Of each statistic's codes over the cells of the training set: mean and standard deviation.
USUAL = (
    33, 67, 32, 62, 45, 73, 94, 133, 38, 114, 12, 4, 5, 27, 32, 31, 118, 196, 46, 22, 34, 37, 74, 75, 66, 77, 67, 77,
    89, 100, 91, 100, 122, 128, 65, 28, 39, 17, 18, 116, 34, 90, 155, 150, 120, 129, 83, 79,
)  # fmt: skip
DEVIATION = (
    24, 38, 25, 38, 30, 41, 57, 48, 37, 48, 42, 25, 28, 65, 25, 24, 76, 67, 52, 28, 37, 40, 38, 40, 39, 41, 37, 41,
    47, 47, 45, 47, 63, 43, 66, 58, 59, 42, 43, 59, 39, 47, 71, 69, 33, 30, 54, 54,
)  # fmt: skip

Picture = NDArray[np.uint8]


def statistics(rgb: Picture) -> NDArray[np.float32]:
    """HxWx3 uint8 R'G'B', full range -> float32 (9, 16, 48) in [0, 1], the order of `STATISTICS`.

    Deterministic. Raises InputError for what is no such picture or is smaller than 128 x 72.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise InputError(f"A picture of {rgb.dtype}{rgb.shape} cannot be measured: give (H, W, 3) uint8.")
    if rgb.shape[1] < LEAST_SIZE[0] or rgb.shape[0] < LEAST_SIZE[1]:
        raise InputError(
            f"A picture of {rgb.shape[1]}x{rgb.shape[0]} is too small to measure: give at least 128x72 pixels."
        )
    pixels, windows = _windows(rgb)
    measured = measure_cells(pixels, windows)
    chroma = _chroma(pixels, windows)
    return np.concatenate([measured, chroma], axis=1).reshape(*CELLS, len(STATISTICS)).astype(np.float32, copy=False)


def quantised(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Statistics in [0, 1] -> uint8, as they are stored and shown."""
    return np.rint(np.clip(values, 0.0, 1.0) * np.float32(255)).astype(np.uint8)


def mosaic(stored: NDArray[np.uint8]) -> Picture:
    """(..., 9, 16, 48) uint8 of `quantised` -> (..., 252, 448, 3): statistic k is block k // 3 and channel k % 3.

    Each is spread by `spread`, with `contrasts` in its block's last two lines; the last column of a cell is its
    `place_marks` instead.
    """
    shown = spread()[np.arange(len(STATISTICS)), stored]
    layers = [_laid(layer) for layer in (shown, *contrasts(shown))]
    lines = [layer for layer, count in zip(layers, LINES_PX, strict=True) for _ in range(count)]
    tall = np.stack(lines, axis=-3).reshape(*stored.shape[:-3], DIAGNOSTIC_SIZE[1], CELLS[1] * MOSAIC, 3)
    large = tall.repeat(BLOCK_PX, axis=-2)
    cell_px = MOSAIC * BLOCK_PX
    large[..., cell_px - 1 :: cell_px, :] = place_marks()
    return large


def contrasts(shown: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(..., 9, 16, 48) codes of `spread` -> twice the same shape: less the median of the picture's cells, and less
    the mean of the cells around. No difference is 128; three usual deviations are the most that is shown."""
    values = shown.astype(np.float32)
    usual = np.median(values, axis=(-3, -2), keepdims=True)
    rim = max(abs(step) for way in AROUND for step in way)
    wide = np.pad(values, [(0, 0)] * (values.ndim - 3) + [(rim, rim), (rim, rim), (0, 0)], mode="reflect")
    rows, columns = CELLS
    shifted = (
        wide[..., rim + down : rim + down + rows, rim + across : rim + across + columns, :] for down, across in AROUND
    )
    around = sum(shifted, np.zeros_like(values)) / len(AROUND)
    return _difference(values, usual), _difference(values, around)


def _difference(values: NDArray[np.float32], others: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(127.5 + values - others, 0, 255)).astype(np.uint8)


def _laid(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., 9, 16, 48) -> (..., 36, 64, 3): the blocks of all cells, a pixel each."""
    blocks = codes.reshape(*codes.shape[:-1], MOSAIC, MOSAIC, 3)
    laid = np.moveaxis(blocks, -4, -3)
    return laid.reshape(*codes.shape[:-3], CELLS[0] * MOSAIC, CELLS[1] * MOSAIC, 3)


@cache
def spread() -> NDArray[np.uint8]:
    """(48, 256) uint8: how bright each code of a statistic is shown.

    Three usual deviations about its usual value take the whole range: shown as they are, a colour cast or a soft edge
    would be a few codes, and learnt last.
    """
    codes = np.arange(256) - np.array(USUAL)[:, None]
    return np.rint(127.5 * (1 + np.clip(codes / (SPREAD * np.array(DEVIATION)[:, None]), -1, 1))).astype(np.uint8)


@cache
def place_marks() -> Picture:
    """(252, 16, 3) uint8: what the last column of each cell holds. A wave takes 7 of a cell's 28 pixels."""
    waves = np.arange(1, PLACE_WAVES + 1)
    down, across = (np.cos(np.pi * waves * ((np.arange(count) + 0.5) / count)[:, None]) for count in CELLS)
    marks = np.zeros((CELLS[0], PLACE_WAVES, CELLS[1], 3))
    marks[..., 0], marks[..., 1] = across.T, down[:, :, None]
    return np.rint(127.5 * (1 + marks)).astype(np.uint8).reshape(-1, *marks.shape[2:]).repeat(BLOCK_PX, axis=0)


def diagnostic_image(rgb: Picture) -> Picture:
    """HxWx3 uint8 R'G'B' -> uint8 (252, 448, 3): the mosaic of its statistics. Errors: see `statistics`."""
    return mosaic(quantised(statistics(rgb)))


def picture(rgb: Picture) -> Picture:
    """HxWx3 uint8 R'G'B' -> uint8 (140, 224, 3): the frame shrunk, whatever its shape, by area averaging."""
    return np.asarray(cv2.resize(rgb, PICTURE_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def _windows(rgb: Picture) -> tuple[Picture, NDArray[np.int32]]:
    """The pixels to measure and (144, 4) windows y0, y1, x0, x1 in them.

    Up to 1920 x 1080 the whole picture; above, patches of it set side by side with their margins.
    """
    spans = [_spans(length, count) for length, count in zip(rgb.shape[:2], CELLS, strict=True)]
    if max(end - start for axis in spans for start, end in axis) <= CELL_LIMIT_PX:
        return rgb, np.array([(*rows, *columns) for rows in spans[0] for columns in spans[1]], np.int32)
    inner = [[_middle(start, end) for start, end in axis] for axis in spans]
    taken_rows, rows = _side_by_side(inner[0], rgb.shape[0])
    taken_columns, columns = _side_by_side(inner[1], rgb.shape[1])
    pixels = np.ascontiguousarray(rgb[np.ix_(taken_rows, taken_columns)])
    return pixels, np.array([(*down, *across) for down in rows for across in columns], np.int32)


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    edges = [round(index * length / count) for index in range(count + 1)]
    return list(pairwise(edges))


def _middle(start: int, end: int) -> tuple[int, int]:
    size = min(end - start, CELL_LIMIT_PX)
    first = start + (end - start - size) // 2 // MARGIN_PX * MARGIN_PX
    first -= first % MARGIN_PX
    return max(first, start - start % MARGIN_PX), max(first, start - start % MARGIN_PX) + size


def _side_by_side(axis: list[tuple[int, int]], length: int) -> tuple[NDArray[np.intp], list[tuple[int, int]]]:
    """Which rows (or columns) to take, windows with a margin each, and where the windows then lie."""
    taken, placed, at = [], [], 0
    for first, last in axis:
        lines = np.clip(np.arange(first - MARGIN_PX, last + MARGIN_PX), 0, length - 1)
        lines = np.concatenate([lines, np.repeat(lines[-1:], -len(lines) % MARGIN_PX)])
        taken.append(lines)
        placed.append((at + MARGIN_PX, at + MARGIN_PX + last - first))
        at += len(lines)
    return np.concatenate(taken), placed


def _chroma(pixels: Picture, windows: NDArray[np.int32]) -> NDArray[np.float32]:
    """(cells, 4): mean Cb and Cr about 0.5 with +-64 codes to the ends, and the log of their spreads."""
    ycc = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)
    sums = cv2.integral2(ycc[..., 2:0:-1].astype(np.float32))
    rows = []
    for y0, y1, x0, x1 in windows:
        total, squares = (s[y1, x1] - s[y0, x1] - s[y1, x0] + s[y0, x0] for s in sums)
        mean = total / ((y1 - y0) * (x1 - x0))
        spread = np.sqrt(np.maximum(squares / ((y1 - y0) * (x1 - x0)) - mean**2, 0.0))
        rows.append([*(0.5 + (mean - 128.0) / 128.0), *(np.log2(1.0 + spread) / 6.0)])
    return np.clip(np.array(rows, np.float32), 0.0, 1.0)
