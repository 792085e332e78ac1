"""A flat-shaded cartoon: outlined shapes in bold colours, a walking figure, a bright sun, a burned-in title."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from training.data.scenes.base import PEAK_NITS, phase
from training.data.scenes.brush import INK, INK_WIDTH, Brush, box, ellipse
from training.data.scenes.canvas import DIFFUSE_WHITE_NITS, Image, colour

TITLES = ("THE LONG WAY HOME", "A WALK IN MAY", "OVER THE HILL", "THE BALLOON", "NOON")
TITLE_FROM_S = 0.5
GROUND_Y = 0.80


def _hue(hue: float, saturation: float, value: float, nits: float = DIFFUSE_WHITE_NITS) -> Image:
    """A paint from hue, saturation and value of the R'G'B' signal (gamma 2.4), value 1 = `nits`."""
    return colour(*(part**2.4 for part in colorsys.hsv_to_rgb(hue % 1.0, saturation, value)), nits=nits)


class FlatAnimation:
    """Flat regions with ink outlines; only the sun and the window panes exceed 203 nits by much."""

    name = "animation"
    caption = "A cartoon walker and a balloon."

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 5])
        self._sky = float(rng.uniform(0.52, 0.60))
        self._ground = float(rng.uniform(0.24, 0.36))
        self._shirt = _hue(float(rng.random()), 0.85, 0.85)
        self._trousers = _hue(float(rng.uniform(0.55, 0.72)), 0.6, 0.45)
        self._hair = colour(*rng.uniform((0.02, 0.01, 0.005), (0.30, 0.12, 0.03)))
        depth = float(rng.uniform(0.25, 1.0))
        self._skin = colour(0.62 * depth, 0.36 * depth**1.15, 0.245 * depth**1.3)
        self._house = _hue(float(rng.uniform(0.96, 1.08)), 0.75, 0.78)
        self._balloon = _hue(float(rng.uniform(-0.04, 0.14)), 0.95, 0.98)
        self._balloon_x = float(rng.uniform(0.02, 0.12))
        self._sun = (float(rng.uniform(0.40, 0.68)), float(rng.uniform(0.18, 0.26)))
        self._sun_nits = float(rng.uniform(680.0, 820.0))
        self._title = str(rng.choice(TITLES))
        self._start_x = float(rng.uniform(-0.55, -0.25))
        self._clouds = [
            (float(a), float(b), float(c)) for a, b, c in rng.uniform((-0.9, 0.10, 0.7), (0.15, 0.30, 1.1), (3, 3))
        ]
        self._backdrops: dict[tuple[int, int], Image] = {}

    def render(self, time_s: float, width: int, height: int) -> NDArray[np.float32]:
        backdrop = self._backdrops.get((width, height))
        if backdrop is None:
            backdrop = self._backdrops[width, height] = self._paint_backdrop(width, height)
        brush = Brush(backdrop.copy())
        for x, y, size in self._clouds:
            self._paint_cloud(brush, x + 0.03 * time_s, y, size)
        self._paint_balloon(brush, time_s)
        self._paint_walker(brush, time_s)
        if time_s >= TITLE_FROM_S:
            brush.fill(box(-0.56, 0.865, 0.56, 0.96), colour(0.035, 0.035, 0.06))
            brush.text(self._title, (0.0, 0.935), colour(1.0, 1.0, 1.0), 0.042)
        return np.clip(brush.canvas, 0.0, PEAK_NITS).astype(np.float32)

    def _paint_backdrop(self, width: int, height: int) -> Image:
        canvas = np.empty((height, width, 3), dtype=np.float32)
        canvas[:] = _hue(self._sky, 0.62, 0.90)
        brush, half = Brush(canvas), 0.5 * width / height + 0.1
        for top, saturation, value in ((0.30, 0.48, 0.94), (0.45, 0.34, 0.97), (0.57, 0.20, 1.0)):
            brush.fill(box(-half, top, half, 0.9), _hue(self._sky, saturation, value))
        for radius, paint in ((0.175, _hue(0.13, 0.30, 1.0, 300.0)), (0.130, _hue(0.13, 0.42, 1.0, 440.0))):
            brush.fill(ellipse(self._sun, (radius, radius)), paint)
        brush.fill(ellipse(self._sun, (0.09, 0.09)), _hue(0.145, 0.30, 1.0, self._sun_nits), outline=True)
        far, mid = _hue(self._ground + 0.06, 0.45, 0.72), _hue(self._ground + 0.02, 0.62, 0.66)
        brush.fill(ellipse((-0.45, 0.92), (0.75, 0.36)), far, outline=True)
        brush.fill(ellipse((0.62, 0.96), (0.80, 0.34)), mid, outline=True)
        self._paint_house(brush, 0.52, 0.70)
        self._paint_tree(brush, -0.66, 0.78)
        self._paint_tree(brush, 0.84, 0.76)
        brush.fill(box(-half, GROUND_Y - 0.03, half, 1.1), _hue(self._ground, 0.72, 0.62), outline=True)
        brush.fill(box(-half, GROUND_Y + 0.03, half, 1.1), _hue(0.09, 0.42, 0.72), outline=True)
        for x in np.arange(-half, half, 0.26):
            brush.fill(box(x, 0.985, x + 0.13, 1.0), colour(0.9, 0.86, 0.74))
        return canvas

    def _paint_house(self, brush: Brush, x: float, y: float) -> None:
        brush.fill(box(x - 0.15, y - 0.16, x + 0.15, y + 0.06), self._house, outline=True)
        brush.fill(
            [(x + 0.06, y - 0.16), (x + 0.15, y - 0.16), (x + 0.15, y + 0.06), (x + 0.06, y + 0.06)],
            0.62 * self._house,
        )
        brush.fill([(x - 0.19, y - 0.15), (x, y - 0.29), (x + 0.19, y - 0.15)], _hue(0.62, 0.40, 0.42), outline=True)
        for left in (-0.11, -0.02):
            brush.fill(box(x + left, y - 0.11, x + left + 0.06, y - 0.04), _hue(0.14, 0.45, 1.0, 360.0), outline=True)
        brush.fill(box(x + 0.075, y - 0.07, x + 0.135, y + 0.06), _hue(0.07, 0.7, 0.36), outline=True)

    def _paint_tree(self, brush: Brush, x: float, y: float) -> None:
        brush.fill(box(x - 0.018, y - 0.16, x + 0.018, y), _hue(0.07, 0.55, 0.42), outline=True)
        brush.fill(ellipse((x, y - 0.25), (0.10, 0.13)), _hue(self._ground + 0.05, 0.75, 0.52), outline=True)
        brush.fill(ellipse((x + 0.02, y - 0.28), (0.06, 0.075)), _hue(self._ground + 0.03, 0.70, 0.66))

    def _paint_cloud(self, brush: Brush, x: float, y: float, size: float) -> None:
        puffs = ((-0.10, 0.0, 0.06), (-0.03, -0.03, 0.08), (0.06, -0.012, 0.068), (0.12, 0.012, 0.045))
        for grow, paint in ((INK_WIDTH, INK), (0.0, colour(1.0, 1.0, 1.0, 235.0))):
            for dx, dy, radius in puffs:
                reach = radius * size + grow
                brush.fill(ellipse((x + dx * size, y + dy * size), (reach, 0.72 * reach)), paint)
        brush.fill(ellipse((x + 0.01, y + 0.028 * size), (0.11 * size, 0.022 * size)), colour(0.66, 0.76, 0.90))

    def _paint_balloon(self, brush: Brush, time_s: float) -> None:
        x, y = self._balloon_x + 0.03 * time_s, 0.24 + 0.02 * phase(time_s, 2.6)
        brush.line([(x - 0.06, y + 0.08), (x - 0.02, y + 0.17)], INK, 0.004)
        brush.line([(x + 0.06, y + 0.08), (x + 0.02, y + 0.17)], INK, 0.004)
        brush.fill(ellipse((x, y), (0.098, 0.115)), self._balloon, outline=True)
        brush.fill(ellipse((x, y), (0.042, 0.115)), colour(0.94, 0.90, 0.80))
        brush.fill(ellipse((x - 0.055, y - 0.05), (0.014, 0.026)), colour(1.0, 1.0, 1.0, 420.0))
        brush.fill(box(x - 0.026, y + 0.165, x + 0.026, y + 0.205), _hue(0.08, 0.6, 0.55), outline=True)

    def _paint_walker(self, brush: Brush, time_s: float) -> None:
        """A figure three tenths of the picture high that walks to the right with swinging limbs."""
        x = self._start_x + 0.11 * time_s
        swing = phase(time_s, 1.1)
        hip = (x, GROUND_Y - 0.10 + 0.008 * abs(swing))
        for side in (-1.0, 1.0):
            knee = (x + 0.03 * side * swing, hip[1] + 0.065)
            foot = (x + 0.075 * side * swing, GROUND_Y + 0.035)
            brush.limb([hip, knee, foot], self._trousers, 0.034)
            brush.fill(
                ellipse((foot[0] + 0.014, foot[1] + 0.004), (0.032, 0.015)), _hue(0.03, 0.8, 0.30), outline=True
            )
        shoulder = (x, hip[1] - 0.155)
        brush.limb([shoulder, (x - 0.07 * swing, shoulder[1] + 0.12)], 0.7 * self._shirt, 0.032)
        torso = [
            (x - 0.055, hip[1] + 0.015),
            (x - 0.048, shoulder[1]),
            (x + 0.048, shoulder[1]),
            (x + 0.055, hip[1] + 0.015),
        ]
        brush.fill(torso, self._shirt, outline=True)
        hand = (x + 0.075 * swing, shoulder[1] + 0.125)
        brush.limb([(x, shoulder[1] + 0.02), hand], self._shirt, 0.032)
        brush.fill(ellipse(hand, (0.020, 0.020)), self._skin, outline=True)
        self._paint_head(brush, x + 0.01, shoulder[1] - 0.085, time_s)

    def _paint_head(self, brush: Brush, x: float, y: float, time_s: float) -> None:
        brush.fill(ellipse((x - 0.012, y - 0.012), (0.098, 0.100)), self._hair, outline=True)
        brush.fill(ellipse((x + 0.008, y + 0.012), (0.082, 0.083)), self._skin, outline=True)
        brush.fill(ellipse((x + 0.008, y + 0.012), (0.080, 0.081), 100, 190), 0.72 * self._skin)
        brush.fill(ellipse((x - 0.004, y - 0.030), (0.090, 0.058), 180, 360), self._hair)
        blink = 0.15 if time_s % 1.7 > 1.6 else 1.0
        for dx in (-0.018, 0.044):
            brush.fill(ellipse((x + dx, y + 0.002), (0.016, 0.020 * blink)), colour(0.92, 0.92, 0.92), outline=True)
            brush.fill(ellipse((x + dx + 0.005, y + 0.004), (0.007, 0.010 * blink)), INK)
        brush.fill(ellipse((x + 0.060, y + 0.030), (0.018, 0.012)), colour(0.80, 0.20, 0.16))
        brush.fill(ellipse((x - 0.028, y + 0.034), (0.018, 0.012)), colour(0.80, 0.20, 0.16))
        brush.line(ellipse((x + 0.018, y + 0.036), (0.026, 0.022), 20, 160), INK, INK_WIDTH)
