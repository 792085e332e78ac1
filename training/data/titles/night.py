"""Low light: streets after rain, neon, candle light, moonlight, fireworks."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.titles.engine import (
    Field,
    Image,
    bloom,
    coverage,
    gain_texture,
    lamp,
    leaves,
    noise,
    over,
    smoothstep,
)
from training.data.titles.indoor import TUNGSTEN, _from_source, _palette, _vivid
from training.data.titles.people import paint_people

SODIUM = np.array([1.0, 0.55, 0.16], np.float32)
MOON = np.array([0.55, 0.72, 1.0], np.float32)


def night_street(rng: np.random.Generator, field: Field) -> Image:
    """Dark houses with lit windows, street lamps and headlights, mirrored in the wet road."""
    horizon = float(rng.uniform(0.5, 0.75))
    lamp_colour = SODIUM if rng.random() < 0.5 else np.array([0.9, 0.95, 1.0], np.float32)
    light = field.blank((0.002, 0.003, 0.006)) * (0.5 + field.y[..., None])
    walls = leaves(
        rng, field, _palette(rng), 20, (0.15, 0.5), (0, -0.5, 0.8), rows=(0.2, horizon), upright=True, round_share=0
    )
    pools = np.zeros(field.shape, np.float32)
    sources = light * 0.0
    for _ in range(int(rng.integers(2, 9))):
        at = (float(rng.uniform(-0.88, 0.88)), float(rng.uniform(0.1, horizon)))
        core, halo = lamp(field, at, float(rng.uniform(0.004, 0.02)), float(rng.uniform(0.05, 0.3)))
        pools += float(rng.uniform(0.1, 0.8)) * halo
        sources += (core * float(np.exp(rng.uniform(2.5, 5.5))))[..., None] * lamp_colour
    illumination = (0.01 + pools)[..., None] * lamp_colour
    over(light, (walls.light * illumination).astype(np.float32), walls.mask)
    _lit_windows(rng, field, light, (0.15, horizon))
    light += sources
    _wet_road(rng, field, light, horizon, illumination)
    if rng.random() < 0.5:
        paint_people(rng, field, light, (0.1, 0.4), 0.4 * lamp_colour, (0.01, 0.012, 0.02), _from_source(rng))
    return bloom(light, float(rng.uniform(0.02, 0.12)))


def _lit_windows(rng: np.random.Generator, field: Field, light: Image, rows: tuple[float, float]) -> None:
    for _ in range(int(60 * rng.random() * (rows[1] - rows[0])) + 1):
        x, y = rng.uniform((-0.88, rows[0]), (0.88, rows[1]))
        half = rng.uniform(0.006, 0.025, 2)
        box = np.maximum(np.abs(field.x - x) - half[0], np.abs(field.y - y) - half[1])
        warmth = TUNGSTEN ** np.float32(rng.uniform(0.0, 1.2))
        over(light, warmth * float(np.exp(rng.uniform(-1.5, 2.5))), coverage(box, field.pixel))


def _wet_road(rng: np.random.Generator, field: Field, light: Image, horizon: float, illumination: Image) -> None:
    row = min(int(horizon * field.height), field.height - 2)
    mirrored = light[:row][::-1]
    mirrored = cv2.resize(mirrored, (field.width, field.height - row), interpolation=cv2.INTER_AREA)
    smeared = cv2.GaussianBlur(mirrored, (0, 0), sigmaX=2.0, sigmaY=float(rng.uniform(6.0, 25.0)))
    wet = float(rng.uniform(0.05, 0.6)) * (0.3 + noise(rng, field, 0.1)[row:])[..., None]
    asphalt = 0.06 * gain_texture(rng, field, 0.05, 0.6)[row:] * illumination[row:]
    light[row:] = asphalt + wet * smeared


def neon(rng: np.random.Generator, field: Field) -> Image:
    """Coloured tubes and signs on dark walls, faces in their light."""
    colours = _vivid(rng, 4)
    tubes = field.blank()
    for _ in range(int(rng.integers(3, 12))):
        canvas = np.zeros(field.shape, np.uint8)
        points = rng.uniform((0, 0), (field.width, field.height * 0.8), (1, 2)) + np.cumsum(
            rng.normal(0, 0.08 * field.height, (int(rng.integers(2, 7)), 2)), axis=0
        )
        cv2.polylines(
            canvas, [points.astype(np.int32)], rng.random() < 0.4, 255, int(rng.integers(2, 6)), cv2.LINE_AA
        )
        colour = colours[int(rng.integers(len(colours)))] + 0.12
        tubes += (canvas[..., None] / np.float32(255.0)) * colour * float(np.exp(rng.uniform(1.5, 3.8)))
    small = cv2.resize(tubes, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), 6.0), field.shape[::-1], interpolation=cv2.INTER_LINEAR)
    things = leaves(rng, field, _palette(rng), 120, (0.02, 0.4), _from_source(rng), upright=True, gloss=0.5)
    light = (0.08 + things.light) * (glow * 1.5 + 0.004) * gain_texture(rng, field, 0.1, 0.5)
    if rng.random() < 0.7:
        paint_people(rng, field, light, (0.15, 0.6), colours[0] * 0.6, colours[1] * 0.15, _from_source(rng), most=2)
    return bloom((light + tubes).astype(np.float32), float(rng.uniform(0.03, 0.15)))


def candle(rng: np.random.Generator, field: Field) -> Image:
    """A few small flames; what is near is warm, the rest almost black."""
    light, lit = field.blank(), field.blank((0.003, 0.003, 0.004))
    flames = field.blank()
    for _ in range(int(rng.integers(1, 6))):
        at = (float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.35, 0.8)))
        distance = np.hypot((field.x - at[0]) / 0.4, field.y - at[1])
        _, halo = lamp(field, at, 0.01, float(rng.uniform(0.08, 0.3)))
        lit += float(rng.uniform(0.3, 1.2)) * halo[..., None] * SODIUM
        size = float(rng.uniform(0.012, 0.04))
        flames += (smoothstep(size, 0.2 * size, distance) * float(np.exp(rng.uniform(2.5, 4.5))))[
            ..., None
        ] * TUNGSTEN
    things = leaves(rng, field, _palette(rng), 80, (0.03, 0.3), (0.0, 0.1, 0.99), rows=(0.2, 1.1), gloss=1.0)
    light = (0.1 + things.light) * lit * gain_texture(rng, field, 0.1, 0.3)
    if rng.random() < 0.75:
        paint_people(rng, field, light, (0.25, 0.7), 0.5 * SODIUM, (0.006, 0.006, 0.008), _from_source(rng), most=2)
    return bloom((light + flames).astype(np.float32), float(rng.uniform(0.02, 0.1)))


def moonlight(rng: np.random.Generator, field: Field) -> Image:
    """Blue night over hills or trees, stars, a moon, perhaps one lit window."""
    horizon = float(rng.uniform(0.4, 0.7))
    light = (field.blank(0.02 * MOON) * (0.4 + field.y[..., None] ** 2)).astype(np.float32)
    clouds = smoothstep(0.4, 0.9, noise(rng, field, 0.5))[..., None]
    light += 0.03 * clouds * MOON
    stars = (rng.random(field.shape) > 0.9985) * rng.exponential(0.4, field.shape)
    light += (stars[..., None] * (1.0 - clouds)).astype(np.float32)
    at = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.05, 0.35)))
    core, halo = lamp(field, at, float(rng.uniform(0.02, 0.06)), 0.08)
    light += (core * float(rng.uniform(2.0, 12.0)) * (0.6 + 0.4 * noise(rng, field, 0.03)) + 0.1 * halo)[
        ..., None
    ] * MOON
    things = leaves(
        rng, field, _palette(rng), 200, (0.01, 0.2), (0.3, -0.7, 0.6), rows=(horizon, 1.1), round_share=0.8
    )
    over(light, (things.light * 0.10 * MOON * gain_texture(rng, field, 0.1, 0.8)).astype(np.float32), things.mask)
    if rng.random() < 0.5:
        _lit_windows(rng, field, light, (horizon, 0.9))
    if rng.random() < 0.35:
        paint_people(rng, field, light, (0.1, 0.4), 0.12 * MOON, 0.01 * MOON, _from_source(rng))
    return bloom(light, float(rng.uniform(0.0, 0.06)))


def fireworks(rng: np.random.Generator, field: Field) -> Image:
    """Bursts of coloured sparks over a dark skyline."""
    light = field.blank((0.004, 0.005, 0.009)) * (0.5 + noise(rng, field, 0.5))[..., None]
    colours = _vivid(rng, 5)
    for _ in range(int(rng.integers(1, 6))):
        centre = rng.uniform((-0.7, 0.1), (0.7, 0.5)) * field.height + (field.width / 2, 0.0)
        reach = float(rng.uniform(0.06, 0.3)) * field.height
        canvas = np.zeros(field.shape, np.uint8)
        for angle in rng.uniform(0, 2 * np.pi, 40):
            step = np.array([np.cos(angle), np.sin(angle)]) * reach * rng.uniform(0.6, 1.0)
            tail, tip = (centre + 0.4 * step).astype(int).tolist(), (centre + step).astype(int).tolist()
            cv2.line(canvas, tail, tip, 255, 1, cv2.LINE_AA)
        colour = colours[int(rng.integers(5))] + 0.08
        light += (canvas[..., None] / np.float32(255)) * colour * float(np.exp(rng.uniform(1.5, 4.0)))
    town = leaves(
        rng, field, _palette(rng), 40, (0.03, 0.2), (0, -0.7, 0.7), rows=(0.75, 1.1), upright=True, round_share=0
    )
    over(light, town.light * 0.05, town.mask)
    _lit_windows(rng, field, light, (0.75, 0.95))
    return bloom(light, float(rng.uniform(0.03, 0.15)))
