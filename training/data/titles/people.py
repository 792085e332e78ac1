"""People: a head with skin, hair and features, shoulders in cloth, shaded by the scene's own light."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.titles.engine import Colour, Field, Image, coverage, over, smoothstep


def skin_albedo(depth: float) -> Image:
    """Linear BT.709 reflectance of human skin, from dark (0.12) to fair (1.0); redder the darker."""
    return np.array([0.62 * depth, 0.36 * depth**1.15, 0.245 * depth**1.3], np.float32)


def paint_person(
    rng: np.random.Generator,
    field: Field,
    light: Image,
    centre: tuple[float, float],
    size: float,
    lit: Colour,
    shade: Colour,
    towards_light: tuple[float, float, float],
) -> None:
    """A head `size` heights tall at `centre`, with shoulders, drawn over `light` in place.

    `lit` is the key light's colour on a white diffuser, `shade` that of the fill light.
    """
    key, fill = np.asarray(lit, np.float32), np.asarray(shade, np.float32)
    skin = skin_albedo(float(rng.choice([rng.uniform(0.12, 0.5), rng.uniform(0.5, 1.1)], p=[0.35, 0.65])))
    cloth = rng.uniform(0.02, 0.7) * rng.uniform(0.4, 1.0, 3).astype(np.float32)
    hair = np.array([1.0, 0.6, 0.35], np.float32) * float(np.exp(rng.uniform(-4.5, -1.3)))
    x, y, half = centre[0], centre[1], 0.5 * size

    def solid(cx: float, cy: float, rx: float, ry: float, albedo: Image, gloss: float, texture: float) -> None:
        seen, u, v = _around(field, (cx, cy), (rx, ry), 1.1)
        squared = u * u + v * v
        depth = np.sqrt(np.clip(1.0 - squared, 0.0, 1.0))
        facing = np.clip(u * towards_light[0] + v * towards_light[1] + depth * towards_light[2], 0.0, 1.0)
        grainy = 1.0 + texture * rng.standard_normal(squared.shape).astype(np.float32)
        body = (facing[..., None] * key + (0.6 + 0.4 * depth[..., None]) * fill) * albedo * grainy[..., None]
        body += (gloss * facing**30)[..., None] * key
        over(light[seen], body, coverage((np.sqrt(squared) - 1.0) * min(rx, ry), 1.5 * field.pixel))

    solid(x, y + 2.45 * half, 1.75 * half, 1.5 * half, cloth, 0.0, 0.10)
    solid(x, y + 1.0 * half, 0.36 * half, 0.55 * half, 0.8 * skin, 0.0, 0.0)
    solid(x, y - 0.14 * half, 0.80 * half, 1.0 * half, hair, 0.06, 0.25)
    solid(x, y + 0.06 * half, 0.68 * half, 0.90 * half, skin, float(rng.uniform(0.0, 0.25)), 0.02)
    _paint_features(rng, field, light, (x, y), half, skin, key * 0.5 + fill)


def _around(
    field: Field, centre: tuple[float, float], radii: tuple[float, float], reach: float
) -> tuple[tuple[slice, slice], Image, Image]:
    """The pixels within `reach` radii of the centre, and their offsets from it in radii."""
    columns = np.flatnonzero(np.abs(field.x[0] - centre[0]) <= reach * radii[0] + 2 * field.pixel)
    rows = np.flatnonzero(np.abs(field.y[:, 0] - centre[1]) <= reach * radii[1] + 2 * field.pixel)
    across = slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 0)
    down = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
    u, v = (field.x[:, across] - centre[0]) / radii[0], (field.y[down] - centre[1]) / radii[1]
    return (down, across), u, v


def _paint_features(
    rng: np.random.Generator,
    field: Field,
    light: Image,
    at: tuple[float, float],
    half: float,
    skin: Image,
    illumination: Image,
) -> None:
    x, y = at

    def spot(cx: float, cy: float, rx: float, ry: float, albedo: Colour, soft: float) -> None:
        seen, u, v = _around(field, (cx, cy), (rx, ry), 1.0 + soft)
        distance = np.hypot(u, v)
        over(light[seen], np.asarray(albedo, np.float32) * illumination, smoothstep(1.0 + soft, 1.0 - soft, distance))

    for side in (-1.0, 1.0):
        eye = x + side * 0.28 * half
        spot(eye, y - 0.02 * half, 0.20 * half, 0.12 * half, 0.55 * skin, 0.6)
        spot(eye, y, 0.13 * half, 0.065 * half, (0.55, 0.53, 0.50), 0.3)
        spot(eye, y, 0.06 * half, 0.06 * half, (0.02, 0.015, 0.01), 0.3)
        spot(eye, y - 0.2 * half, 0.19 * half, 0.04 * half, 0.25 * skin, 0.5)
    spot(x, y + 0.28 * half, 0.12 * half, 0.05 * half, 0.6 * skin, 0.8)
    lips = skin * np.array([0.95, 0.45, 0.5], np.float32)
    spot(x, y + 0.52 * half, 0.24 * half, 0.065 * half, lips, 0.4)
    if rng.random() < 0.3:
        spot(x, y + 0.52 * half, 0.16 * half, 0.02 * half, (0.6, 0.58, 0.52), 0.3)


def paint_people(
    rng: np.random.Generator,
    field: Field,
    light: Image,
    sizes: tuple[float, float],
    lit: Colour,
    shade: Colour,
    towards_light: tuple[float, float, float],
    most: int = 3,
) -> None:
    """One to `most` people standing beside each other, heads between the two `sizes`."""
    count = int(rng.integers(1, most + 1))
    places = np.linspace(-0.6, 0.6, count + 2)[1:-1] + rng.uniform(-0.15, 0.15, count)
    for place in places:
        size = float(rng.uniform(*sizes))
        centre = (float(place), float(rng.uniform(0.95 - 1.3 * size, 0.95 - 0.9 * size)))
        paint_person(rng, field, light, centre, size, lit, shade, towards_light)


def defocus(light: Image, radius: float) -> Image:
    """A lens's disc of confusion, `radius` heights; on linear light, so small lamps become bright discs."""
    reach = max(1, round(radius * light.shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)).astype(np.float32)
    return np.asarray(cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.float32)
