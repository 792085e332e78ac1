"""Outdoor settings by day: sky with sun and clouds, hills, water, forest, street, snow, fog."""

from __future__ import annotations

import numpy as np

from training.data.titles.engine import Field, Image, bloom, coverage, gain_texture, leaves, noise, over, smoothstep
from training.data.titles.people import paint_people

SUN = np.array([1.0, 0.92, 0.80], np.float32)


def _direction(rng: np.random.Generator) -> tuple[float, float, float]:
    """Towards the light: from above, a little to one side, sometimes from behind."""
    vector = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-0.9, -0.2), rng.uniform(0.1, 0.9)])
    right, down, near = vector / np.linalg.norm(vector)
    return float(right), float(down), float(near)


def _warmth(rng: np.random.Generator) -> Image:
    """The colour of daylight from noon to sunset."""
    low = float(rng.beta(0.8, 1.4))
    return SUN ** np.float32(0.4 + 5.0 * low)


def sky(rng: np.random.Generator, field: Field, horizon: float, tint: Image, *, sun: bool, overcast: float) -> Image:
    """Sky light down to `horizon`: blue above, pale below, clouds with bright rims, a sun of 30 to 400 if asked."""
    down = np.clip(field.y / max(horizon, 0.05), 0.0, 1.0)[..., None] * np.ones((1, field.width, 1), np.float32)
    zenith = np.array([0.16, 0.34, 0.85], np.float32) * float(rng.uniform(0.5, 1.3))
    pale = (0.35 + 0.65 * tint) * float(rng.uniform(0.8, 2.4))
    light = zenith + (pale - zenith) * down ** float(rng.uniform(1.0, 3.0))
    grey = np.full(3, float(light.mean()) * rng.uniform(0.8, 1.6), np.float32)
    light = light + 0.8 * overcast * (grey - light)
    at = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.05, max(horizon, 0.1))))
    distance = np.hypot(field.x - at[0], field.y - at[1])
    glow = np.zeros(field.shape, np.float32)
    if sun:
        power = float(np.exp(rng.uniform(0.0, 2.2)))
        glow = (power * np.exp(-distance / float(rng.uniform(0.08, 0.35)))).astype(np.float32)
        light += glow[..., None] * tint
    clouds = noise(rng, field, float(rng.uniform(0.25, 0.7)), 6, 0.6)
    threshold = float(rng.uniform(0.4, 0.9))
    mask = smoothstep(threshold, threshold + float(rng.uniform(0.08, 0.3)), clouds)
    rim = 4.0 * mask * (1.0 - mask)
    body = (1.0 + 1.5 * float(rng.random()) - 0.5 * mask * noise(rng, field, 0.2))[..., None] * (0.3 + 0.7 * tint)
    over(light, (body + ((0.5 + glow) * rim)[..., None] * tint).astype(np.float32), 0.9 * mask)
    if sun:
        disc = coverage(distance - float(rng.uniform(0.015, 0.05)), 0.01)
        light += (disc * (1.0 - 0.85 * mask) * float(np.exp(rng.uniform(3.4, 6.0))))[..., None] * tint
    return light.astype(np.float32)


def _hills(rng: np.random.Generator, field: Field, light: Image, horizon: float, sun: Image) -> None:
    """Ridges from far and hazy to near and dark."""
    haze = light[max(0, int(horizon * field.height) - 6)].mean(axis=0)
    count = int(rng.integers(2, 5))
    for index in range(count):
        near = (index + 1) / count
        ridge = noise(rng, Field(field.width, 64), 0.5 / (1 + index), 6, 0.55)[0]
        top = horizon + 0.35 * (index + 0.5) / count * (1.0 - horizon) - 0.25 * ridge * (1.2 - 0.5 * near)
        albedo = np.array([0.10, 0.14, 0.05], np.float32) * np.exp(rng.normal(0.0, 0.5, 3))
        relief = gain_texture(rng, field, 0.25 / (1 + index), 1.6)
        body = albedo * relief * (0.25 + 1.1 * sun * noise(rng, field, 0.3)[..., None])
        over(
            light, (body * near + haze * 0.8 * (1.0 - near)).astype(np.float32), coverage(top[None] - field.y, 0.006)
        )


