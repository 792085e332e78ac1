"""A photograph and a recipe of pairs small enough for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.data.restore_pairs import PairsConfig, SourceConfig, SplitConfig


def write_panorama(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    light = cv2.GaussianBlur(rng.uniform(0, 4, (160, 320, 3)).astype(np.float32), (0, 0), 2.0)
    cv2.imwrite(str(path), light)


def tiny_config(task: str = "codec-clean", sequences: int = 3) -> PairsConfig:
    def split(name: str) -> SplitConfig:
        return SplitConfig(photographs=(SourceConfig(file=f"{name}.hdr"),), scene_seeds=(), sequences=sequences)

    return PairsConfig.model_validate(
        {
            "task": task,
            "crop_px": 32,
            "frame_px": 64,
            "frames": 2,
            "shard_sequences": 2,
            "shares": (0.7, 0.0, 0.3),
            "splits": {name: split(name) for name in ("train", "validation", "test")},
        }
    )
