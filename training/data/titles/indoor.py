"""Indoor settings: rooms with windows and lamps, things on a table, portraits, stages, fire."""

from __future__ import annotations

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
from training.data.titles.people import defocus, paint_people, paint_person

TUNGSTEN = np.array([1.0, 0.66, 0.34], np.float32)
DAY = np.array([0.86, 0.95, 1.1], np.float32)


def _palette(rng: np.random.Generator, count: int = 8) -> Image:
    """Albedos of man-made things: greys, woods and a few strong colours."""
    hue = np.add(rng.uniform(0.0, 2 * np.pi, (count, 1)), (0.0, 2.094, 4.189))
    colourful = rng.beta(0.7, 1.8, (count, 1))
    value = np.exp(rng.uniform(np.log(0.02), np.log(0.8), (count, 1)))
    return np.clip(value * (1.0 + colourful * 1.4 * np.cos(hue)), 0.004, 0.9).astype(np.float32)


def room(rng: np.random.Generator, field: Field) -> Image:
    """Walls, furniture and people lit by a window or lamps that are far brighter than the room."""
    tint = DAY if rng.random() < 0.5 else TUNGSTEN ** np.float32(rng.uniform(0.3, 1.0))
    wall = rng.uniform(0.1, 0.75) * (0.7 + 0.3 * rng.random(3))
    source = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.05, 0.6)))
    distance = np.hypot(field.x - source[0], field.y - source[1])
    falloff = 1.6 / (1.0 + (distance / float(rng.uniform(0.25, 0.8))) ** 2) + float(rng.uniform(0.03, 0.25))
    illumination = falloff[..., None] * tint * gain_texture(rng, field, 0.6, 0.5, 0.4)
    light = (wall * illumination * gain_texture(rng, field, 0.2, 0.15)).astype(np.float32)
    towards = _from_source(rng)
    things = leaves(
        rng,
        field,
        _palette(rng),
        90,
        (0.02, 0.25),
        towards,
        rows=(0.35, 1.1),
        upright=True,
        round_share=0.3,
        gloss=float(rng.uniform(0.1, 2.0)),
    )
    over(light, things.light * illumination, things.mask)
    if rng.random() < 0.55:
        _window(rng, field, light, source)
    for _ in range(int(rng.integers(0, 4))):
        _hang_lamp(rng, field, light, tint)
    if rng.random() < 0.65:
        paint_people(rng, field, light, (0.12, 0.5), tint * rng.uniform(0.4, 1.4), 0.2 * tint, towards)
    return bloom(light, float(rng.uniform(0.0, 0.08)))


def _window(rng: np.random.Generator, field: Field, light: Image, source: tuple[float, float]) -> None:
    """Panes onto a bright outside with its own texture, 3 to 30 times the room's light."""
    half = rng.uniform((0.08, 0.1), (0.45, 0.35))
    outside = float(np.exp(rng.uniform(1.1, 3.4)))
    view = outside * (0.25 + 0.75 * noise(rng, field, 0.2))[..., None] * np.array([0.8, 0.92, 1.0], np.float32)
    sill = smoothstep(source[1], source[1] + half[1], field.y * np.ones(field.shape, np.float32))[..., None]
    view = view * (1.0 - 0.7 * sill * np.array([1.0, 0.6, 1.2], np.float32))
    box = np.maximum(np.abs(field.x - source[0]) - half[0], np.abs(field.y - source[1]) - half[1])
    bars = np.minimum(np.abs(field.x - source[0]), np.abs(field.y - source[1])) - 0.008
    pane = coverage(np.maximum(box, -bars), 2 * field.pixel)
    over(light, view.astype(np.float32), pane)


def _hang_lamp(rng: np.random.Generator, field: Field, light: Image, tint: Image) -> None:
    at = (float(rng.uniform(-0.85, 0.85)), float(rng.uniform(0.05, 0.6)))
    core, halo = lamp(field, at, float(rng.uniform(0.008, 0.06)), float(rng.uniform(0.05, 0.25)))
    light *= 1.0 + 1.5 * halo[..., None] * tint
    light += 0.4 * halo[..., None] * tint
    over(light, tint * float(np.exp(rng.uniform(1.8, 4.6))), core)


def table(rng: np.random.Generator, field: Field) -> Image:
    """Glossy and rough things close up, sharp highlights, a blurred background."""
    towards = _from_source(rng)
    tint = (DAY, TUNGSTEN ** np.float32(0.6), np.ones(3, np.float32))[int(rng.integers(3))]
    light = (rng.uniform(0.02, 0.5) * gain_texture(rng, field, 0.8, 1.0, 0.4) * tint).astype(np.float32)
    spots = leaves(rng, field, _palette(rng), 40, (0.04, 0.2), towards, gloss=4.0, rows=(0.0, 0.6))
    over(light, spots.light * tint, spots.mask)
    light = defocus(light, float(rng.uniform(0.01, 0.05)))
    things = leaves(
        rng,
        field,
        _palette(rng),
        int(rng.integers(15, 200)),
        (0.03, 0.3),
        towards,
        rows=(0.35, 1.1),
        round_share=0.8,
        gloss=float(np.exp(rng.uniform(0.0, 2.5))),
    )
    over(light, things.light * tint * gain_texture(rng, field, 0.05, float(rng.uniform(0.1, 0.7))), things.mask)
    return bloom(light, float(rng.uniform(0.0, 0.05)))


