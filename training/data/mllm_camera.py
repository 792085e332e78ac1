"""What is not damage: how a sound picture comes out of one camera, lens and finishing suite or another.

Drawn pictures are sharp everywhere and free of noise, and so are photographs once they are shrunk; real video is not,
and its shallow depth of field, soft lenses and warm evenings are no damage. All amounts stay below
the mildest damage of their kind (`training.data.distortions_*`), except the depth of field, which no threshold tells
from defocus: it grows smoothly away from what is in focus and leaves that sharp.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.distortions_detail import Picture, rounded, scaled
from training.data.distortions_tone import rebalanced, scaled_chroma, table

_CODES = np.arange(256, dtype=np.float32)
FINISHES = 0.45
"""How often each of `PARTS` is there."""


def through_camera(picture: Picture, rng: np.random.Generator) -> Picture:
    """(H, W, 3) uint8 R'G'B' -> the same picture as some camera and finishing would have given it, undamaged."""
    for part in PARTS:
        if rng.random() < FINISHES:
            picture = part(picture, rng)
    return picture


def depth_of_field(picture: Picture, rng: np.random.Generator) -> Picture:
    """Sharp in a soft-edged part, a band or an oval, and ever softer away from it."""
    height, width = picture.shape[:2]
    far = cv2.GaussianBlur(picture, (0, 0), scaled(picture, float(rng.uniform(1.5, 4.0))))
    near = cv2.GaussianBlur(picture, (0, 0), scaled(picture, float(rng.uniform(0.5, 1.5))))
    softness = _distance(height, width, rng)[..., None]
    half = np.clip(2 * softness, 0.0, 1.0)
    whole = np.clip(2 * softness - 1, 0.0, 1.0)
    mixed = picture + half * (near.astype(np.float32) - picture)
    return rounded(mixed + whole * (far.astype(np.float32) - mixed))


def _distance(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: how far out of focus; 0 in a part of the picture, 1 at the far end of a slope."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(0.2, 0.9))
    x = np.linspace(0, 1, width, dtype=np.float32)[None] - np.float32(rng.uniform(0.2, 0.8))
    stretch = 0.0 if rng.random() < 0.3 else float(rng.uniform(0.5, 1.5))
    away = np.sqrt(y**2 + (stretch * x) ** 2)
    small = rng.random((5, 8)).astype(np.float32)
    uneven = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    first, slope = float(rng.uniform(0.1, 0.35)), float(rng.uniform(0.15, 0.5))
    return np.clip((away + 0.2 * (uneven - 0.5) - first) / slope, 0.0, 1.0).astype(np.float32)


def white_balance(picture: Picture, rng: np.random.Generator) -> Picture:
    """Warmer, cooler, greener: up to 0.18 stops of a channel in light."""
    return rebalanced(picture, rng.uniform(-0.18, 0.18, 3))


def tone(picture: Picture, rng: np.random.Generator) -> Picture:
    """A little brighter or darker in the middle; black and white stay where they are."""
    return np.asarray(cv2.LUT(picture, table(255 * (_CODES / 255) ** float(rng.uniform(0.8, 1.3)))), np.uint8)


def saturation(picture: Picture, rng: np.random.Generator) -> Picture:
    """By 0.76 to 1.28: the mildest damage is 0.62 and 1.45."""
    return scaled_chroma(picture, float(rng.uniform(0.76, 1.28)))


def lens(picture: Picture, rng: np.random.Generator) -> Picture:
    """Less than the mildest low clarity's 0.9 pixels at 540 lines."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), scaled(picture, float(rng.uniform(0.3, 0.7)))), np.uint8)


def sharpening(picture: Picture, rng: np.random.Generator) -> Picture:
    """Every camera's; less than the mildest ringing's gain of 0.9."""
    soft = cv2.GaussianBlur(picture, (0, 0), scaled(picture, float(rng.uniform(0.7, 1.4))))
    gain = float(rng.uniform(0.1, 0.5))
    return np.asarray(cv2.addWeighted(picture, 1.0 + gain, soft, -gain, 0.0), np.uint8)


def sensor(picture: Picture, rng: np.random.Generator) -> Picture:
    """Up to 1.2 codes of luma noise: the mildest that counts as damage has 2.6."""
    noise = rng.normal(0.0, float(rng.uniform(0.3, 1.2)), picture.shape[:2]).astype(np.float32)
    return rounded(picture + noise[..., None])


PARTS: tuple[Callable[[Picture, np.random.Generator], Picture], ...] = (
    depth_of_field,
    white_balance,
    tone,
    saturation,
    lens,
    sensor,
    sharpening,
)
"""In the order of a picture's way from the scene to the file."""
