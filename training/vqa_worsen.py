"""Damage done on the fly to what the judging network sees, so that it meets far more of it than was ever labelled.

A worsened clip has no label; that it must score below the clip it was made of is all that is known, and is taught.
Kinds are named as in `training.data.vqa_damages` and only roughly like them: perceived light is all there is here.
To add one: write `(key, motion, share, rng) -> (key, motion)` and add its line to `KINDS`. Pictures are float32 in
[0, 1], key (H, W, 3), motion (T, h, w, 3); `share` in (0, 1] is how strong.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
Floats = NDArray[np.floating]
Pair = tuple[Floats, Floats]
Worsen = Callable[[Pictures, Pictures, float, np.random.Generator], tuple[Floats, Floats]]

SMALLER = 3.75
"""How much smaller motion pictures are than the working picture."""


def worsened(key: Pictures, motion: Pictures, rng: np.random.Generator) -> tuple[Pictures, Pictures, str, float]:
    """The clip with one more damage, in [0, 1], its kind, and its strength in (0, 1]."""
    kind = list(KINDS)[int(rng.integers(len(KINDS)))]
    share = float(rng.uniform(0.2, 1.0))
    after = (np.clip(part, 0, 1).astype(np.float32) for part in KINDS[kind](key, motion, share, rng))
    return next(after), next(after), kind, share


def _grain(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    sigma = np.float32(0.09 * share**1.5)
    grey = rng.standard_normal((*key.shape[:2], 1), np.float32)
    noisy = key + sigma * (grey + np.float32(0.4) * rng.standard_normal(key.shape, np.float32))
    return noisy, motion + sigma / np.float32(SMALLER) * rng.standard_normal((*motion.shape[:3], 1), np.float32)


def _blotches(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    sigma = np.float32(0.1 * share**1.5)

    def clumps(size: int, height: int, width: int) -> Pictures:
        coarse = rng.standard_normal((max(height // size, 2), max(width // size, 2), 3), np.float32)
        coarse -= coarse.mean(axis=-1, keepdims=True)
        return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)

    moving = np.stack([picture + sigma * clumps(2, motion.shape[1], motion.shape[2]) for picture in motion])
    return key + sigma * clumps(6, key.shape[0], key.shape[1]), moving


def _blur(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    return _soft(key, motion, 0.5 + 3.5 * share**1.5)


def _soft(key: Pictures, motion: Pictures, sigma: float) -> Pair:
    small = max(sigma / SMALLER, 0.15)
    frames = [cv2.GaussianBlur(picture, (0, 0), small) for picture in motion]
    return np.asarray(cv2.GaussianBlur(key, (0, 0), sigma), np.float32), np.asarray(frames, np.float32)


def _resize(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    factor = 1.4 + 4 * share
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
    height, width = key.shape[:2]
    small = cv2.resize(key, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    key = np.asarray(cv2.resize(small, (width, height), interpolation=how), np.float32)
    return key, _soft(key, motion, factor / 2.5)[1]


def _halos(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    soft = _soft(key, motion, float(rng.uniform(1.0, 2.5)))
    gain = np.float32(5 * share**1.5)
    return key + gain * (key - soft[0]), motion + gain * (motion - soft[1])


def _blocks(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    codes = np.rint(key * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, int(45 - 41 * share)])
    coded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / np.float32(255)
    return coded, _soft(key, motion, 0.5 + 2 * share)[1]


def _banding(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    levels = np.float32(60 * (1 - share) + 9)
    soft = _soft(key, motion, 0.8)
    return np.rint(soft[0] * levels) / levels, np.rint(soft[1] * levels) / levels


def _clip(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    top = np.float32(np.quantile(motion.max(axis=-1), 1 - 0.5 * share))
    return np.minimum(key, top), np.minimum(motion, top)


def _exposure(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    move = np.float32(0.3 * share * rng.choice((-1.0, 1.0)))
    return tuple(part + move * np.minimum(4 * part, 1) for part in (key, motion))  # type: ignore[return-value]


def _crush(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    floor = np.float32(share * min(float(np.median(motion)), 0.8))
    return np.maximum(key - floor, 0) / (1 - floor), np.maximum(motion - floor, 0) / (1 - floor)


def _haze(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    veil = np.float32(0.05 + 0.4 * share)
    return (key**4 + veil**4) ** 0.25, (motion**4 + veil**4) ** 0.25


def _contrast(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    power = np.float32((1 + 1.4 * share) ** float(rng.choice((-1.0, 1.0))))
    middle = np.float32(np.median(motion) + 1e-3)
    return middle * (key / middle) ** power, middle * (motion / middle) ** power


def _over_expansion(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    start, gain = np.float32(rng.choice((0.2, 0.4, 0.6))), np.float32(0.5 + 3 * share)
    return key + gain * np.maximum(key - start, 0), motion + gain * np.maximum(motion - start, 0)


def _saturation(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    factor = np.float32(1 + 2 * share if rng.random() < 0.5 else 1 - share)
    greys = (part.mean(axis=-1, keepdims=True) for part in (key, motion))
    return tuple(g + factor * (part - g) for g, part in zip(greys, (key, motion), strict=True))  # type: ignore[return-value]


def _hue(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    angle = np.radians(90 * share * rng.choice((-1.0, 1.0))) / np.sqrt(3)
    turn = np.asarray(cv2.Rodrigues(np.full(3, angle))[0], np.float32).T
    return key @ turn, motion @ turn


def _cast(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    way = np.roll((1.0, -0.3, -1.0) if rng.random() < 0.5 else (1.0, 1.0, -1.0), int(rng.integers(3)))
    move = (0.12 * share * rng.choice((-1.0, 1.0)) * way).astype(np.float32)
    return tuple(part + move * np.minimum(4 * part, 1) for part in (key, motion))  # type: ignore[return-value]


def _flicker(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    count = len(motion)
    steps = rng.standard_normal(count) if rng.random() < 0.4 else (-1.0) ** np.arange(count)
    moves = (0.06 * share**1.5 * steps).astype(np.float32)[:, None, None, None]
    return key, motion + moves * np.minimum(4 * motion, 1)


def _pumping(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    turns = float(rng.uniform(1.0, 2.5)) * np.arange(len(motion)) / 32 + rng.random()
    moves = (0.16 * share * np.sin(2 * np.pi * turns)).astype(np.float32)[:, None, None, None]
    return key, motion + moves * np.minimum(4 * motion, 1)


def _tile_flicker(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    count, height, width = motion.shape[:3]
    tiles = (0.1 * share * (rng.random((3, 4)) < 0.5)).astype(np.float32)
    wide = np.asarray(cv2.resize(tiles, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
    beats = ((-1.0) ** np.arange(count)).astype(np.float32)
    return key, motion + beats[:, None, None, None] * wide[None, :, :, None] * np.minimum(4 * motion, 1)


def _judder(key: Pictures, motion: Pictures, share: float, rng: np.random.Generator) -> Pair:
    each = round(2 + 8 * share)
    return key, motion[np.arange(len(motion)) // each * each]


KINDS: dict[str, Worsen] = {
    "grain": _grain,
    "blotches": _blotches,
    "blur": _blur,
    "resize": _resize,
    "halos": _halos,
    "blocks": _blocks,
    "banding": _banding,
    "clip": _clip,
    "exposure": _exposure,
    "crush": _crush,
    "haze": _haze,
    "contrast": _contrast,
    "over-expansion": _over_expansion,
    "saturation": _saturation,
    "hue": _hue,
    "cast": _cast,
    "flicker": _flicker,
    "pumping": _pumping,
    "tile-flicker": _tile_flicker,
    "judder": _judder,
}
