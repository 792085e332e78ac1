"""Measured facts of plain shots, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.schema import Signals
from analysis.signals.observer import ShotSignals
from toolchain.models.spec import ShotTone
from toolchain.video.shots import Shot


def plain_signals(**changed: Any) -> Signals:
    """A plain, well exposed picture: dynamic range medium, contrast medium, nothing clipped or crushed."""
    plain = {
        "stops": 6.0, "p0_5": 0.05, "p50": 0.4, "p99_5": 0.75, "clipped_share": 0.0, "crushed_share": 0.005,
        "saturation": 0.2, "blockiness": 1.0, "noise_sigma": 0.5, "blur": 0.4, "banding": 0.1, "flatness": 0.05,
    }  # fmt: skip
    return Signals.model_validate(plain | changed)


def plain_shot(index: int, frames: int = 48, **changed: Any) -> ShotSignals:
    tone = ShotTone(histogram=(1.0,) * 256)
    start = 100 * index
    where = Shot(index=index, start_frame=start, end_frame=start + frames, hard_cut=True, key_frames=(start,))
    return ShotSignals(where, plain_signals(**changed), tone, np.zeros((1, 1), np.float32))
