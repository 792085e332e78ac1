"""Colour of a small frame: share of clipped pixels and mean saturation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (Kr, Kb): BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4. An RGB source has been turned to BT.709 planes.
LUMA_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
    "rgb": (0.2126, 0.0722),
}
CLIPPED_SIGNAL = 218.5 / 219.0  # limited-range code 235, with half a code of rounding
Plane = NDArray[np.uint8]


def rgb_planes(y: Plane, cb: Plane, cr: Plane, matrix: str, full_range: bool) -> NDArray[np.float32]:
    """R'G'B' (3, h, w) float32, 1.0 = white, not clipped, at the chroma planes' size (luma is point-sampled).

    `y` is HxW uint8, `cb` and `cr` hxw uint8 with h, w the same or about half of H, W; `matrix` a key of LUMA_WEIGHTS.
    """
    kr, kb = LUMA_WEIGHTS[matrix]
    step_y, step_x = -(-y.shape[0] // cb.shape[0]), -(-y.shape[1] // cb.shape[1])
    luma = y[::step_y, ::step_x][: cb.shape[0], : cb.shape[1]].astype(np.float32)
    height, width = luma.shape
    black, luma_span, chroma_span = (0.0, 255.0, 255.0) if full_range else (16.0, 219.0, 224.0)
    luma = (luma - np.float32(black)) / np.float32(luma_span)
    blue = (cb[:height, :width].astype(np.float32) - 128.0) * np.float32(2 * (1 - kb) / chroma_span)
    red = (cr[:height, :width].astype(np.float32) - 128.0) * np.float32(2 * (1 - kr) / chroma_span)
    green = luma - np.float32(kr / (1 - kr - kb)) * red - np.float32(kb / (1 - kr - kb)) * blue
    return np.stack((luma + red, green, luma + blue))


def clipped_mask(rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels whose largest component is at or above white. `rgb` is (3, h, w); returns bool (h, w)."""
    return rgb.max(axis=0) >= CLIPPED_SIGNAL


def saturation(rgb: NDArray[np.float32]) -> float:
    """Mean of max - min of R'G'B', each clipped to [0, 1]: 0 grey .. 1 pure primaries. `rgb` is (3, h, w)."""
    spread = np.minimum(rgb.max(axis=0), 1.0) - np.maximum(rgb.min(axis=0), 0.0)
    return float(np.clip(spread, 0.0, 1.0).mean())
