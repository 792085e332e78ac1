"""Damage of sensors and coders: a camera's noise, and the blocks that real coders leave."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from training.data.distortions_detail import Picture, rounded, varied
from training.data.restore_defects import CameraNoise, Coding

JPEG_QUALITY = (26, 18, 12, 8, 5)
_CRF = {"libx264": (36, 39, 42, 45, 49), "libx265": (33, 36, 39, 42, 46)}
_QUANTISER = {"mpeg4": (12, 19, 29), "mpeg2video": (16, 24, 31)}
"""By the error they leave. The old coders' coarsest quantiser is moderate: they make no severe blocks."""


def noise(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """A camera's noise of 2.6 to 18 codes of luma; `restore_defects.CameraNoise` says of which kinds."""
    sigma = varied(rng, (2.6, 4.2, 6.8, 11.0, 18.0)[strength - 1])
    grain = ("bayer", "film", "white")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
    signal = picture.astype(np.float32) * np.float32(1 / 255)
    how = CameraNoise(sigma_codes=sigma, shot_share=float(rng.uniform(0.2, 0.95)), grain=grain)
    return rounded(how.apply(signal, rng) * 255.0)


def blocking(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """JPEG, MPEG-2, MPEG-4 part 2, H.264 or H.265, as one intra picture or (one in four) the second of two moving."""
    way = rng.random()
    if way < 0.4:
        quality = max(2, JPEG_QUALITY[strength - 1] + int(rng.integers(-1, 2)))
        return jpeg(picture, quality)
    how = video_coding(strength, rng)
    return coded(picture, how, moving=rng.random() < 0.25, rng=rng)


def video_coding(strength: int, rng: np.random.Generator) -> Coding:
    """A video coder at a quality of that strength of damage, 1 to 5."""
    odds = (0.4, 0.14, 0.25, 0.21) if strength <= len(_QUANTISER["mpeg4"]) else (0.75, 0.25, 0.0, 0.0)
    coder = ("libx264", "libx265", "mpeg4", "mpeg2video")[int(rng.choice(4, p=odds))]
    if coder in _CRF:
        preset = "ultrafast" if coder == "libx265" or rng.random() < 0.5 else "veryfast"
        return Coding(coder, float(min(_CRF[coder][strength - 1] + rng.integers(-1, 2), 51)), preset)
    return Coding(coder, float(_QUANTISER[coder][strength - 1]))


def jpeg(picture: Picture, quality: int) -> Picture:
    """Through a baseline JPEG of that quality (1 to 100), 4:2:0."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1], np.uint8)


def coded(picture: Picture, how: Coding, moving: bool, rng: np.random.Generator) -> Picture:
    """Through a real video coder; `moving`: as the frame after a picture that lay a few pixels aside. Even sizes."""
    frames = [picture]
    if moving:
        shift = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-2, 2)]], np.float32)
        before = cv2.warpAffine(picture, shift, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        frames = [np.asarray(before, np.uint8), picture]
    return coded_clip(frames, how)


def coded_clip(frames: Sequence[Picture], how: Coding) -> Picture:
    """The last of consecutive frames after all of them went through a real video coder. Even sizes."""
    planes = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), np.uint8) for frame in frames]
    return np.asarray(cv2.cvtColor(how.apply(planes)[-1], cv2.COLOR_YUV2RGB_I420), np.uint8)
