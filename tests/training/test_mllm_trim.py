"""Trims of training grades: monotone, hueless, the same from the same seed, and never of a held-out frame."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.distortions_detail import Picture
from training.data.grading import GradeRecipe
from training.data.mllm_data import MllmDataConfig, sampler
from training.data.mllm_sources import drawn_sources
from training.data.mllm_trim import bent, muted, trimmed

SEEDS = range(40)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_trim_keeps_the_order_of_light_and_the_range_of_a_signal() -> None:
    ramp = np.repeat(np.linspace(0, 1, 257, dtype=np.float32)[:, None, None], 3, axis=2)
    for seed in SEEDS:
        out = trimmed(ramp, rng(seed))
        assert out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1
        assert np.all(np.diff(out[:, 0, 0]) >= 0)
        assert np.array_equal(out[..., 0], out[..., 2]), "grey stays grey"


def test_trims_differ_and_come_back_from_the_same_seed() -> None:
    ramp = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(8, 8, 3)
    assert np.array_equal(trimmed(ramp, rng(3)), trimmed(ramp, rng(3)))
    middles = [float(trimmed(ramp, rng(seed))[4, 4, 1]) for seed in SEEDS]
    assert max(middles) - min(middles) > 0.1
    assert np.sign(np.array(middles) - ramp[4, 4, 1]).min() == -1, "some are darker"
    assert np.sign(np.array(middles) - ramp[4, 4, 1]).max() == 1, "some are lighter"


def test_a_bent_curve_stays_its_family_and_a_muted_one_loses_colour() -> None:
    recipe = GradeRecipe(curve="filmic")
    strengths = [bent(recipe, rng(seed)).strength for seed in SEEDS]
    assert min(strengths) < 0.8 < 1.2 < max(strengths) and min(strengths) >= 0.6 and max(strengths) <= 1.6
    assert all(0.2 <= muted(recipe, rng(seed)).saturation <= 0.7 for seed in SEEDS)
    assert bent(recipe, rng(0)).curve == muted(recipe, rng(0)).curve == "filmic"


@pytest.mark.parametrize(("share", "mark"), [("trim_share", "trimmed"), ("muted_share", "muted")])
def test_training_frames_alone_are_trimmed_and_muted(share: str, mark: str) -> None:
    plain, varied = MllmDataConfig(), MllmDataConfig.model_validate({share: 1.0})
    sources = drawn_sources(60, 0, 0, 5)
    train, held_out = (next(item for item in sources if item.split == split) for split in ("train", "test"))
    seen = [sample for sample in map(sampler(varied, train), range(2)) if sample is not None]
    assert seen and all(sample.extra[mark] for sample in seen)
    first, second = (sampler(config, held_out)(0) for config in (plain, varied))
    assert first is not None and second is not None
    assert np.array_equal(first.frame, second.frame) and mark not in second.extra


def test_muted_frames_have_less_colour_than_others() -> None:
    train = next(item for item in drawn_sources(60, 0, 0, 5) if item.split == "train")

    def chroma(share: float) -> float:
        config = MllmDataConfig(muted_share=share, shares=(1.0, 0.0, 0.0))
        found = [sample.frame for sample in map(sampler(config, train), range(3)) if sample is not None]
        return float(np.mean([_chroma(frame) for frame in found]))

    assert chroma(1.0) < 0.75 * chroma(0.0)


def _chroma(frame: Picture) -> float:
    wide = frame.astype(np.int16)
    return float((wide.max(-1) - wide.min(-1)).mean())


def test_a_set_without_them_is_the_set_it_was() -> None:
    told = MllmDataConfig().told()
    assert "trim_share" not in told and "muted_share" not in told
    assert MllmDataConfig(muted_share=0.1).told()["muted_share"] == 0.1
