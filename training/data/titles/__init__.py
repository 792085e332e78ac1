"""Procedural titles: each a seed that decides a setting, a look and two or three shots in absolute nits.

To add a setting: write `(rng, field) -> scene-linear light` in one of the modules and add its line to `SETTINGS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import conversion_matrix
from training.data.masters import MasterGrade, grade_master
from training.data.titles import cartoon, indoor, night, outdoor
from training.data.titles.engine import Field, Image

Category = Literal["live_action", "animation", "low_light"]
Renderer = Callable[[np.random.Generator, Field], Image]
FOLDS = 5
RENDER_SCALE = 2
"""Pictures are drawn this much larger and area-averaged, which smooths edges drawn without anti-aliasing."""


@dataclass(frozen=True)
class Setting:
    """One kind of picture: how often it is drawn, and where its log-mean lands in a graded master."""

    name: str
    category: Category
    render: Renderer
    weight: float
    key_nits: tuple[float, float]


SETTINGS: tuple[Setting, ...] = (
    Setting("landscape", "live_action", outdoor.landscape, 1.4, (20.0, 75.0)),
    Setting("sea", "live_action", outdoor.sea, 0.8, (22.0, 80.0)),
    Setting("forest", "live_action", outdoor.forest, 0.8, (10.0, 35.0)),
    Setting("street", "live_action", outdoor.street, 1.0, (18.0, 55.0)),
    Setting("snow", "live_action", outdoor.snow, 0.5, (50.0, 120.0)),
    Setting("fog", "live_action", outdoor.fog, 0.5, (35.0, 100.0)),
    Setting("room", "live_action", indoor.room, 1.6, (10.0, 40.0)),
    Setting("table", "live_action", indoor.table, 0.8, (10.0, 45.0)),
    Setting("portrait", "live_action", indoor.portrait, 1.8, (12.0, 45.0)),
    Setting("cartoon", "animation", cartoon.cartoon, 2.8, (20.0, 70.0)),
    Setting("stage", "low_light", indoor.stage, 0.7, (2.0, 10.0)),
    Setting("fire", "low_light", indoor.fire, 0.6, (2.0, 14.0)),
    Setting("night_street", "low_light", night.night_street, 0.9, (1.5, 8.0)),
    Setting("neon", "low_light", night.neon, 0.7, (2.0, 12.0)),
    Setting("candle", "low_light", night.candle, 0.6, (1.0, 8.0)),
    Setting("moonlight", "low_light", night.moonlight, 0.6, (0.8, 6.0)),
    Setting("fireworks", "low_light", night.fireworks, 0.3, (0.8, 5.0)),
)


@dataclass(frozen=True)
class Title:
    """A procedural title: what it shows, how it was graded for HDR, and which fold it belongs to for ever."""

    name: str
    setting: Setting
    seed: int
    grade: MasterGrade
    grain: float
    gamut: float
    """Power on saturation in BT.2020: above 1 some colours lie outside BT.709."""
    frames: int

    @property
    def fold(self) -> int:
        """0 to FOLDS - 1 by a hash of the name, so that adding titles moves none."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4]) % FOLDS


def make_title(index: int, seed: int = 0) -> Title:
    """The title of that index, the same for the same (index, seed), however many are made."""
    rng = np.random.default_rng([seed, index, 71])
    weights = np.array([setting.weight for setting in SETTINGS])
    setting = SETTINGS[int(rng.choice(len(SETTINGS), p=weights / weights.sum()))]
    return Title(
        name=f"{setting.name.replace('_', '-')}-{index:04d}",
        setting=setting,
        seed=seed * 100_003 + index,
        grade=MasterGrade.sample(rng, setting.key_nits),
        grain=float(rng.choice([0.0, 0.01, 0.02, 0.04])) * (setting.category != "animation"),
        gamut=float(rng.uniform(1.0, 1.3)),
        frames=int(rng.integers(2, 4)),
    )


def render_title(title: Title, width: int, height: int) -> NDArray[np.float32]:
    """The title's shots, (frames, height, width, 3) float32 BT.2020 display-linear nits in [0, its peak]."""
    return np.stack([_render_shot(title, index, width, height) for index in range(title.frames)])


def _render_shot(title: Title, index: int, width: int, height: int) -> Image:
    rng = np.random.default_rng([title.seed, index, 72])
    field = Field(width * RENDER_SCALE, height * RENDER_SCALE)
    light = np.maximum(title.setting.render(rng, field), 0.0).astype(np.float32)
    scene = cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA) @ _TO_BT2020
    scene = _widen(scene, title.gamut)
    nits = grade_master(scene, title.grade)
    if title.grain:
        shot_noise = rng.standard_normal(nits.shape).astype(np.float32)
        nits = np.clip(nits + title.grain * np.sqrt(nits * 60.0 + 1.0) * shot_noise, 0.0, title.grade.peak_nits)
    return nits.astype(np.float32)


_TO_BT2020 = conversion_matrix("bt709", "bt2020").T.astype(np.float32)


def _widen(scene: Image, amount: float) -> Image:
    """Colours moved away from grey by `amount`, kept inside BT.2020."""
    grey = scene.mean(axis=-1, keepdims=True)
    return np.maximum(grey + amount * (scene - grey), 0.0)
