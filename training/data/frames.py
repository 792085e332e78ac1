"""R'G'B' signals to limited-range 4:2:0 frames for an encoder."""

from __future__ import annotations

from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix

_ALONG = np.array([0.25, 0.5, 0.25], dtype=np.float32)
_BETWEEN = np.array([0.0, 0.5, 0.5], dtype=np.float32)


def to_yuv420(
    signal: NDArray[np.float32], matrix: Literal["bt709", "bt2020nc"], bit_depth: Literal[8, 10]
) -> av.VideoFrame:
    """(H, W, 3) R'G'B' in [0, 1], even sizes -> a yuv420p or yuv420p10le frame, limited range, rounded to nearest.

    Chroma lies "left" at 8 bits and "topleft" (H.273 chroma location 2, as BT.2100 delivery has it) at 10 bits.
    """
    height, width = signal.shape[:2]
    y_offset, y_scale, c_offset, c_scale = code_range(bit_depth, "limited")
    scale = np.array([y_scale, c_scale, c_scale])
    weights = (rgb_to_ycbcr_matrix(matrix) * scale[:, None]).T.astype(np.float32)
    codes = signal @ weights
    down = _BETWEEN if bit_depth == 8 else _ALONG
    chroma = cv2.sepFilter2D(codes[..., 1:], cv2.CV_32F, _ALONG, down, borderType=cv2.BORDER_REPLICATE)[::2, ::2]
    planes = (codes[..., 0] + y_offset, chroma[..., 0] + c_offset, chroma[..., 1] + c_offset)
    packed = np.rint(np.concatenate([plane.ravel() for plane in planes])).reshape(height * 3 // 2, width)
    if bit_depth == 8:
        return av.VideoFrame.from_ndarray(packed.astype(np.uint8), "yuv420p")
    return av.VideoFrame.from_ndarray(packed.astype(np.uint16), "yuv420p10le")
