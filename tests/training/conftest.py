"""What several tests of trainings look at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.data.distortions_detail import Picture


@pytest.fixture(scope="session")
def scene() -> Picture:
    """320x180 in full colour: slopes, texture and figures, nothing clipped."""
    rng = np.random.default_rng(3)
    canvas = 105 + 14 * cv2.resize(
        rng.normal(size=(12, 20, 3)).astype(np.float32), (320, 180), interpolation=cv2.INTER_CUBIC
    )
    canvas += 5 * cv2.resize(
        rng.normal(size=(60, 106, 3)).astype(np.float32), (320, 180), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(60):
        centre = (int(rng.integers(320)), int(rng.integers(180)))
        colour = tuple(float(v) for v in rng.uniform(30, 220, 3))
        cv2.ellipse(canvas, centre, (8, 5), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return np.clip(canvas, 0, 255).astype(np.uint8)
