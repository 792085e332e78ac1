"""Colour of a small frame: share of clipped pixels and mean saturation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (Kr, Kb): BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4. An RGB source comes as BT.709 planes.
LUMA_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
    "rgb": (0.2126, 0.0722),
}
CLIPPED_SIGNAL = 218.5 / 219.0  # limited-range code 235, with half a code of rounding
Plane = NDArray[np.uint8]


def rgb_planes(y: Plane, cb: Plane, cr: Plane, matrix: str, full_range: bool) -> NDArray[np.float32]:
    """R'G'B' (3, h, w) float32, 1.0 = white, not clipped, of every second pixel in each direction.

    `y`, `cb`, `cr`: (H, W) uint8 of one size; `matrix`: see LUMA_WEIGHTS. A quarter of the pixels tells shares as
    well as all of them; they are picked, not averaged, so that clipped ones stay clipped.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    black, luma_span, chroma_span = (0.0, 255.0, 255.0) if full_range else (16.0, 219.0, 224.0)
    luma, blue, red = (plane[::2, ::2].astype(np.float32) for plane in (y, cb, cr))
    luma = (luma - np.float32(black)) / np.float32(luma_span)
    blue = (blue - np.float32(128.0)) * np.float32(2 * (1 - kb) / chroma_span)
    red = (red - np.float32(128.0)) * np.float32(2 * (1 - kr) / chroma_span)
    green = luma - np.float32(kr / (1 - kr - kb)) * red - np.float32(kb / (1 - kr - kb)) * blue
    return np.stack((luma + red, green, luma + blue)).astype(np.float32, copy=False)


def clipped_mask(rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels whose largest component is at or above white. `rgb` is (3, h, w); returns bool (h, w)."""
    return rgb.max(axis=0) >= CLIPPED_SIGNAL


def saturation(rgb: NDArray[np.float32]) -> float:
    """Mean of max - min of R'G'B', each clipped to [0, 1]: 0 grey .. 1 pure primaries. `rgb` is (3, h, w)."""
    spread = np.minimum(rgb.max(axis=0), 1.0) - np.maximum(rgb.min(axis=0), 0.0)
    return float(np.clip(spread, 0.0, 1.0).mean())