def landscape(rng: np.random.Generator, field: Field) -> Image:
    """Hills under a sky, often against the sun, a textured foreground and now and then someone in it."""
    tint, horizon = _warmth(rng), float(rng.uniform(0.3, 0.65))
    light = sky(rng, field, horizon, tint, sun=rng.random() < 0.6, overcast=float(rng.beta(0.6, 1.5)))
    _hills(rng, field, light, horizon, tint)
    if rng.random() < 0.5:
        trees = leaves(
            rng, field, _greens(rng), 120, (0.01, 0.10), _direction(rng), rows=(horizon, 1.1), round_share=0.9
        )
        over(light, trees.light * tint * gain_texture(rng, field, 0.1, 1.0), trees.mask)
    if rng.random() < 0.35:
        _stand(rng, field, light, tint)
    return bloom(light, float(rng.uniform(0.0, 0.08)))


def sea(rng: np.random.Generator, field: Field) -> Image:
    """Water to the horizon with a path of glints under a low sun."""
    tint, horizon = _warmth(rng), float(rng.uniform(0.35, 0.6))
    light = sky(rng, field, horizon, tint, sun=True, overcast=float(rng.beta(0.6, 2.5)))
    depth = np.clip((field.y - horizon) / (1.0 - horizon), 1e-3, 1.0)
    mirrored = np.clip(horizon - (field.y - horizon) * 0.8, 0.0, 1.0)
    rows = np.clip((mirrored[:, 0] * field.height).astype(int), 0, field.height - 1)
    water = light[rows] * 0.45 + np.array([0.01, 0.05, 0.07], np.float32)
    stretched = Field(field.width, field.height)
    waves = noise(rng, stretched, 0.05, 4, 0.7) * 0.6 + 0.4 * noise(rng, stretched, 0.02, 3, 0.8)
    sun_x = field.x.ravel()[int(light[: int(horizon * field.height)].sum(axis=2).max(axis=0).argmax())]
    path = np.exp(-(((field.x - sun_x) / (0.06 + 0.35 * depth)) ** 2))
    glints = smoothstep(0.62, 0.9, waves + 0.12 * path) * path * float(np.exp(rng.uniform(1.5, 4.0)))
    body = water * (0.5 + waves)[..., None] + glints[..., None] * tint
    over(light, body.astype(np.float32), coverage(horizon - field.y, 0.004) * np.ones(field.shape, np.float32))
    if rng.random() < 0.4:
        _stand(rng, field, light, tint)
    return bloom(light, float(rng.uniform(0.0, 0.1)))


def forest(rng: np.random.Generator, field: Field) -> Image:
    """Trunks and leaves in patches of sun and deep shade, the sky through gaps."""
    tint, towards = _warmth(rng), _direction(rng)
    light = field.blank(np.array([0.5, 0.8, 1.2]) * rng.uniform(0.8, 4.0))
    dapple = np.exp2(5.0 * (smoothstep(0.35, 0.7, noise(rng, field, 0.3, 6, 0.6)) - 0.7))[..., None]
    crowns = leaves(rng, field, _greens(rng), 900, (0.012, 0.09), towards, round_share=0.95, gloss=0.15)
    over(light, crowns.light * dapple * tint * gain_texture(rng, field, 0.05, 0.9), crowns.mask)
    for _ in range(int(rng.integers(2, 9))):
        place, width = rng.uniform(-field.half_width, field.half_width), rng.uniform(0.01, 0.07)
        trunk = coverage(np.abs(field.x - place - 0.1 * (field.y - 0.5) * rng.normal()) - width, field.pixel)
        bark = np.array([0.10, 0.07, 0.05], np.float32) * gain_texture(rng, field, 0.04, 1.3) * dapple * tint
        over(light, bark.astype(np.float32), trunk)
    return bloom(light, float(rng.uniform(0.0, 0.1)))


