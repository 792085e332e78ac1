"""Faces: where they are and how much brighter or darker than their surround."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import cv2
import numpy as np
from cv2 import data
from numpy.typing import NDArray

from analysis.signals.boxes import Fractions
from toolchain.errors import EnvironmentNotReady

MIN_NEIGHBOURS = 7
MIN_LEVEL_WEIGHT = 2.0  # the cascade's own confidence in its last stage
MIN_SIDE_SHARE = 0.15  # of the shorter side; smaller windows are mostly texture
# Skin in CbCr (8-bit codes, Chai and Ngan 1999, widened for warm and cool light).
SKIN_CB = (75.0, 130.0)
SKIN_CR = (130.0, 178.0)
GREY_CHROMA = 4.0  # a black-and-white picture has no skin colour to check
LIGHT_FLOOR = 1e-4


@functools.cache
def _cascade() -> cv2.CascadeClassifier:
    path = Path(data.haarcascades) / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise EnvironmentNotReady(f"no face cascade at {path}; install opencv-python-headless >= 4.11, < 5")
    return cascade


def find_faces(rgb: NDArray[np.float32]) -> list[Fractions]:
    """Upright frontal faces in an upright picture.

    `rgb` is HxWx3 float32 R'G'B' in [0, 1], best at 360 px. Returns x0, y0, x1, y1 as shares of the frame. Windows
    that are small, weakly supported or not skin-coloured (in a coloured picture) are dropped.
    """
    height, width = rgb.shape[:2]
    ycrcb = cv2.cvtColor((np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8), cv2.COLOR_RGB2YCrCb)
    side = max(24, round(MIN_SIDE_SHARE * min(height, width)))
    if min(height, width) < side:
        return []
    windows, _, weights = _cascade().detectMultiScale3(
        cv2.equalizeHist(ycrcb[..., 0]), 1.2, MIN_NEIGHBOURS, minSize=(side, side), outputRejectLevels=True
    )
    grey_picture = np.abs(ycrcb[..., 1:].astype(np.float32) - 128.0).mean() < GREY_CHROMA
    return [
        (int(x) / width, int(y) / height, int(x + w) / width, int(y + h) / height)
        for (x, y, w, h), weight in zip(windows, np.ravel(weights), strict=True)
        if weight >= MIN_LEVEL_WEIGHT and (grey_picture or _is_skin(ycrcb[y : y + h, x : x + w]))
    ]


def _is_skin(window: NDArray) -> bool:
    h, w = window.shape[:2]
    _, cr, cb = window[h // 4 : 3 * h // 4, w // 4 : 3 * w // 4].reshape(-1, 3).mean(axis=0)
    return SKIN_CB[0] <= cb <= SKIN_CB[1] and SKIN_CR[0] <= cr <= SKIN_CR[1] and cr > cb


def face_share(shape: tuple[int, ...], faces: list[Fractions]) -> float:
    """Share (0..1) of a frame of `shape` (H, W, ...) that the union of face regions covers."""
    return float(_mask(shape, faces, shrink=0.0).mean()) if faces else 0.0


def face_ev(luma_signal: NDArray[np.float32], faces: list[Fractions]) -> float | None:
    """log2 of the mean display light of the faces' inner parts over that of the rest; None without a face or a rest.

    `luma_signal` is HxW Y' in [0, 1]; light is Y'^2.4 (BT.1886), at least 1e-4 of white, so the result is finite.
    """
    if not faces:
        return None
    inside, outside = _mask(luma_signal.shape, faces, 0.2), ~_mask(luma_signal.shape, faces, 0.0)
    if not inside.any() or not outside.any():
        return None
    light = np.clip(luma_signal, 0.0, 1.0) ** np.float32(2.4)
    return math.log2(max(LIGHT_FLOOR, float(light[inside].mean())) / max(LIGHT_FLOOR, float(light[outside].mean())))


def _mask(shape: tuple[int, ...], faces: list[Fractions], shrink: float) -> NDArray[np.bool_]:
    mask = np.zeros(shape[:2], dtype=bool)
    for x0, y0, x1, y1 in faces:
        dx, dy = shrink * (x1 - x0), shrink * (y1 - y0)
        rows = slice(round((y0 + dy) * shape[0]), round((y1 - dy) * shape[0]))
        mask[rows, round((x0 + dx) * shape[1]) : round((x1 - dx) * shape[1])] = True
    return mask
