"""Building blocks of procedural pictures: occluding leaves with shape and gloss, rough textures, lamps, haze, bloom.

Light is linear BT.709 RGB, 1.0 = a white diffuser in the scene's key light. Lengths are in picture heights, x counts
from the centre and y from the top (see `training.data.scenes.canvas`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from training.data.scenes.canvas import coverage, fractal_noise, smoothstep

Image = FloatArray
Colour = NDArray[np.floating[Any]] | tuple[float, float, float]

__all__ = ["Field", "Leaves", "bloom", "coverage", "gain_texture", "lamp", "leaves", "noise", "over", "smoothstep"]


@dataclass(frozen=True)
class Field:
    """The pixel grid of one picture: x (1, W) from the centre and y (H, 1) from the top, both in heights."""

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def x(self) -> Image:
        columns = np.arange(self.width, dtype=np.float32) + np.float32(0.5)
        return ((columns - self.width / 2) / self.height).astype(np.float32)[None, :]

    @property
    def y(self) -> Image:
        return ((np.arange(self.height, dtype=np.float32) + 0.5) / self.height).astype(np.float32)[:, None]

    @property
    def half_width(self) -> float:
        return 0.5 * self.width / self.height

    @property
    def pixel(self) -> float:
        return 1.0 / self.height

    def blank(self, colour: Colour = (0.0, 0.0, 0.0)) -> Image:
        return np.broadcast_to(np.asarray(colour, np.float32), (*self.shape, 3)).copy()


def noise(rng: np.random.Generator, field: Field, size: float, octaves: int = 6, roughness: float = 0.6) -> Image:
    """Cloud-like noise in [0, 1] whose largest features are about `size` heights; roughness near 0.7 is like 1/f."""
    cells = (1.0 / size, 2.0 * field.half_width / size)
    return fractal_noise(rng, field.shape, cells, octaves, roughness).astype(np.float32)


def gain_texture(rng: np.random.Generator, field: Field, size: float, stops: float, roughness: float = 0.65) -> Image:
    """(H, W, 1) multiplicative texture around 1 that spans about +-`stops`."""
    return np.exp2(2.0 * stops * (noise(rng, field, size, 6, roughness) - 0.5))[..., None].astype(np.float32)


def over(light: Image, paint: Image | Colour, mask: Image) -> None:
    """Lay `paint` over `light` in place where `mask` (H, W) is 1."""
    light += mask[..., None] * (np.asarray(paint, np.float32) - light)


@dataclass(frozen=True)
class Leaves:
    """What `leaves` drew: which shape each pixel shows (0 = none), its light, and how much is covered."""

    light: Image
    mask: Image


def leaves(
    rng: np.random.Generator,
    field: Field,
    palette: Image,
    count: int,
    sizes: tuple[float, float],
    towards_light: tuple[float, float, float],
    *,
    rows: tuple[float, float] = (0.0, 1.0),
    upright: bool = False,
    round_share: float = 0.5,
    gloss: float = 0.0,
    ambient: float = 0.3,
) -> Leaves:
    """`count` random ellipsoids and boxes, the later over the earlier, sizes spread as 1/s^2.

    Occlusion by a power law of sizes gives natural statistics (A. Lee, D. Mumford, J. Huang, Occlusion Models for
    Natural Images, IJCV 2001). `palette` is (K, 3) albedo; `towards_light` is a unit vector (right, down,
    to the viewer).
    """
    small, large = sizes
    inverse = rng.uniform(1.0 / large, 1.0 / small, count)
    size = np.sort(1.0 / inverse)[::-1] if rng.random() < 0.7 else 1.0 / inverse
    stretch = np.exp(rng.uniform(-0.6, 0.6, count))
    shapes = _Shapes(
        half=np.stack([size * stretch, size / stretch], axis=1),
        centre=rng.uniform((-field.half_width, rows[0]), (field.half_width, rows[1]), (count, 2)),
        angle=rng.uniform(-0.06, 0.06, count) if upright else rng.uniform(0.0, np.pi, count),
        is_round=rng.random(count) < round_share,
    )
    labels = _paint_labels(field, shapes)
    light = _shade(rng, field, labels, shapes, palette, towards_light, gloss, ambient)
    return Leaves(light, (labels > 0).astype(np.float32))


@dataclass(frozen=True)
class _Shapes:
    """Centres, half axes (N, 2), angles and kinds (N,) of leaves."""

    half: Image
    centre: Image
    angle: Image
    is_round: NDArray[np.bool_]


def _paint_labels(field: Field, shapes: _Shapes) -> NDArray[np.int32]:
    """(H, W): which leaf each pixel shows, counted from 1; 0 where none."""
    canvas = np.zeros(field.shape, np.int32)
    centres = shapes.centre * field.height + (field.width / 2, 0.0)
    halves = shapes.half * field.height
    for index, angle in enumerate(np.degrees(shapes.angle)):
        centre, half = centres[index], halves[index]
        if shapes.is_round[index]:
            polygon = cv2.ellipse2Poly(_whole(centre), _whole(half), round(float(angle)), 0, 360, 15)
        else:
            polygon = np.rint(cv2.boxPoints((tuple(centre), tuple(2.0 * half), float(angle)))).astype(np.int32)
        cv2.fillConvexPoly(canvas, np.asarray(polygon, np.int32), (index + 1,))
    return canvas


def _whole(point: Any) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _shade(
    rng: np.random.Generator,
    field: Field,
    at: NDArray[np.int32],
    shapes: _Shapes,
    palette: Image,
    towards_light: tuple[float, float, float],
    gloss: float,
    ambient: float,
) -> Image:
    """Lambert's law on ellipsoids, a random slope on boxes, Blinn's highlight where a leaf is glossy."""
    count = len(shapes.centre)

    def of(values: NDArray[Any]) -> Image:
        return np.concatenate([values[:1] * 0, values]).astype(np.float32)[at]

    dx, dy = field.x - of(shapes.centre[:, 0]), field.y - of(shapes.centre[:, 1])
    cos, sin = of(np.cos(shapes.angle)), of(np.sin(shapes.angle))
    u = (dx * cos + dy * sin) / np.maximum(of(shapes.half[:, 0]), 1e-3)
    v = (dy * cos - dx * sin) / np.maximum(of(shapes.half[:, 1]), 1e-3)
    rounded = of(shapes.is_round.astype(np.float32))
    tilt = rng.uniform(-0.7, 0.7, (count, 2))
    normal_u = np.where(rounded > 0, u, of(tilt[:, 0]) + 0.3 * u)
    normal_v = np.where(rounded > 0, v, of(tilt[:, 1]) + 0.3 * v)
    squared = np.minimum(normal_u**2 + normal_v**2, 0.98)
    normal = (normal_u * cos - normal_v * sin, normal_u * sin + normal_v * cos, np.sqrt(1.0 - squared))
    lambert = sum(n * part for n, part in zip(normal, towards_light, strict=True))
    lit = (ambient + (1.0 - ambient) * np.maximum(lambert, 0.0))[..., None]
    albedo = palette[rng.integers(0, len(palette), count)] * np.exp(rng.normal(0.0, 0.35, (count, 1)))
    light = np.concatenate([np.zeros((1, 3)), np.clip(albedo, 0.0, 0.9)]).astype(np.float32)[at] * lit
    if gloss > 0.0:
        bisector = np.add(towards_light, (0.0, 0.0, 1.0))
        bisector /= np.linalg.norm(bisector)
        facing = np.maximum(sum(n * part for n, part in zip(normal, bisector, strict=True)), 0.0)
        polish = of(rng.choice([0.0, 0.05, 1.0, 4.0], count) * gloss)
        sharpness = of(np.exp(rng.uniform(2.5, 5.5, count)))
        light += (polish * facing**sharpness)[..., None]
    return light.astype(np.float32)


def lamp(field: Field, centre: tuple[float, float], radius: float, glow: float) -> tuple[Image, Image]:
    """(H, W) mask of a small round source and the soft halo around it, about 1 at its rim, wide as `glow`."""
    distance = np.hypot(field.x - centre[0], field.y - centre[1])
    return coverage(distance - radius, field.pixel), (1.0 / (1.0 + (distance / glow) ** 2) ** 1.5).astype(np.float32)


def bloom(light: Image, share: float) -> Image:
    """A lens's scatter: `share` of the light spread over about a tenth of the picture and wider."""
    if share <= 0.0:
        return light
    small = cv2.resize(light, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    wide = 0.6 * cv2.GaussianBlur(small, (0, 0), 1.2) + 0.4 * cv2.GaussianBlur(small, (0, 0), 5.0)
    spread = cv2.resize(wide, light.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return ((1.0 - share) * light + share * spread).astype(np.float32)
