"""What a viewer's eye is given: absolute light, as PU21 units, for models that judge pictures by themselves.

SDR at 203-nit white and HDR both enter here, so such a model sees light and never code values.
"""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.spec import Image
from toolchain.color.pu21 import pu21_encode

DISPLAY_PEAK_NITS = 1000.0
"""The viewer's display: what lies above is shown at it."""

KEY_SIZE = (448, 256)
"""Width and height of the key picture: a window of the working picture at its own scale, so that grain, steps and
block edges are not resampled."""

MOTION_SIZE = (128, 72)
"""Width and height of one of the consecutive pictures: the whole frame, small."""

CLIP_FRAMES = 32
"""Consecutive frames of one clip."""

_PU_PEAK = float(pu21_encode(DISPLAY_PEAK_NITS))


def perceived(rgb_nits: Image) -> Image:
    """BT.2020 nits -> PU21 units of each component over those of the display's peak, float32 in [0, 1], same shape.

    Values that are not finite are black. PU21: Mantiuk and Azimi, PCS 2021 (`toolchain.color.pu21`).
    """
    light = np.nan_to_num(np.asarray(rgb_nits, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    units = pu21_encode(np.clip(light, 0, DISPLAY_PEAK_NITS))
    return np.clip(units / _PU_PEAK, 0, 1).astype(np.float32)


def key_picture(rgb_nits: Image) -> Image:
    """The middle of a frame in nits (HxWx3, working size) as `perceived` at KEY_SIZE, float32 256x448x3.

    A frame that is smaller is enlarged until it covers the window. A portrait frame is lain on its side.
    """
    picture = _landscape(rgb_nits)
    scale = max(KEY_SIZE[0] / picture.shape[1], KEY_SIZE[1] / picture.shape[0])
    if scale > 1:
        size = tuple(
            max(round(side * scale), least) for side, least in zip(picture.shape[1::-1], KEY_SIZE, strict=True)
        )
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.float32)
    left, top = ((have - want) // 2 for have, want in zip(picture.shape[1::-1], KEY_SIZE, strict=True))
    return perceived(picture[top : top + KEY_SIZE[1], left : left + KEY_SIZE[0]])


def motion_picture(rgb_nits: Image) -> Image:
    """A whole frame in nits (HxWx3) as `perceived` at MOTION_SIZE, float32 72x128x3; averaged in light."""
    return perceived(
        np.asarray(cv2.resize(_landscape(rgb_nits), MOTION_SIZE, interpolation=cv2.INTER_AREA), np.float32)
    )


def _landscape(picture: Image) -> Image:
    picture = np.nan_to_num(np.asarray(picture, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return picture if picture.shape[1] >= picture.shape[0] else np.ascontiguousarray(np.rot90(picture))