def portrait(rng: np.random.Generator, field: Field) -> Image:
    """One or two faces, large, before a soft background; the key light from any side, also from behind."""
    tint = (DAY, TUNGSTEN ** np.float32(0.5), np.ones(3, np.float32))[int(rng.integers(3))]
    backdrop = room(rng, field) if rng.random() < 0.6 else table(rng, field)
    light = defocus(backdrop, float(rng.uniform(0.015, 0.06))) * float(np.exp(rng.uniform(-1.5, 1.0)))
    towards = _from_source(rng)
    key = tint * float(rng.uniform(0.4, 2.2))
    fill = (0.05 + 0.35 * float(rng.random())) * key
    if rng.random() < 0.3:
        paint_people(rng, field, light, (0.4, 0.6), key, fill, towards, most=2)
    else:
        size = float(rng.uniform(0.55, 1.0))
        paint_person(rng, field, light, (float(rng.uniform(-0.4, 0.4)), 0.45), size, key, fill, towards)
    return bloom(light, float(rng.uniform(0.0, 0.06)))


def stage(rng: np.random.Generator, field: Field) -> Image:
    """Coloured beams through smoke onto performers, lamps that face the camera, darkness around."""
    smoke = (0.3 + noise(rng, field, 0.4))[..., None]
    light = field.blank((0.004, 0.004, 0.006)) * gain_texture(rng, field, 0.3, 1.0)
    beam_colours = _vivid(rng, 5)
    for index in range(int(rng.integers(3, 9))):
        top, foot = rng.uniform(-0.9, 0.9, 2)
        spread = float(rng.uniform(0.03, 0.12))
        along = np.clip(field.y, 0.0, 1.0)
        aside = (field.x - top - (foot - top) * along) / (0.02 + spread * along)
        beam = np.exp(-(aside**2)) / (1.0 + 2.0 * along) * float(rng.uniform(0.02, 0.4))
        paint = beam_colours[index % len(beam_colours)]
        light += beam[..., None] * smoke * paint
        core, halo = lamp(field, (float(top), float(rng.uniform(0.0, 0.12))), 0.015, 0.04)
        light += (core * float(np.exp(rng.uniform(2.0, 5.0))) + 0.5 * halo**2)[..., None] * (0.4 + 0.6 * paint)
    crowd = leaves(rng, field, _palette(rng) * 0.05, 50, (0.03, 0.07), (0.0, -0.8, 0.6), rows=(0.85, 1.05))
    key = beam_colours[0] * 0.5 + 0.5
    paint_people(rng, field, light, (0.10, 0.35), key * rng.uniform(0.3, 1.5), 0.05 * key, _from_source(rng))
    over(light, crowd.light, crowd.mask)
    return bloom(light, float(rng.uniform(0.02, 0.15)))


def fire(rng: np.random.Generator, field: Field) -> Image:
    """Flames of 5 to 60 times white over embers; faces and things in their light."""
    base = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.6, 0.95)))
    glow_colour = np.array([1.0, 0.42, 0.10], np.float32)
    distance = np.hypot(field.x - base[0], field.y - base[1])
    lit = (0.9 / (1.0 + (distance / float(rng.uniform(0.2, 0.5))) ** 2))[..., None] * glow_colour
    ambient = float(rng.uniform(0.002, 0.05)) * np.array([0.5, 0.7, 1.0], np.float32)
    things = leaves(rng, field, _palette(rng), 150, (0.02, 0.3), (0.0, -0.3, 0.9), gloss=0.3)
    light = (0.1 + things.light) * (lit + ambient) * gain_texture(rng, field, 0.1, 0.6)
    if rng.random() < 0.6:
        paint_people(rng, field, light, (0.15, 0.45), 0.7 * glow_colour, ambient, _from_source(rng), most=2)
    tongues = noise(rng, field, 0.18, 6, 0.6)
    height, width = float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.06, 0.3))
    rise = np.clip((base[1] - field.y) / height, -0.2, 1.5)
    shape = 1.0 - rise - np.abs((field.x - base[0]) / width) * (0.7 + rise)
    heat = smoothstep(0.25, 1.2, shape + 1.1 * (tongues - 0.3)) * smoothstep(-0.2, 0.05, rise)
    power = float(np.exp(rng.uniform(1.6, 4.1)))
    flame = heat[..., None] ** np.array([1.2, 1.9, 3.4], np.float32) * power * np.array([1.0, 0.62, 0.28], np.float32)
    light = light + flame
    sparks = (rng.random(field.shape) > 0.9995) * np.exp(-3.0 * distance) * 60.0
    return bloom((light + sparks[..., None] * glow_colour).astype(np.float32), float(rng.uniform(0.02, 0.12)))


def _vivid(rng: np.random.Generator, count: int) -> Image:
    hue = np.add(rng.uniform(0.0, 2 * np.pi, (count, 1)), (0.0, 2.094, 4.189))
    return (np.clip(0.5 + 0.75 * np.cos(hue), 0.01, 1.0) ** 2).astype(np.float32)


def _from_source(rng: np.random.Generator) -> tuple[float, float, float]:
    vector = np.array(
        [rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 1.0), rng.uniform(-0.7, 0.3), rng.uniform(-0.1, 0.9)]
    )
    right, down, near = vector / np.linalg.norm(vector)
    return float(right), float(down), float(near)
