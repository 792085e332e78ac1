"""Cameras and finishing of sound pictures: less than any damage, the same from the same seed, for training alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.schema import DistortionType
from training.data import mllm_camera
from training.data.distortions import distort, visible
from training.data.distortions_detail import Picture
from training.data.mllm_camera import depth_of_field, through_camera
from training.data.mllm_data import MllmDataConfig, sampler
from training.data.mllm_sources import Source, drawn_sources

Part = Callable[[Picture, np.random.Generator], Picture]
SEEDS = range(24)


def change(before: Picture, after: Picture) -> float:
    return float(np.sqrt(np.mean((after.astype(float) - before) ** 2)))


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (mllm_camera.lens, "low_clarity"),
        (mllm_camera.white_balance, "color_cast"),
        (mllm_camera.saturation, "oversaturation"),
        (mllm_camera.saturation, "desaturation"),
        (mllm_camera.sharpening, "edge_ringing"),
        (mllm_camera.sensor, "noise"),
        (mllm_camera.tone, "overexposure"),
        (mllm_camera.tone, "underexposure"),
    ],
)
def test_no_part_changes_as_much_as_the_mildest_damage_of_its_kind(
    scene: Picture, part: Part, kind: DistortionType
) -> None:
    damaged = [distort(scene, kind, 1, np.random.default_rng(seed)) for seed in SEEDS]
    mildest = [change(scene, picture) for picture in damaged if visible(scene, picture, kind, 1)]
    parts = [change(scene, part(scene, np.random.default_rng(seed))) for seed in SEEDS]
    assert 0 < max(parts) < np.median(mildest)


def test_a_shallow_depth_of_field_leaves_a_part_sharp(scene: Picture) -> None:
    found = [depth_of_field(scene, np.random.default_rng(seed)) for seed in SEEDS]
    untouched = [float((picture == scene).all(-1).mean()) for picture in found]
    assert np.mean(untouched) > 0.05 and np.mean([change(scene, picture) > 1.0 for picture in found]) > 0.7


def test_a_camera_is_the_same_from_the_same_seed(scene: Picture) -> None:
    first, again, other = (through_camera(scene, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.shape == scene.shape and first.dtype == np.uint8


def of_split(split: str) -> Source:
    return next(source for source in drawn_sources(60, 0, 0, 5) if source.split == split)


def test_training_frames_alone_are_seen_through_a_camera() -> None:
    plain, filmed = MllmDataConfig(), MllmDataConfig(camera_share=1.0)
    train, held_out = of_split("train"), of_split("test")
    seen = [sampler(filmed, train)(index) for index in range(3)]
    assert any(sample is not None and sample.extra.get("camera") for sample in seen)
    first, second = (sampler(config, held_out)(0) for config in (plain, filmed))
    assert first is not None and second is not None
    assert np.array_equal(first.frame, second.frame) and "camera" not in second.extra


def test_a_set_without_cameras_is_the_set_it_was() -> None:
    assert (
        "camera_share" not in MllmDataConfig().told()
        and MllmDataConfig(camera_share=0.5).told()["camera_share"] == 0.5
    )
    assert "camera_share" in Path("configs/training/mllm_data.yaml").read_text()
