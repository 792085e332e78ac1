from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.signals.blur import blur
from analysis.signals.noise import noise_sigma
from tests.training.restore_helpers import tiny_config, write_panorama
from toolchain.errors import InputError
from training.data.restore_defects import CameraNoise, Coding, Softness, signal_to_codes
from training.data.restore_pairs import (
    NUMBERS,
    Defects,
    build_pairs,
    draw_defects,
    load_pairs,
    sequence_pairs,
)
from training.data.restore_sources import CleanPictures, chart, read_photograph

GREY = np.full((96, 96, 3), 0.5, dtype=np.float32)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for seed, name in enumerate(("train", "validation", "test")):
        write_panorama(tmp_path / f"{name}.hdr", seed)
    return tmp_path


def test_pairs_are_whole_crops_of_the_same_place(photographs, tmp_path):
    config = tiny_config()
    build_pairs(config, photographs, tmp_path / "pairs")
    pairs = load_pairs(tmp_path / "pairs", "train")
    assert pairs.damaged.shape == pairs.clean.shape == (8, 48, 32)  # two shards of two sequences of two crops
    assert pairs.damaged.dtype == pairs.clean.dtype == np.uint16
    assert pairs.clean.max() <= 1023
    assert pairs.numbers.shape == (8, len(NUMBERS))
    assert np.corrcoef(pairs.damaged.ravel(), pairs.clean.ravel())[0, 1] > 0.9


def test_killed_building_goes_on_to_the_same_pairs(photographs, tmp_path):
    config = tiny_config()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    build_pairs(config, photographs, whole)
    build_pairs(config, photographs, broken)
    lost = broken / "train-001.npz"
    lost.unlink()
    build_pairs(config, photographs, broken)
    for path in whole.iterdir():
        again = np.load(broken / path.name)
        assert all(np.array_equal(array, again[name]) for name, array in np.load(path).items())


def test_a_missing_photograph_is_named(tmp_path):
    with pytest.raises(InputError, match=r"train\.hdr"):
        build_pairs(tiny_config(), tmp_path, tmp_path / "pairs")
    with pytest.raises(InputError, match="no train pairs"):
        load_pairs(tmp_path, "train")
    (tmp_path / "damaged.exr").write_bytes(b"no picture")
    (tmp_path / "damaged.hdr").write_bytes(b"no picture")
    for name in ("damaged.exr", "damaged.hdr"):
        with pytest.raises(InputError, match="intact"):
            read_photograph(tmp_path / name)


@pytest.mark.parametrize("grain", ["bayer", "film", "white"])
@pytest.mark.parametrize("sigma_codes", [1.0, 6.0])
def test_camera_noise_has_the_sigma_it_says(grain, sigma_codes):
    noisy = CameraNoise(sigma_codes, grain=grain).apply(GREY, np.random.default_rng(0))
    error = (signal_to_codes(noisy) - signal_to_codes(GREY))[:96] / 4
    assert error.std() == pytest.approx(sigma_codes, rel=0.08)
    assert abs(error.mean()) < 0.15 * sigma_codes


def test_camera_noise_is_correlated_and_stronger_in_colour_and_grows_with_light():
    rng = np.random.default_rng(1)
    bayer = CameraNoise(4.0, grain="bayer").apply(GREY, rng) - GREY
    white = CameraNoise(4.0, grain="white").apply(GREY, rng) - GREY
    assert np.corrcoef(bayer[:, 1:, 0].ravel(), bayer[:, :-1, 0].ravel())[0, 1] > 0.4
    assert abs(np.corrcoef(white[:, 1:, 0].ravel(), white[:, :-1, 0].ravel())[0, 1]) < 0.1
    assert bayer[..., 2].std() > bayer[..., 1].std()
    halves = np.concatenate([np.full((96, 48, 3), 0.15), np.full((96, 48, 3), 0.85)], axis=1).astype(np.float32)
    light = CameraNoise(4.0, shot_share=0.95, grain="white").apply(halves, rng) ** 2.2 - halves**2.2
    assert light[:, 48:].std() > 2 * light[:, :48].std()


