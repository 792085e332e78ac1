"""Flat-shaded animation: bold regions, ink lines, faces; by day, at dusk, by night and inside."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from training.data.scenes.brush import Brush, Points, box, ellipse
from training.data.scenes.canvas import DIFFUSE_WHITE_NITS
from training.data.titles.engine import Field, Image, bloom, lamp, noise
from training.data.titles.people import skin_albedo

WHITE = np.float32(DIFFUSE_WHITE_NITS)


def _paint(hue: float, saturation: float, value: float) -> Image:
    """BT.709 light of an HSV colour whose value has gamma 2.4, white at WHITE (as the brush's ink has it)."""
    return WHITE * np.array([part**2.4 for part in colorsys.hsv_to_rgb(hue % 1.0, saturation, value)], np.float32)


def cartoon(rng: np.random.Generator, field: Field) -> Image:
    """A backdrop, things and one to three characters, under daylight, dusk or night, with lights that glow."""
    hour = str(rng.choice(["day", "day", "dusk", "night", "inside"]))
    light = _backdrop(rng, field, hour)
    brush, ink = Brush(light), bool(rng.random() < 0.7)
    for _ in range(int(rng.integers(3, 14))):
        _thing(rng, brush, ink)
    for place in np.linspace(-0.6, 0.6, int(rng.integers(1, 4)) + 2)[1:-1]:
        size = float(rng.uniform(0.12, 0.42))
        _character(rng, brush, (float(place + rng.uniform(-0.1, 0.1)), float(rng.uniform(0.35, 0.65))), size, ink)
    if hour in ("dusk", "night"):
        mood = np.array([0.35, 0.45, 0.9] if hour == "night" else [1.0, 0.55, 0.35], np.float32)
        light *= mood * float(rng.uniform(0.05, 0.3) if hour == "night" else rng.uniform(0.3, 0.8))
    _lights(rng, field, light, hour)
    if rng.random() < 0.3:
        brush.text(
            str(rng.choice(["HELLO", "CHAPTER 2", "NIGHT TRAIN"])), (0.0, 0.93), np.full(3, WHITE, np.float32), 0.05
        )
    return bloom(light / WHITE, float(rng.choice([0.0, 0.0, 0.05, 0.12])))


def _backdrop(rng: np.random.Generator, field: Field, hour: str) -> Image:
    hue = float(rng.random()) if hour == "inside" else float(rng.uniform(0.48, 0.66))
    top = _paint(hue, float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.5, 1.0)))
    bottom = _paint(hue + rng.uniform(-0.1, 0.1), float(rng.uniform(0.0, 0.5)), float(rng.uniform(0.6, 1.0)))
    blend = field.y[..., None] if rng.random() < 0.6 else (np.floor(field.y * 4) / 4)[..., None]
    light = ((top + (bottom - top) * blend) * np.ones((1, field.width, 1), np.float32)).astype(np.float32)
    if rng.random() < 0.4:
        light *= (0.75 + 0.5 * noise(rng, field, 0.3, 5, 0.6))[..., None]
    brush, half = Brush(light), field.half_width + 0.1
    for index in range(int(rng.integers(1, 4))):
        ground = _paint(float(rng.uniform(0.05, 0.45)), float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.3, 0.8)))
        level = 0.5 + 0.15 * index + float(rng.uniform(0.0, 0.1))
        if hour == "inside":
            brush.fill(box(-half, level, half, 1.1), ground)
        else:
            brush.fill(ellipse((float(rng.uniform(-0.8, 0.8)), level + 0.45), (1.4, 0.5)), ground)
    return light


def _thing(rng: np.random.Generator, brush: Brush, ink: bool) -> None:
    x, y = float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.15, 0.95))
    wide, high = (float(part) for part in rng.uniform(0.03, 0.2, 2))
    colour = _paint(float(rng.random()), float(rng.uniform(0.1, 0.95)), float(rng.uniform(0.15, 1.0)))
    shape: Points = (
        ellipse((x, y), (wide, high)) if rng.random() < 0.5 else box(x - wide, y - high, x + wide, y + high)
    )
    brush.fill(shape, colour, outline=ink)
    if rng.random() < 0.5:
        brush.fill(
            box(x, y - 0.6 * high, x + 0.6 * wide, y + 0.6 * high), colour * float(rng.choice([0.5, 0.6, 1.3]))
        )


