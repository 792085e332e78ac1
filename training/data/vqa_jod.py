"""ColorVideoVDP of finished titles, from the pictures that lie on disk: the slow label, added after all others.

It compares each version with the title's coded master, version 0: the key picture at its own scale, and 8 consecutive
motion pictures, so that flicker shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.vqa.colorvideovdp import available, jod
from analysis.vqa.display import CLIP_FRAMES, DISPLAY_PEAK_NITS
from toolchain.color.pu21 import pu21_decode, pu21_encode
from toolchain.errors import EnvironmentNotReady
from training.data.vqa_shards import FULL
from training.data.vqa_sources import FPS

JOD_ERRORS = ("jod_loss_key", "jod_loss_motion")
MOTION_FRAMES = slice(CLIP_FRAMES // 2 - 4, CLIP_FRAMES // 2 + 4)
_NITS = pu21_decode(np.linspace(0.0, float(pu21_encode(DISPLAY_PEAK_NITS)), FULL + 1)).astype(np.float32)


def check() -> None:
    """EnvironmentNotReady where ColorVideoVDP cannot be used."""
    missing = available()
    if missing:
        raise EnvironmentNotReady(f"labels of jod_loss errors need ColorVideoVDP: {missing}")


def jod_losses(key: NDArray[np.uint16], motion: NDArray[np.uint16]) -> list[dict[str, float]]:
    """10 - JOD of each version of a title, given its stored arrays (V, 256, 448, 3) and (V, 32, 72, 128, 3)."""
    still, moving = _NITS[key[0]][None], _NITS[motion[0, MOTION_FRAMES]]
    return [
        {
            JOD_ERRORS[0]: round(10.0 - jod(_NITS[key[version]][None], still), 4),
            JOD_ERRORS[1]: round(10.0 - jod(_NITS[motion[version, MOTION_FRAMES]], moving, FPS), 4),
        }
        for version in range(len(key))
    ]
