"""Damage to detail: softness, defocus, movement, stairs, halos."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_REFERENCE_LINES = 540.0
_CODES = np.arange(256, dtype=np.float32)
_TO_LIGHT = (_CODES / 255.0) ** np.float32(2.4)
"""A BT.1886 display's light, 1 at white."""


def scaled(picture: Picture, size_px: float) -> float:
    """A size that is given for 540 lines, for this picture: it grows with the root of the height."""
    return size_px * float(np.sqrt(picture.shape[0] / _REFERENCE_LINES))


def varied(rng: np.random.Generator, amount: float, share: float = 0.1) -> float:
    return amount * float(np.exp(rng.uniform(-share, share)))


def rounded(values: NDArray[np.floating]) -> Picture:
    return np.asarray(cv2.convertScaleAbs(np.clip(values, 0.0, 255.0)), np.uint8)


def low_clarity(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Soft as a small format shown large, a cheap lens, or a denoiser that took the detail too."""
    sigma = varied(rng, scaled(picture, (0.9, 1.25, 1.8, 2.6, 3.8)[strength - 1]))
    way = rng.random()
    if way < 0.45:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    if way < 0.8:
        height, width = picture.shape[:2]
        factor = 1.0 + 1.5 * sigma
        small = cv2.resize(picture, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(small, (width, height), interpolation=how), np.uint8)
    size = 2 * round(0.9 * sigma) + 3
    smooth = cv2.medianBlur(picture, min(size, 9))
    return np.asarray(cv2.GaussianBlur(smooth, (0, 0), 0.45 * sigma), np.uint8)


def out_of_focus(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """A disc in light: highlights become discs too."""
    radius = varied(rng, scaled(picture, (2.0, 2.9, 4.2, 6.0, 8.5)[strength - 1]))
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _through_light(picture, np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0))


def motion_blur(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """A straight path in any direction, in light; one in four is slightly bent."""
    length = varied(rng, scaled(picture, (6.0, 9.0, 14.0, 22.0, 34.0)[strength - 1]))
    angle, bend = rng.uniform(0.0, np.pi), rng.uniform(-0.5, 0.5) * (rng.random() < 0.25)
    reach = int(np.ceil(length / 2)) + 1
    time = np.linspace(-0.5, 0.5, 8 * reach)
    along, across = length * time, bend * length * (time**2 - 0.08)
    x = along * np.cos(angle) - across * np.sin(angle) + reach
    y = along * np.sin(angle) + across * np.cos(angle) + reach
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dx - (x % 1)) * np.abs(1 - dy - (y % 1))
            np.add.at(kernel, (y.astype(int) + dy, x.astype(int) + dx), weight)
    return _through_light(picture, kernel[: 2 * reach + 1, : 2 * reach + 1])


def _through_light(picture: Picture, kernel: NDArray[np.floating]) -> Picture:
    """The kernel, normalised, on display light."""
    blurred = cv2.filter2D(_TO_LIGHT[picture], -1, (kernel / kernel.sum()).astype(np.float32))
    root = cv2.pow(np.clip(blurred, 0.0, 1.0), 1.0 / 2.4)
    return rounded(np.asarray(root, np.float32) * 255.0)


def aliasing(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Sampled without a filter, then enlarged by repeated pixels: stairs on slanting edges, moire on fine detail."""
    factor = varied(rng, (1.6, 2.0, 2.6, 3.4, 4.6)[strength - 1] * (0.5 + 0.5 * scaled(picture, 1.0)), 0.06)
    height, width = picture.shape[:2]
    size = (max(16, round(width / factor)), max(16, round(height / factor)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def ringing(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Halos of a sharpener, or the ripple of an abrupt low-pass."""
    if rng.random() < 0.6:
        sigma = scaled(picture, float(rng.uniform(1.0, 2.4)))
        gain = varied(rng, (0.9, 1.4, 2.1, 3.1, 4.6)[strength - 1])
        soft = cv2.GaussianBlur(picture, (0, 0), sigma)
        return np.asarray(cv2.addWeighted(picture, 1.0 + gain, soft, -gain, 0.0), np.uint8)
    cutoff = varied(rng, (0.30, 0.24, 0.18, 0.135, 0.10)[strength - 1]) / scaled(picture, 1.0)
    reach = round(4.0 / cutoff)
    taps = np.sinc(2 * cutoff * np.arange(-reach, reach + 1)) * np.hanning(2 * reach + 3)[1:-1] ** 0.2
    taps = (taps / taps.sum()).astype(np.float32)
    sharp = cv2.sepFilter2D(picture.astype(np.float32), cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT)
    halo = 1.0 + 0.15 * strength
    base = cv2.GaussianBlur(picture, (0, 0), 0.5 / (2 * cutoff)).astype(np.float32)
    return rounded(base + halo * (np.asarray(sharp) - base))
