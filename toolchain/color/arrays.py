"""What every colour function does with its input: one dtype rule and one 3x3 product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]
"""float32 where the input was float32, otherwise float64."""


def as_float(values: ArrayLike) -> FloatArray:
    """The values as an array: float32 stays float32, everything else becomes float64. Never a copy without need."""
    array = np.asarray(values)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def apply_matrix(matrix: ArrayLike, pixels: ArrayLike) -> FloatArray:
    """A 3x3 matrix applied to the last axis (size 3) of `pixels`; any shape, dtype as in `as_float`."""
    pixels = as_float(pixels)
    return pixels @ np.asarray(matrix, dtype=pixels.dtype).T
