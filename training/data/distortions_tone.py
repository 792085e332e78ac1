"""Damage to tone and colour: exposure, casts, saturation, too few levels, a surface without a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.distortions_detail import Picture, varied

_CODES = np.arange(256, dtype=np.float32)
_GAMMA = 2.4


def table(values: NDArray[np.floating]) -> Picture:
    """A look-up table of codes, rounded, within 0 and 255."""
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)


def overexposure(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Light is multiplied until so large a share of the picture is white, by 0.6 to 5 stops."""
    share = varied(rng, (0.07, 0.14, 0.25, 0.42, 0.65)[strength - 1])
    most = picture[::4, ::4].max(axis=-1)
    gain = 254.0 / max(float(np.quantile(most, 1.0 - share)), 8.0)
    least = (0.6, 0.85, 1.2, 1.7, 2.4)[strength - 1]
    gain = float(np.clip(gain, 2 ** (least / _GAMMA), 2 ** (5.0 / _GAMMA)))
    return np.asarray(cv2.LUT(picture, table(_CODES * gain)), np.uint8)


def underexposure(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Light is divided until nine tenths of the picture lie below a low level, and the darkest codes are lost."""
    target = varied(rng, (96.0, 74.0, 55.0, 39.0, 25.0)[strength - 1])
    bright = max(float(np.quantile(picture[::4, ::4].max(axis=-1), 0.9)), 1.0)
    gain = min(target / bright, 2 ** (-0.8 / _GAMMA))
    crushed = (2.0, 4.0, 6.0, 8.0, 9.0)[strength - 1] * float(rng.random())
    return np.asarray(cv2.LUT(picture, table(_CODES * gain - crushed)), np.uint8)


def color_cast(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """A white balance that is off by a gain per channel in light, in any direction, brightness kept."""
    stops = varied(rng, (0.28, 0.45, 0.68, 0.98, 1.4)[strength - 1])
    turn = rng.uniform(0.0, 2 * np.pi)
    way = np.cos(turn + np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3]))
    return rebalanced(picture, stops * way)


def rebalanced(picture: Picture, stops: NDArray[np.floating]) -> Picture:
    """A gain for each channel in light, all of them scaled so that luminance stays."""
    gains = 2.0**stops
    gains /= float(gains @ (0.2126, 0.7152, 0.0722))
    codes = np.stack([table(_CODES * gain ** (1 / _GAMMA)) for gain in gains], axis=-1)
    return np.asarray(cv2.LUT(picture, codes[None]), np.uint8)


def scaled_chroma(picture: Picture, factor: float) -> Picture:
    """Away from grey by that factor."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(picture, factor, grey, 1.0 - factor, 0.0), np.uint8)


def oversaturation(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    return scaled_chroma(picture, varied(rng, (1.45, 1.75, 2.2, 2.8, 3.8)[strength - 1], 0.06))


def desaturation(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Grey at the last strength."""
    return scaled_chroma(picture, (0.62, 0.47, 0.32, 0.16, 0.0)[strength - 1] * float(rng.uniform(0.9, 1.1)))


def banding(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Fewer levels without dither; the fine noise that would hide the steps is smoothed away first."""
    step = varied(rng, (5.0, 7.0, 10.0, 15.0, 22.0)[strength - 1])
    offset = rng.uniform(0.0, step)
    steps = table(np.floor((_CODES + offset) / step) * step - offset + step / 2)
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
    if rng.random() < 0.5:
        return np.asarray(cv2.LUT(soft, steps), np.uint8)
    ycc = cv2.cvtColor(soft, cv2.COLOR_RGB2YCrCb)
    ycc[..., 0] = cv2.LUT(ycc[..., 0], steps)
    return np.asarray(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB), np.uint8)


def solid_color(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """One colour in place of the picture, grey or black more often than not. The strength is in the area it takes."""
    kind = rng.random()
    if kind < 0.3:
        colour = np.full(3, rng.integers(0, 20))
    elif kind < 0.6:
        colour = np.full(3, rng.integers(20, 236))
    else:
        colour = rng.integers(0, 256, 3)
    return np.broadcast_to(colour.astype(np.uint8), picture.shape).copy()
