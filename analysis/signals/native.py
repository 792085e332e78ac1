"""Luma at native resolution, where compression, noise and focus show."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from analysis.signals.boxes import Fractions

MAX_WIDTH = 1920
MAX_HEIGHT = 1088
LUMA_FIRST = ("yuv", "gray", "nv12")


def native_luma(frame: VideoFrame, active: Fractions | None = None) -> tuple[NDArray[np.float32], Fractions]:
    """Central part of a frame's luma, at most 1920x1088, inside the `active` picture if that is given.

    Returns luma, float32 HxW in 8-bit codes (a 10-bit code counts 1/4) in the frame's own range, and the part's
    x0, y0, x1, y1 as shares of the frame. RGB and unusual layouts are converted to Y'CbCr first.
    """
    depth = frame.format.components[0].bits
    if not frame.format.name.startswith(LUMA_FIRST) or frame.format.is_big_endian:
        frame, depth = frame.reformat(format="yuv444p16le"), 16
    dtype = np.dtype(np.uint8 if depth <= 8 else "<u2")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    x0, y0, x1, y1 = active or (0.0, 0.0, 1.0, 1.0)
    top, bottom = _central(y0, y1, frame.height, MAX_HEIGHT)
    left, right = _central(x0, x1, frame.width, MAX_WIDTH)
    luma = rows[top:bottom, left:right].astype(np.float32) * np.float32(2.0 ** (8 - max(8, depth)))
    return luma, (left / frame.width, top / frame.height, right / frame.width, bottom / frame.height)


def _central(start: float, end: float, size: int, limit: int) -> tuple[int, int]:
    first, last = round(start * size), round(end * size)
    spare = max(0, last - first - limit)
    return first + spare // 2, last - (spare - spare // 2)


def blocks(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """View an HxW array as (rows, columns, size, size) blocks; what does not fill a block is left out."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    trimmed = values[: rows * size, : columns * size]
    return trimmed.reshape(rows, size, columns, size).swapaxes(1, 2)


def block_means(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Mean of each whole size x size block of an HxW float32 array, at least one block; float32 (rows, columns)."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    trimmed = values[: rows * size, : columns * size]
    return cv2.resize(trimmed, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def block_extremes(values: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Minimum and maximum of each whole size x size block of an HxW array, both (rows, columns)."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    bands = values[: rows * size, : columns * size].reshape(rows, size, columns * size)
    low, high = bands.min(axis=1), bands.max(axis=1)
    return low.reshape(rows, columns, size).min(axis=2), high.reshape(rows, columns, size).max(axis=2)
