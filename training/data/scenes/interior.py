"""A dark room with a lamp: deep shadows, warm light falling off over a wall and boards, dusk in the window."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.scenes.base import PEAK_NITS, phase
from training.data.scenes.canvas import (
    Grid,
    Image,
    apply_grain,
    blend,
    colour,
    coverage,
    fractal_noise,
    grain,
    rounded_box,
    smoothstep,
)

FLOOR_Y = 0.74
HORIZON_Y = 0.42
TABLE_Y = 0.655
SHADE_TOP_Y, SHADE_BOTTOM_Y = 0.315, 0.475
DRIFT = 0.035  # how far the camera wanders, in heights


@dataclass(frozen=True)
class _Room:
    """Still layers of one picture size. Light from the lamp is apart, so that a shadow can move over it."""

    grid: Grid
    ambient: Image
    lamp_light: Image
    shadow: Image
    steam: Image
    steam_mask: Image
    grain: Image


class LampInterior:
    """Dark interior with a lamp of about 900 nits; most of the room lies between 0.3 and 30 nits."""

    name = "interior"
    caption = "A lamp in a dark room."

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self._seed = seed
        self._lamp_x = float(rng.uniform(0.12, 0.30))
        self._bulb_nits = float(rng.uniform(860.0, 940.0))
        self._wall = colour(*rng.uniform((0.30, 0.26, 0.17), (0.42, 0.34, 0.24)), nits=1.0)
        self._wood = colour(*rng.uniform((0.24, 0.105, 0.04), (0.36, 0.16, 0.07)), nits=1.0)
        self._sofa = colour(*rng.uniform((0.05, 0.09, 0.10), (0.22, 0.20, 0.19)), nits=1.0)
        self._lamp_tint = colour(1.0, float(rng.uniform(0.60, 0.72)), float(rng.uniform(0.24, 0.38)), nits=1.0)
        self._lamp_power = float(rng.uniform(230.0, 300.0))
        self._phase = float(rng.random())
        self._rooms: dict[tuple[int, int], _Room] = {}

    def render(self, time_s: float, width: int, height: int) -> NDArray[np.float32]:
        room = self._rooms.get((width, height))
        if room is None:
            room = self._rooms[width, height] = self._build(width, height)
        right = DRIFT * phase(time_s, 9.0, self._phase)
        down = 0.4 * DRIFT * phase(time_s, 13.0, self._phase)
        sway = right + 0.03 * phase(time_s, 3.1, self._phase)
        shade = room.grid.crop(room.shadow, sway, down)
        picture = room.grid.crop(room.lamp_light, right, down) * shade[..., None]
        picture += room.grid.crop(room.ambient, right, down)
        self._add_steam(picture, room, time_s, right, down)
        return np.clip(apply_grain(picture, room.grain, self._seed, time_s), 0.0, PEAK_NITS).astype(np.float32)

    def _add_steam(self, picture: Image, room: _Room, time_s: float, right: float, down: float) -> None:
        """Steam of the cup on the table: noise that rises and is lit by the lamp."""
        rows = room.steam.shape[0]
        lifted = np.roll(room.steam, -round(time_s * 0.09 * rows), axis=0)
        wisps = room.grid.crop(lifted * room.steam_mask, right, down)
        picture += wisps[..., None] * self._lamp_tint

    def _build(self, width: int, height: int) -> _Room:
        rng = np.random.default_rng([self._seed, 2])
        grid = Grid(width, height, 2.2 * DRIFT)
        x, y = grid.axes()
        albedo = self._surfaces(rng, x, y)
        light = self._lamp_light(x, y)[..., None] * self._lamp_tint * albedo
        dusk = colour(0.30, 0.42, 0.72, nits=1.0)
        fill = 2.2 + 9.0 * np.exp(-(((x + 0.62) / 0.5) ** 2) - ((y - 0.5) / 0.5) ** 2)
        ambient = albedo * dusk * fill[..., None].astype(np.float32)
        self._hang_window(rng, x, y, ambient, light)
        self._stand_lamp(x, y, ambient, light)
        steam_x, steam_y = x - (self._lamp_x - 0.17), y - 0.50
        mask = 26.0 * np.exp(-((steam_x / 0.022) ** 2)) * smoothstep(0.12, 0.02, np.abs(steam_y))
        noise = fractal_noise(rng, (y.size, x.size), (7, 16), 4)
        return _Room(
            grid=grid,
            ambient=ambient,
            lamp_light=light,
            shadow=self._leaf_shadow(rng, x, y),
            steam=np.maximum(noise - 0.35, 0.0),
            steam_mask=mask.astype(np.float32),
            grain=grain(rng, width, height, 0.018),
        )

    def _surfaces(self, rng: np.random.Generator, x: Image, y: Image) -> Image:
        """Albedo of wall, skirting, floor boards, picture frame, sofa and table."""
        shape, pixel = (y.size, x.size), float(y[1, 0] - y[0, 0])
        plaster = fractal_noise(rng, shape, (6, 9), 6, 0.6)
        stripes = 0.06 * np.sign(np.sin(x * 55.0)) * (y < FLOOR_Y - 0.16)
        albedo = self._wall * (0.82 + 0.36 * plaster + stripes)[..., None]
        panel_seam = coverage(np.abs((x * 5.0) % 1.0 - 0.5) - 0.03, 0.03)
        panel = (
            self._wood * (1.15 - 0.35 * panel_seam + 0.3 * fractal_noise(rng, shape, (3, 60), 4) - 0.15)[..., None]
        )
        blend(albedo, panel, coverage(FLOOR_Y - 0.16 - y, pixel) * np.ones_like(x))
        blend(albedo, self._boards(rng, x, y), coverage(FLOOR_Y - y, pixel) * np.ones_like(x))
        self._hang_picture(rng, x, y, albedo, pixel)
        self._place_sofa(rng, x, y, albedo, pixel)
        table = rounded_box(x, y, (self._lamp_x - 0.06, TABLE_Y + 0.012), (0.22, 0.014), 0.006)
        legs = np.minimum(
            rounded_box(x, y, (self._lamp_x - 0.24, 0.78), (0.011, 0.13), 0.004),
            rounded_box(x, y, (self._lamp_x + 0.12, 0.78), (0.011, 0.13), 0.004),
        )
        streak = fractal_noise(rng, shape, (160, 4), 3)
        blend(albedo, self._wood * (0.6 + 0.3 * streak)[..., None], coverage(legs, pixel))
        blend(albedo, self._wood * (2.0 + 0.9 * streak)[..., None], coverage(table, pixel))
        cup = rounded_box(x, y, (self._lamp_x - 0.17, TABLE_Y - 0.026), (0.026, 0.026), 0.008)
        blend(albedo, colour(0.72, 0.70, 0.66, nits=1.0), coverage(cup, pixel))
        return albedo.astype(np.float32)

    def _boards(self, rng: np.random.Generator, x: Image, y: Image) -> Image:
        """Floor boards running away from the camera, in one-point perspective."""
        depth = 1.0 / np.maximum(y - HORIZON_Y, 0.05)
        across = x * depth * 2.2
        board = np.floor(across)
        tone = 0.75 + 0.5 * rng.random(64)[board.astype(int) % 64]
        seam = np.clip(np.abs(across - board - 0.5) * 2.0 - 0.94, 0.0, 0.06) / 0.06
        streak = fractal_noise(rng, (y.size, x.size), (90, 14), 4)
        return (self._wood * (tone * (0.7 + 0.6 * streak) * (1.0 - 0.75 * seam))[..., None]).astype(np.float32)

    def _hang_picture(self, rng: np.random.Generator, x: Image, y: Image, albedo: Image, pixel: float) -> None:
        """A framed abstract painting on the wall."""
        centre = (self._lamp_x - 0.44, 0.30)
        outer = rounded_box(x, y, centre, (0.135, 0.105), 0.004)
        inner = rounded_box(x, y, centre, (0.117, 0.087), 0.001)
        blobs = fractal_noise(rng, (y.size, x.size), (7, 9), 3)
        ink, paper = colour(0.10, 0.22, 0.36, nits=1.0), colour(0.78, 0.55, 0.28, nits=1.0)
        canvas = ink + smoothstep(0.42, 0.55, blobs)[..., None] * (paper - ink)
        blend(albedo, colour(0.42, 0.28, 0.08, nits=1.0), coverage(outer, pixel))
        blend(albedo, canvas, coverage(inner, pixel))

    def _place_sofa(self, rng: np.random.Generator, x: Image, y: Image, albedo: Image, pixel: float) -> None:
        """A sofa in front of the wall, left of the table, with cushions and woven cloth."""
        left = self._lamp_x - 0.72
        weave = 0.75 + 0.5 * fractal_noise(rng, (y.size, x.size), (120, 120), 2)
        for centre, half, radius, tone in (
            ((left, 0.66), (0.36, 0.15), 0.05, 0.8),
            ((left - 0.16, 0.68), (0.155, 0.085), 0.035, 1.15),
            ((left + 0.16, 0.68), (0.155, 0.085), 0.035, 1.05),
            ((left, 0.80), (0.40, 0.065), 0.02, 0.9),
            ((left - 0.37, 0.75), (0.045, 0.115), 0.04, 1.2),
            ((left + 0.37, 0.75), (0.045, 0.115), 0.04, 1.2),
        ):
            distance = rounded_box(x, y, centre, half, radius)
            round_edge = 0.35 + 0.65 * smoothstep(0.0, -0.03, distance)
            blend(albedo, self._sofa * (tone * weave * round_edge)[..., None], coverage(distance, pixel))

    def _lamp_light(self, x: Image, y: Image) -> Image:
        """Irradiance of the lamp: bright cones through the shade's openings, a soft glow through its cloth."""
        centre_y = 0.5 * (SHADE_TOP_Y + SHADE_BOTTOM_Y)
        dx, dy = x - self._lamp_x, y - centre_y
        behind = 0.24
        falloff = behind**3 / (dx**2 + dy**2 + behind**2) ** 1.5
        half_cone = np.where(dy < 0.0, 0.62, 1.0)  # tangent of the openings' half angles, up and down
        edge = np.abs(dx) / (np.abs(dy) * half_cone + 0.055)
        cone = smoothstep(1.35, 0.75, edge)
        floor_glow = 0.30 * np.exp(-((dx / 0.55) ** 2)) * smoothstep(FLOOR_Y - 0.02, 0.95, y)
        return (self._lamp_power * (falloff * (0.42 + 1.1 * cone) + floor_glow)).astype(np.float32)

    def _hang_window(self, rng: np.random.Generator, x: Image, y: Image, ambient: Image, light: Image) -> None:
        """A window on a town at dusk: a blue gradient and blurred lights of 100 to 500 nits behind dark bars."""
        pixel = float(y[1, 0] - y[0, 0])
        centre, half = (self._lamp_x - 0.84, 0.26), (0.17, 0.215)
        pane = coverage(rounded_box(x, y, centre, half, 0.004), pixel)
        height = np.clip((y - 0.05) / 0.44, 0.0, 1.0)[..., None]
        evening = colour(0.05, 0.10, 0.30, nits=60.0) * (1 - height) + colour(0.9, 0.42, 0.30, nits=70.0) * height**2
        town = np.broadcast_to(evening, ambient.shape).copy()
        roofs = 0.40 + 0.05 * rng.random(40)[np.floor((x + 3.0) * 14).astype(int) % 40]
        blend(town, colour(0.010, 0.013, 0.022), coverage(roofs - y, 2 * pixel))
        for _ in range(16):
            spot = centre + rng.uniform((-0.16, 0.11), (0.16, 0.20))
            radius = float(rng.uniform(0.006, 0.013))
            glow = coverage(np.hypot(x - spot[0], y - spot[1]) - radius, 0.004)
            town += glow[..., None] * colour(1.0, float(rng.uniform(0.5, 0.9)), 0.35, float(rng.uniform(60, 420)))
        bars = np.minimum(np.abs(x - centre[0]), np.abs(y - centre[1] - 0.02)) - 0.007
        rim = np.abs(rounded_box(x, y, centre, half, 0.004)) - 0.012
        frame = coverage(np.minimum(np.where(pane > 0, bars, 1.0), rim), pixel)
        blend(ambient, town, pane)
        light *= (1.0 - pane)[..., None]
        blend(ambient, colour(0.016, 0.017, 0.022), frame)

    def _stand_lamp(self, x: Image, y: Image, ambient: Image, light: Image) -> None:
        """The lamp itself: a brass foot, a cloth shade that glows, the bulb's core through it."""
        pixel = float(y[1, 0] - y[0, 0])
        dx, mid_y = x - self._lamp_x, 0.5 * (SHADE_TOP_Y + SHADE_BOTTOM_Y)
        foot = np.minimum(
            rounded_box(x, y, (self._lamp_x, 0.56), (0.008, 0.10), 0.004),
            rounded_box(x, y, (self._lamp_x, TABLE_Y - 0.008), (0.055, 0.009), 0.008),
        )
        shine = 0.3 + 1.2 * np.exp(-(((dx + 0.003) / 0.006) ** 2)) * (y < TABLE_Y - 0.02)
        blend(ambient, colour(0.62, 0.40, 0.14, 90.0) * shine[..., None], coverage(foot, pixel))
        light *= (1.0 - coverage(foot, pixel))[..., None]
        down = np.clip((y - SHADE_TOP_Y) / (SHADE_BOTTOM_Y - SHADE_TOP_Y), 0.0, 1.0)
        half_width = 0.062 + 0.058 * down
        side = np.maximum(np.abs(dx) - half_width, np.abs(y - mid_y) - 0.5 * (SHADE_BOTTOM_Y - SHADE_TOP_Y))
        shade = coverage(side, pixel)
        core = np.exp(-((dx / 0.045) ** 2) - ((y - mid_y - 0.012) / 0.05) ** 2)
        folds = 1.0 + 0.05 * np.cos(dx / half_width * 40.0)
        cloth = (230.0 + 0.9 * self._bulb_nits * core) * folds * (0.62 + 0.38 * down)
        tint = colour(1.0, 0.78, 0.50, 1.0) * (1 - core[..., None]) + colour(1.0, 0.93, 0.80, 1.0) * core[..., None]
        glow = np.minimum(cloth, self._bulb_nits)[..., None] * tint
        blend(ambient, glow, shade)
        light *= (1.0 - shade)[..., None]

    def _leaf_shadow(self, rng: np.random.Generator, x: Image, y: Image) -> Image:
        """Soft shadow that a plant beside the lamp throws on the wall: 1 in the light, about 0.35 in the shade."""
        depth = np.zeros((y.size, x.size), dtype=np.float32)
        root = (self._lamp_x + 0.46, 0.60)
        for angle in np.linspace(-1.15, 1.0, 11) + rng.uniform(-0.08, 0.08, 11):
            length = float(rng.uniform(0.26, 0.46))
            along = (x - root[0]) * np.sin(angle) - (y - root[1]) * np.cos(angle)
            aside = (x - root[0]) * np.cos(angle) + (y - root[1]) * np.sin(angle) - 0.25 * along**2 * np.sign(angle)
            t = np.clip(along / length, 0.0, 1.0)
            blade = np.abs(aside) - 0.034 * np.sin(np.pi * t) ** 0.8 * (along > 0)
            depth = np.maximum(depth, smoothstep(0.006, -0.004, blade))
        softened = cv2.GaussianBlur(depth, (0, 0), 0.012 / float(y[1, 0] - y[0, 0]))
        return (1.0 - 0.65 * softened).astype(np.float32)