def _character(rng: np.random.Generator, brush: Brush, at: tuple[float, float], size: float, ink: bool) -> None:
    """A head, a body and a face in two tones each: lit and in shade."""
    x, y = at
    skin = skin_albedo(float(rng.uniform(0.2, 1.0))) * 1.2 * WHITE
    if rng.random() < 0.2:
        skin = _paint(float(rng.random()), 0.5, 0.85)
    hair = _paint(
        float(rng.uniform(-0.05, 0.12)) if rng.random() < 0.7 else float(rng.random()),
        0.7,
        float(rng.uniform(0.1, 0.9)),
    )
    shirt = _paint(float(rng.random()), float(rng.uniform(0.2, 0.9)), float(rng.uniform(0.2, 1.0)))
    body = [
        (x - 0.45 * size, y + 1.6 * size),
        (x - 0.3 * size, y + 0.5 * size),
        (x + 0.3 * size, y + 0.5 * size),
        (x + 0.45 * size, y + 1.6 * size),
    ]
    brush.fill(body, shirt, outline=ink)
    brush.fill(ellipse((x, y - 0.08 * size), (0.48 * size, 0.55 * size)), hair, outline=ink)
    brush.fill(ellipse((x, y + 0.04 * size), (0.40 * size, 0.46 * size)), skin, outline=ink)
    brush.fill(ellipse((x, y + 0.04 * size), (0.39 * size, 0.45 * size), 90, 200), 0.65 * skin)
    brush.fill(ellipse((x, y - 0.16 * size), (0.41 * size, 0.27 * size), 180, 360), hair)
    for side in (-0.16, 0.16):
        eye = (x + side * size, y + 0.03 * size)
        brush.fill(ellipse(eye, (0.09 * size, 0.12 * size)), np.full(3, 0.92 * WHITE, np.float32))
        brush.fill(ellipse(eye, (0.05 * size, 0.08 * size)), _paint(float(rng.random()), 0.6, 0.3))
        brush.fill(
            ellipse((eye[0] - 0.02 * size, eye[1] - 0.03 * size), (0.018 * size, 0.02 * size)),
            np.full(3, WHITE, np.float32),
        )
    brush.line(ellipse((x, y + 0.22 * size), (0.12 * size, 0.07 * size), 20, 160), 0.3 * skin, 0.02 * size)


def _lights(rng: np.random.Generator, field: Field, light: Image, hour: str) -> None:
    """A sun or moon, lamps, magic: what an animator paints as glowing and an HDR master shows brighter than white."""
    count = int(rng.integers(0, 3)) if hour in ("day", "inside") else int(rng.integers(1, 6))
    for _ in range(count):
        at = (float(rng.uniform(-0.85, 0.85)), float(rng.uniform(0.05, 0.7)))
        core, halo = lamp(field, at, float(rng.uniform(0.015, 0.09)), float(rng.uniform(0.04, 0.2)))
        colour = _paint(float(rng.choice([0.12, 0.14, float(rng.random())])), float(rng.uniform(0.05, 0.6)), 1.0)
        light += float(rng.uniform(0.1, 0.6)) * halo[..., None] * colour
        light += core[..., None] * (colour * float(np.exp(rng.uniform(0.7, 2.2))) - light)
    if rng.random() < 0.25:
        canvas = np.zeros(field.shape, np.uint8)
        points = rng.uniform((0, 0), (field.width, field.height), (int(rng.integers(3, 8)), 2)).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, int(rng.integers(2, 9)), cv2.LINE_AA)
        light += (
            (canvas[..., None] / np.float32(255)) * _paint(float(rng.random()), 0.6, 1.0) * float(rng.uniform(2, 6))
        )
