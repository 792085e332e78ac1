from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tests.training.restore_helpers import tiny_config, write_panorama
from toolchain.errors import UsageError
from toolchain.models.networks.restore import CodecClean
from training.restore import RestoreConfig, draw_batch, load_config, planes_of, told_strengths, train
from training.restore_losses import psnr_db, restore_loss, ssim


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed, name in enumerate(("train", "validation", "test")):
        write_panorama(folder / f"{name}.hdr", seed)
    return folder


def tiny_recipe(steps: int = 10, cooldown: int = 4, **changes) -> RestoreConfig:
    values = {"pairs": tiny_config(), "steps": steps, "cooldown": cooldown, "batch": 2, "window_px": 32}
    return RestoreConfig.model_validate(
        values | {"precision": "fp32", "validate_every": 5, "checkpoint_every": 5} | changes
    )


@pytest.mark.parametrize("name", ["restore_codec_clean", "restore_clarity"])
def test_recipes_of_the_product_are_valid_and_split_by_source(name):
    config = load_config(Path(str(files("configs") / "training" / f"{name}.yaml")))
    splits = config.pairs.splits
    assert set(splits) == {"train", "validation", "test"}
    sources = [{source.file for source in split.photographs} for split in splits.values()]
    seeds = [set(split.scene_seeds) for split in splits.values()]
    for sets in (sources, seeds):
        assert sum(map(len, sets)) == len(set.union(*sets))
    held_out = sorted(source.file for source in splits["test"].photographs)
    assert len(held_out) == 4 and sum(file.endswith(".exr") for file in held_out) == 2
    assert not any("clips" in source for source in set.union(*sources))


def test_an_unknown_key_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="momentum"):
        tiny_recipe(momentum=0.9)
    path = tmp_path / "broken.yaml"
    path.write_text("steps: [")
    with pytest.raises(UsageError, match="cannot be read as a recipe"):
        load_config(path)


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(tiny_recipe(), photographs, out)
    return out


def test_ten_steps_leave_weights_metrics_plot_and_test(trained):
    CodecClean().load_state_dict(load_file(trained / "codec-clean.safetensors"), strict=True)
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert (trained / "metrics.png").stat().st_size > 1000
    rows = json.loads((trained / "test.json").read_text())
    assert sum(row["pairs"] for row in rows.values()) == 8
    assert all(abs(row["psnr_out_db"] - row["psnr_in_db"]) < 1 for kind, row in rows.items() if kind != "clean")


def test_a_killed_training_goes_on_to_the_same_weights(trained, photographs, tmp_path, monkeypatch):
    import training.restore as module

    calls = []

    def killed(config, pairs, step):
        if step == 7 and not calls:
            calls.append(step)
            raise KeyboardInterrupt
        return draw_batch(config, pairs, step)

    monkeypatch.setattr(module, "draw_batch", killed)
    arguments = (tiny_recipe(), photographs, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(*arguments, pairs=trained / "pairs")
    train(*arguments, pairs=trained / "pairs")
    first, second = (load_file(folder / "codec-clean.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [5, 10]


def test_another_length_goes_on_while_the_rate_is_level_and_another_recipe_does_not(trained, photographs, tmp_path):
    pairs = trained / "pairs"
    train(tiny_recipe(steps=6, cooldown=0), photographs, tmp_path, pairs=pairs)
    train(tiny_recipe(steps=10, cooldown=4), photographs, tmp_path, pairs=pairs)
    first, second = (load_file(folder / "codec-clean.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(first[name], second[name]) for name in first)
    for other in (tiny_recipe(steps=12, cooldown=0), tiny_recipe(learning_rate=0.1)):
        with pytest.raises(UsageError, match="another recipe"):
            train(other, photographs, tmp_path, pairs=pairs)


def test_planes_and_flips_keep_the_picture():
    codes = np.random.default_rng(0).integers(0, 1020, (2, 48, 32)).astype(np.uint16)
    planes = planes_of(codes)
    assert planes.shape == (2, 6, 16, 16)
    luma = torch.nn.functional.pixel_shuffle(planes[:, :4].contiguous(), 2)[:, 0]
    assert np.allclose(luma.numpy() * 1020, codes[:, :32], atol=1e-3)
    assert np.allclose(planes[:, 4].numpy().reshape(2, -1) * 1020, codes[:, 32:40].reshape(2, -1), atol=1e-3)


def test_a_batch_is_the_same_place_of_both_pictures_also_when_flipped(trained):
    from training.data.restore_pairs import load_pairs

    pairs = load_pairs(trained / "pairs", "train")
    same = type(pairs)(pairs.clean, pairs.clean, pairs.numbers)
    for step in range(8):
        damaged, clean, told = draw_batch(tiny_recipe(), same, step)
        assert torch.equal(damaged, clean)
        assert told.shape == (2, 2) and told.min() >= 0 and told.max() <= 1


def test_told_strengths_follow_the_truth_but_not_always():
    numbers = np.tile(np.array([[4.0, 0.6, 0.0, 4.0, 1.37, 0.3]], dtype=np.float32), (2000, 1))
    told = told_strengths(tiny_recipe(), numbers, np.random.default_rng(0))
    assert np.median(told, axis=0) == pytest.approx([0.5, 0.6], abs=0.05)
    assert np.mean(np.abs(told[:, 0] - 0.5) > 0.2) > 0.1


def test_losses_are_zero_where_nothing_is_wrong():
    planes = torch.rand(2, 6, 16, 16)
    assert ssim(planes, planes) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert psnr_db(planes + 0.1, planes) == pytest.approx([20.0, 20.0], abs=1e-3)
    near, far = (restore_loss(planes + error, planes, 0.2, 3.0) for error in (0.01, 0.1))
    assert near < far
