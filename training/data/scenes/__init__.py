"""Procedural HDR scenes in absolute nits: the sample, the demo, and truth by construction for tests and training.

To add one: write its class (see `base.Scene`) in its own file and add it to `SCENES`.
"""

from __future__ import annotations

from toolchain.errors import UsageError
from training.data.scenes.animation import FlatAnimation
from training.data.scenes.base import PEAK_NITS, Scene
from training.data.scenes.interior import LampInterior
from training.data.scenes.landscape import SunlitLandscape

SCENES: tuple[type[Scene], ...] = (LampInterior, SunlitLandscape, FlatAnimation)

__all__ = ["PEAK_NITS", "SCENES", "Scene", "scene_by_name"]


def scene_by_name(name: str, seed: int = 0) -> Scene:
    """The scene of that name with its own random layout and colours; UsageError for an unknown name."""
    for scene in SCENES:
        if scene.name == name:
            return scene(seed)
    raise UsageError(f"Scene {name!r} is not known: use one of {', '.join(scene.name for scene in SCENES)}.")