def street(rng: np.random.Generator, field: Field) -> Image:
    """Facades with windows, cars and people, one side in the sun."""
    tint, horizon = _warmth(rng), float(rng.uniform(0.1, 0.5))
    light = sky(rng, field, horizon + 0.2, tint, sun=rng.random() < 0.25, overcast=float(rng.random()))
    towards = _direction(rng)
    stone = rng.uniform(0.08, 0.75, (6, 1)) * rng.uniform((0.8, 0.65, 0.5), (1.0, 0.95, 1.0), (6, 3))
    walls = leaves(
        rng,
        field,
        stone.astype(np.float32),
        24,
        (0.15, 0.6),
        towards,
        rows=(horizon, 1.0),
        upright=True,
        round_share=0,
    )
    split = rng.uniform(-0.5, 0.5) + rng.uniform(-0.8, 0.8) * (field.y - 0.5)
    sunlit = smoothstep(-0.02, 0.02, (field.x - split) * rng.choice([-1.0, 1.0]))
    exposure = (float(rng.uniform(0.08, 0.3)) + sunlit)[..., None] * np.where(sunlit[..., None] > 0.5, tint, 1.0)
    over(light, walls.light * exposure * gain_texture(rng, field, 0.15, 0.4), walls.mask)
    details = leaves(
        rng,
        field,
        rng.uniform(0.02, 0.6, (8, 3)).astype(np.float32),
        160,
        (0.01, 0.08),
        towards,
        rows=(horizon + 0.1, 1.0),
        upright=True,
        round_share=0.2,
        gloss=float(rng.uniform(0.5, 3.0)),
    )
    over(light, details.light * exposure, details.mask)
    if rng.random() < 0.6:
        _stand(rng, field, light, tint)
    return bloom(light, float(rng.uniform(0.0, 0.06)))


def snow(rng: np.random.Generator, field: Field) -> Image:
    """A bright field of snow with blue shadows, dark trees, sometimes falling flakes."""
    tint, horizon = _warmth(rng) ** np.float32(0.5), float(rng.uniform(0.2, 0.5))
    light = sky(rng, field, horizon, tint, sun=rng.random() < 0.4, overcast=float(rng.random()))
    relief = np.exp2(2.0 * (noise(rng, field, 0.5, 6, 0.55) - 0.5))
    shadow = smoothstep(0.2, 0.75, noise(rng, Field(field.width, field.height), 0.6, 3, 0.5))[..., None]
    ground = 0.85 * relief[..., None] * (shadow * tint + (1 - shadow) * np.array([0.22, 0.32, 0.5], np.float32))
    sparkle = (rng.random(field.shape) > 0.997) * rng.exponential(6.0, field.shape) * shadow[..., 0]
    body = (ground + sparkle[..., None]).astype(np.float32)
    over(light, body, coverage(horizon - field.y, 0.01) * np.ones(field.shape, np.float32))
    firs = leaves(
        rng, field, 0.4 * _greens(rng), 90, (0.01, 0.08), _direction(rng), rows=(horizon - 0.03, horizon + 0.06)
    )
    over(light, firs.light * tint, firs.mask)
    if rng.random() < 0.4:
        _stand(rng, field, light, tint)
    return light


def fog(rng: np.random.Generator, field: Field) -> Image:
    """Shapes that fade into bright haze: little contrast, no black."""
    tint = _warmth(rng) ** np.float32(0.6)
    air = (0.6 + 0.8 * noise(rng, field, 1.0, 3, 0.4))[..., None] * (0.5 + 0.5 * tint)
    light = (air * float(rng.uniform(0.6, 1.5))).astype(np.float32)
    for depth in np.linspace(0.85, float(rng.uniform(0.1, 0.5)), 4):
        shapes = leaves(
            rng, field, _greens(rng), 25, (0.03, 0.25), _direction(rng), rows=(0.35, 1.1), round_share=0.6
        )
        over(light, (shapes.light * (1.0 - depth) + depth * air).astype(np.float32), shapes.mask)
    if rng.random() < 0.4:
        lights = (rng.random(field.shape) > 0.9998).astype(np.float32) * 400.0
        light = bloom(light + lights[..., None] * np.array([1.0, 0.8, 0.5], np.float32), 0.5)
    return light


def _stand(rng: np.random.Generator, field: Field, light: Image, tint: Image) -> None:
    sun_side = float(rng.uniform(0.15, 1.1))
    paint_people(rng, field, light, (0.12, 0.45), sun_side * tint, (0.15, 0.2, 0.28), _direction(rng))


def _greens(rng: np.random.Generator) -> Image:
    base = np.array([[0.06, 0.12, 0.02], [0.10, 0.16, 0.03], [0.20, 0.16, 0.05], [0.04, 0.07, 0.02]])
    if rng.random() < 0.25:
        base = base[:, [1, 0, 2]] * (2.2, 1.0, 0.8)
    return (base * np.exp(rng.normal(0.0, 0.25, (4, 3)))).astype(np.float32)