@pytest.mark.parametrize(("kind", "least", "most"), [("gauss", 1.3, 1.6), ("disc", 1.4, 2.1), ("box", 1.4, 2.1)])
def test_softness_softens_by_about_its_sigma(kind, least, most):
    edge = np.full((128, 128, 3), 0.4, dtype=np.float32)
    edge[:, 64:] = 0.5
    soft = Softness(1.5, kind).apply(edge)
    steepest = np.diff(soft[64, :, 1].astype(np.float64)).max() / 0.1
    assert least < 1 / (steepest * np.sqrt(2 * np.pi)) < most  # of a Gaussian edge this is its sigma


@pytest.mark.parametrize("kind", ["gauss", "disc", "box", "scaled"])
def test_softness_is_seen_as_blur(kind):
    texture = signal_to_codes(chart(np.random.default_rng(4), 128))[:128] / np.float32(4)
    softer = signal_to_codes(Softness(1.5, kind).apply(chart(np.random.default_rng(4), 128)))[:128] / np.float32(4)
    assert blur(softer) > blur(texture)


@pytest.mark.parametrize(
    ("coder", "fine", "coarse"),
    [("libx264", 20, 38), ("libx265", 22, 40), ("mpeg4", 2, 20), ("mpeg2video", 2, 20)],
)
def test_coders_damage_more_at_lower_quality(coder, fine, coarse):
    picture = chart(np.random.default_rng(2), 96)
    frames = [np.rint(signal_to_codes(np.roll(picture, i, axis=1)) / 4).astype(np.uint8) for i in range(3)]
    errors = []
    for quality in (fine, coarse):
        decoded = Coding(coder, quality=quality, preset="veryfast").apply(frames)
        assert len(decoded) == len(frames) and decoded[0].shape == frames[0].shape
        errors.append(np.mean((decoded[1].astype(float) - frames[1]) ** 2))
    assert 0 < errors[0] < errors[1]
    assert Coding(coder, fine).compression < Coding(coder, coarse).compression


def test_no_defect_leaves_only_rounding():
    picture = chart(np.random.default_rng(3), 96)
    exact = signal_to_codes(picture)
    eight, ten = (Defects(ten_bits=deep).apply([picture], np.random.default_rng(0))[0] for deep in (False, True))
    assert np.abs(eight - exact).max() <= 2.001
    assert np.abs(ten - exact).max() <= 0.501


@pytest.mark.parametrize("task", ["codec-clean", "clarity"])
def test_drawn_defects_cover_their_kinds_and_tell_the_truth(task):
    rng = np.random.default_rng(0)
    truths = np.array([draw_defects(task, rng).truth() for _ in range(400)])
    assert 0.03 < np.mean((truths == 0).all(axis=1)) < 0.25
    for column in (0, 1) if task == "codec-clean" else (0, 1, 2):
        assert 0.1 < np.mean(truths[:, column] > 0) < 0.9
    assert task == "clarity" or not truths[:, 2].any()
    assert truths[:, 1].max() <= 1 and truths[:, 0].max() <= 9


def test_numbers_hold_what_analysis_measures():
    class Flat(CleanPictures):
        def __init__(self) -> None:
            pass

        def patch(self, rng, size):
            return np.full((size, size, 3), 0.5, dtype=np.float32)

    config = tiny_config().model_copy(update={"frame_px": 96, "crop_px": 96})
    rng = np.random.default_rng(5)
    rows = [row for _ in range(6) for row in sequence_pairs(config, Flat(), rng)]
    for damaged, clean, numbers in rows:
        assert numbers[NUMBERS.index("noise_sigma")] == pytest.approx(
            noise_sigma(damaged[:96].astype(np.float32) / np.float32(4))
        )
        assert clean[:96].std() == 0


def test_a_clip_is_coded_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    frames = [cv2.GaussianBlur(rng.integers(0, 255, (810, 960), dtype=np.uint8), (9, 9), 3) for _ in range(5)]
    how = Coding("libx264", 30.0, "veryfast")
    first = how.apply(frames)
    assert len(first) == 5
    assert all(np.array_equal(first, how.apply(frames)) for _ in range(6))
