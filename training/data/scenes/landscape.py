"""A sunlit lake between hills: a sun near 1000 nits, clouds with bright rims, glints on moving water, a slow pan."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.scenes.base import PEAK_NITS
from training.data.scenes.canvas import (
    Grid,
    Image,
    apply_grain,
    colour,
    coverage,
    fractal_noise,
    grain,
    smoothstep,
)

TRAVEL = 0.16  # heights the pan may cover to each side
PAN_PER_S = 0.022
SHORE_Y = 0.655
HILL_PARALLAX = (0.35, 0.55, 0.8)


@dataclass(frozen=True)
class _Layer:
    """A premultiplied picture with its coverage, limited to the rows it touches."""

    rgba: Image
    parallax: float
    rows: slice


@dataclass(frozen=True)
class _View:
    """Still layers of one picture size, far to near, and the textures that move."""

    grid: Grid
    sky: Image
    layers: tuple[_Layer, ...]
    meadow: _Layer
    water_rows: slice
    ripples: Image
    glint_width: Image
    grain: Image


class SunlitLandscape:
    """Bright exterior: sky 80 to 400 nits, sun and glints near 1000, grass and hills in the mid-tones."""

    name = "landscape"
    caption = "Sun over a lake in the hills."

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 3])
        self._seed = seed
        self._sun = (float(rng.uniform(-0.55, 0.55)), float(rng.uniform(0.14, 0.24)))
        self._sun_nits = float(rng.uniform(950.0, 1000.0))
        self._warmth = float(rng.uniform(0.0, 1.0))
        self._cover = float(rng.uniform(0.44, 0.58))
        self._pan = float(rng.choice([-1.0, 1.0])) * PAN_PER_S
        self._grass = colour(*rng.uniform((0.10, 0.17, 0.03), (0.22, 0.26, 0.06)), nits=230.0)
        self._views: dict[tuple[int, int], _View] = {}

    def render(self, time_s: float, width: int, height: int) -> NDArray[np.float32]:
        view = self._views.get((width, height))
        if view is None:
            view = self._views[width, height] = self._build(width, height)
        right = float(np.clip(self._pan * (time_s - 1.0), -TRAVEL, TRAVEL))
        picture = view.grid.crop(view.sky, 0.25 * right)
        for layer in view.layers:
            drift = 0.012 * time_s if layer is view.layers[0] else 0.0
            _lay(picture, view.grid, layer, right, drift)
        self._pour_water(picture, view, time_s, right)
        _lay(picture, view.grid, view.meadow, right, 0.0)
        return np.clip(apply_grain(picture, view.grain, self._seed, time_s), 0.0, PEAK_NITS).astype(np.float32)

    def _build(self, width: int, height: int) -> _View:
        rng = np.random.default_rng([self._seed, 4])
        grid = Grid(width, height, TRAVEL)
        x, y = grid.axes()
        sky = self._sky(x, y)
        layers = [self._clouds(rng, grid, x, y)]
        layers += [self._hill(rng, grid, x, y, index) for index in range(len(HILL_PARALLAX))]
        first_row = int(SHORE_Y * height)
        rows = np.arange(first_row, height, dtype=np.float32)[:, None] / height
        columns = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - width / 2) / height
        near = (rows - SHORE_Y) / (1.0 - SHORE_Y)
        spread = 0.05 + 0.34 * near
        glint_width = np.exp(-(((columns - self._sun[0]) / spread) ** 2)).astype(np.float32)
        ripples = fractal_noise(rng, (2 * height, 2 * width), (70, 45), 3, 0.6)
        return _View(
            grid=grid,
            sky=sky,
            layers=tuple(layers),
            meadow=self._meadow(rng, grid, x, y),
            water_rows=slice(first_row, height),
            ripples=ripples,
            glint_width=glint_width,
            grain=grain(rng, width, height, 0.012),
        )

    def _sky(self, x: Image, y: Image) -> Image:
        up = np.clip(1.0 - y / SHORE_Y, 0.0, 1.0)[..., None] * np.ones_like(x)[..., None]
        zenith, horizon = colour(0.13, 0.30, 0.68, 150.0), colour(0.62, 0.78, 0.95, 185.0)
        sky = horizon + (zenith - horizon) * up**0.7
        distance = np.hypot(x - self._sun[0], y - self._sun[1]).astype(np.float32)[..., None]
        warm = colour(1.0, 0.90 - 0.12 * self._warmth, 0.72 - 0.30 * self._warmth, 1.0)
        sky = sky + warm * (420.0 * np.exp(-distance / 0.075) + 120.0 * np.exp(-distance / 0.34))
        disk = coverage(distance[..., 0] - 0.034, 0.012)[..., None]
        sky = sky + disk * (colour(1.0, 0.965, 0.88, self._sun_nits) - sky)
        return np.minimum(sky, self._sun_nits).astype(np.float32)

    def _clouds(self, rng: np.random.Generator, grid: Grid, x: Image, y: Image) -> _Layer:
        """Cumulus from noise that flattens towards the horizon, lit from the sun's side."""
        shape = (y.size, x.size)
        noise = 0.75 * fractal_noise(rng, shape, (5, 6), 7, 0.55) + 0.25 * fractal_noise(rng, shape, (14, 9), 4)
        height_fade = smoothstep(SHORE_Y + 0.02, 0.30, y) * smoothstep(-0.4, 0.02, y)
        density = smoothstep(self._cover, self._cover + 0.20, noise) * height_fade
        step = max(2, round(0.025 * grid.height))
        towards_sun = np.tanh((self._sun[0] - x) / 0.25)
        left, right = np.roll(noise, step, axis=1), np.roll(noise, -step, axis=1)
        below = np.roll(noise, -step, axis=0)
        relief = towards_sun * (left - right) + 1.2 * (below - noise)
        lit = smoothstep(-0.10, 0.16, relief)
        distance = np.hypot(x - self._sun[0], y - self._sun[1])
        density = density * (1.0 - 0.75 * np.exp(-((distance / 0.10) ** 2))).astype(np.float32)
        silver = 420.0 * np.exp(-distance / 0.20) * smoothstep(0.9, 0.25, density)
        nits = (150.0 + 190.0 * lit + silver) * (1.0 - 0.25 * density * (1.0 - lit))
        shade, bright = colour(0.78, 0.86, 1.0, 1.0), colour(1.0, 0.975, 0.93, 1.0)
        tint = shade + lit[..., None] * (bright - shade)
        picture = np.minimum(nits[..., None] * tint, 900.0)
        return _layer(picture, 0.92 * density, 0.2, grid)

    def _hill(self, rng: np.random.Generator, grid: Grid, x: Image, y: Image, index: int) -> _Layer:
        """One range of hills: 0 is far, high and hazy; the nearest carries trees."""
        near = index / (len(HILL_PARALLAX) - 1)
        shape = (y.size, x.size)
        ridge = fractal_noise(rng, (2, x.size), (1, 5 + 2 * index), 6, 0.42)[0]
        top = SHORE_Y - (0.235 - 0.085 * index) * (0.35 + 0.65 * ridge) - 0.012
        if index == len(HILL_PARALLAX) - 1:
            spikes = fractal_noise(rng, (2, x.size), (1, 110), 3, 0.7)[0]
            top = top - 0.028 * np.maximum(spikes - 0.35, 0.0) - 0.004
        alpha = coverage(top[None, :] - y, 1.5 / grid.height)
        alpha *= coverage(y - (SHORE_Y + 0.004), 2.0 / grid.height)
        texture = fractal_noise(rng, shape, (26 + 50 * near, 20 + 60 * near), 5, 0.68)
        slope = fractal_noise(rng, shape, (7, 9), 4)
        slope = slope - np.roll(slope, -max(1, grid.height // 60), axis=1)
        sun_side = np.clip(0.62 + 9.0 * np.sign(self._sun[0] + 0.01) * slope, 0.12, 1.3)
        forest, rock = colour(0.055, 0.10, 0.032, 235.0), colour(0.22, 0.20, 0.13, 235.0)
        ground = forest + smoothstep(0.40, 0.75, slope * 4.0 + texture)[..., None] * (rock - forest) * (
            1.0 - 0.55 * near
        )
        picture = ground * (sun_side * (0.35 + 1.1 * texture))[..., None]
        haze = (0.62, 0.34, 0.06)[index] * (0.75 + 0.5 * (y - top[None, :]) / 0.2).clip(0.6, 1.2)
        air = colour(0.50, 0.64, 0.86, 165.0)
        return _layer(picture + haze[..., None] * (air - picture), alpha, HILL_PARALLAX[index], grid)

    def _meadow(self, rng: np.random.Generator, grid: Grid, x: Image, y: Image) -> _Layer:
        """The near bank: grass with blades, flowers, and dark stems against the water."""
        shape = (y.size, x.size)
        bank = 0.875 + 0.05 * fractal_noise(rng, (2, x.size), (1, 4), 3)[0]
        blades = 0.040 * fractal_noise(rng, (2, x.size), (1, 170), 3, 0.8)[0] ** 2
        alpha = coverage((bank - blades)[None, :] - y, 1.5 / grid.height)
        tufts = fractal_noise(rng, shape, (18, 34), 4, 0.6)
        strands = fractal_noise(rng, shape, (26, 210), 3, 0.7)
        depth = np.clip((y - bank[None, :]) / 0.12, 0.0, 1.0)
        light = (0.30 + 1.25 * tufts * strands + 0.25 * strands) * (1.1 - 0.45 * depth)
        picture = self._grass * light[..., None]
        flower = smoothstep(0.80, 0.84, fractal_noise(rng, shape, (60, 100), 2, 0.8)) * (depth > 0.05)
        tone = (fractal_noise(rng, shape, (5, 9), 2) > 0.5)[..., None]
        petals = np.where(tone, colour(0.85, 0.62, 0.05, 220.0), colour(0.86, 0.84, 0.88, 205.0))
        picture = picture + flower[..., None] * (petals - picture)
        return _layer(picture, alpha, 1.0, grid)

    def _pour_water(self, picture: Image, view: _View, time_s: float, right: float) -> None:
        """Reflect what stands above the shore through moving ripples and add the sun's glints."""
        height, width = picture.shape[:2]
        rows = view.water_rows
        count = rows.stop - rows.start
        waves = self._waves(view.ripples, count, width, height, time_s, right)
        near = np.linspace(0.0, 1.0, count, dtype=np.float32)[:, None]
        source_y = rows.start - 1 - near * count * 1.25 + (waves - 0.5) * (0.02 + 0.16 * near) * height
        source_x = np.arange(width, dtype=np.float32)[None, :] + (waves - 0.5) * (0.01 + 0.05 * near) * height
        source_y = np.clip(source_y, 0, rows.start - 1).astype(np.float32)
        mirror = cv2.remap(
            picture, source_x.astype(np.float32), source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        fresnel = (0.80 - 0.38 * near)[..., None]
        deep = colour(0.030, 0.085, 0.10, 150.0)
        water = np.minimum(mirror, 520.0) * fresnel + deep * (1.0 - fresnel) * (0.6 + 0.8 * waves[..., None])
        sparkle = smoothstep(0.66, 0.80, waves + 0.16 * view.glint_width - 0.05) * view.glint_width
        water += sparkle[..., None] * colour(1.0, 0.94, 0.82, self._sun_nits)
        picture[rows] = water

    def _waves(self, ripples: Image, count: int, width: int, height: int, time_s: float, right: float) -> Image:
        """Two ripple sheets sliding over each other, stretched towards the shore as perspective does; in [0, 1]."""
        near = np.linspace(0.02, 1.0, count, dtype=np.float32)[:, None]
        base_y = 1.55 * height * near**0.55
        centre = np.arange(width, dtype=np.float32)[None, :] - width / 2
        base_x = width + (centre + right * height) * (0.45 + 0.55 / (0.35 + near))
        total = np.zeros((count, width), dtype=np.float32)
        for slide_x, slide_y in ((0.060, 0.045), (-0.050, 0.075)):
            map_x = (base_x + slide_x * time_s * height).astype(np.float32)
            map_y = (base_y + (0.2 + slide_y * time_s) * height).astype(np.float32)
            map_y = np.broadcast_to(map_y, map_x.shape).copy()
            total += cv2.remap(ripples, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.clip(total * 0.5 + 0.10 * (total - 1.0), 0.0, 1.0)


def _layer(picture: Image, alpha: Image, parallax: float, grid: Grid) -> _Layer:
    rgba = np.dstack([picture * alpha[..., None], alpha]).astype(np.float32)
    border = grid.border_px
    used = np.flatnonzero(alpha[border : border + grid.height].any(axis=1))
    rows = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)
    return _Layer(rgba, parallax, rows)


def _lay(picture: Image, grid: Grid, layer: _Layer, right: float, drift: float) -> None:
    """Composite one layer, moved by its share of the pan, over `picture` in place."""
    border = grid.border_px
    if layer.rows.stop == layer.rows.start:
        return
    strip = Grid(grid.width, layer.rows.stop - layer.rows.start, 0.0)
    offset = border + np.clip(layer.parallax * right + drift, -grid.margin, grid.margin) * grid.height
    view = np.array([[1.0, 0.0, offset], [0.0, 1.0, border + layer.rows.start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rgba = cv2.warpAffine(layer.rgba, view, (strip.width, strip.height), flags=flags)
    target = picture[layer.rows]
    target *= 1.0 - rgba[..., 3:]
    target += rgba[..., :3]
