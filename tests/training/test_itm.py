"""The recipe of lumen-fixed and lumen-shot, on a few synthetic titles whose truth is a known curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.training.itm_pairs import write_pairs
from toolchain.color.ictcp import delta_e_itp as numpy_delta_e
from toolchain.color.primaries import convert
from toolchain.color.pu21 import pu21_encode as numpy_pu21
from toolchain.errors import InputError, UsageError
from toolchain.models import lumen
from toolchain.models.networks.lumen import CONFIDENCE, LumenShotNetwork
from toolchain.models.spec import Controls
from training import itm as recipe
from training import itm_model, losses
from training.itm import ItmConfig, load_config, train
from training.itm_data import fold_of, load_training, read_title, title_files

FOLDER = Path(__file__).parents[2] / "configs" / "training"
RECIPES = [FOLDER / f"{name}.yaml" for name in ("itm_fixed", "itm_shot")]
QUICK = {
    "folds": 2,
    "held_folds": [1],
    "steps": 20,
    "batch": 4,
    "pixels": 256,
    "pool": 512,
    "learning_rate": 0.05,
    "average": 0.5,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_fits_its_class(path):
    assert load_config(path).name.startswith("lumen-")


def test_a_recipe_with_an_unknown_field_is_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nmodel: fixed\nsteps: 1\nlearning_rate: 0.1\nspeed: 9\n")
    with pytest.raises(UsageError, match="speed"):
        load_config(path)


def random_vectors(count: int, reach: float = 0.3) -> np.ndarray:
    low, high = lumen.vector_limits()
    middle = lumen.Numbers(contrast=(1.0,) * 16, saturation_ev=(0, 0, 0, 0), level_mix=0.5, offset_nits=0).vector()
    noise = np.random.default_rng(7).uniform(-reach, reach, (count, lumen.VECTOR_SIZE))
    return np.clip(middle + noise * (high - low), low, high)


@pytest.mark.parametrize("peak_nits", [203.0, 600.0, 1000.0, 4000.0])
def test_the_trained_picture_is_the_shipped_picture(peak_nits):
    """torch in training against numpy in the product, for the same numbers."""
    vectors = random_vectors(6)
    signal = np.random.default_rng(3).uniform(0.02, 1, (6, 200, 3))
    result = itm_model.expand(
        torch.tensor(signal, dtype=torch.float32),
        torch.tensor(vectors, dtype=torch.float32),
        torch.full((6,), peak_nits),
    ).numpy()
    for i, vector in enumerate(vectors):
        shown = lumen.expand_with(lumen.Numbers.from_vector(vector), peak_nits)(
            convert(signal[i] ** 2.4, "bt709", "bt2020")
        )
        np.testing.assert_allclose(result[i], np.clip(shown, 0, peak_nits), rtol=2e-3, atol=2e-3)


def test_losses_equal_the_measures_of_the_product():
    rng = np.random.default_rng(5)
    a, b = (np.exp(rng.uniform(np.log(0.5), np.log(3000), (3, 50, 3))) for _ in range(2))
    ta, tb = torch.tensor(a), torch.tensor(b)
    np.testing.assert_allclose(losses.pu21_encode(ta).numpy(), numpy_pu21(a), atol=1e-6)
    np.testing.assert_allclose(losses.delta_e_itp(ta, tb).numpy(), numpy_delta_e(a, b).mean(1), rtol=1e-5)
    mse = np.square(numpy_pu21(a) - numpy_pu21(b)).mean((1, 2))
    np.testing.assert_allclose(losses.pu21_psnr(ta, tb).numpy(), 10 * np.log10(256**2 / mse), atol=0.01)


def test_unseen_families_never_train(data):
    files = title_files(data, ["masters"])
    assert any(meta.unseen for path in files for meta in read_title(path).metas)
    assert not any(meta.unseen for meta in load_training(files, 64, 0).metas)


def test_folds_hold_whole_titles_of_every_source(data):
    files = title_files(data, ["fold0", "fold1", "masters"])
    folds = fold_of(files, 2)
    for fold in (0, 1):
        assert {read_title(path).metas[0].source for path in files if folds[path] == fold} == {
            "procedural",
            "polyhaven",
        }
        assert all(folds[path] == fold for path in files if path.parent.name == f"fold{fold}")


def test_a_wanted_peak_rolls_the_truth_off_and_a_wanted_exposure_raises_it(data):
    pairs = load_training(title_files(data, ["masters"]), 512, 0)
    chosen, places = np.arange(2), np.tile(np.arange(512), (2, 1))
    plain, none = pairs.take(chosen, places, np.zeros(2, bool), np.full(2, 1e4), np.zeros(2)), np.zeros(2, bool)
    varied = pairs.take(chosen, places, none, np.array([300.0, 1e4]), np.array([0.0, 0.5]))
    assert varied.hdr[0].max() < 300 < plain.hdr[0].max()
    low = plain.hdr[0] < 100
    torch.testing.assert_close(varied.hdr[0][low.all(1)], plain.hdr[0][low.all(1)])
    torch.testing.assert_close(varied.hdr[1], plain.hdr[1] * 2**0.5)
    torch.testing.assert_close(varied.mid_gain_ev, plain.mid_gain_ev + torch.tensor([0.0, 0.5]))


def test_fixed_training_finds_a_better_curve_and_can_be_killed(data, tmp_path):
    config = ItmConfig.model_validate({"name": "lumen-fixed", "model": "fixed", **QUICK, "checkpoint_every": 5})
    whole = train(config, data, tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    neutral = ItmConfig.model_validate({**config.model_dump(), "learning_rate": 1e-9})
    train(neutral, data, tmp_path / "neutral")
    start = json.loads((tmp_path / "neutral" / "metrics.jsonl").read_text().splitlines()[-1])
    assert lines[-1]["val_psnr_db"] > start["val_psnr_db"] + 2

    killed_at = 10

    short = tmp_path / "killed"
    step = recipe._step

    def stop(config, state, batch):
        if state.step == killed_at:
            raise KeyboardInterrupt
        return step(config, state, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, data, short)
    again = train(config, data, short)
    assert again.read_bytes() == whole.read_bytes()


def test_shot_training_runs_and_its_weights_load_strictly(data, tmp_path):
    base = lumen.Numbers.from_vector(random_vectors(1, 0.05)[0])
    quick = {**QUICK, "steps": 6, "learning_rate": 0.001, "dropout": 0.1}
    config = ItmConfig.model_validate({"name": "lumen-shot", "model": "shot", **quick})
    weights = load_file(train(config, data, tmp_path, base))
    network = LumenShotNetwork().eval()
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()}, strict=True)
    np.testing.assert_allclose(weights["base"], base.vector(), rtol=1e-6)
    shipped = recipe.build(config)
    np.testing.assert_allclose(shipped.state_dict()["base"], lumen.shipped_numbers().vector(), rtol=1e-6)
    (tmp_path / "bad.json").write_text('{"contrast": [1]}')
    with pytest.raises(UsageError, match=r"bad\.json does not hold"):
        recipe.build(config.model_copy(update={"base_numbers": tmp_path / "bad.json"}))


def test_a_checkpoint_of_another_configuration_is_refused(data, tmp_path):
    config = ItmConfig.model_validate({"name": "lumen-fixed", "model": "fixed", **QUICK, "steps": 2})
    train(config, data, tmp_path)
    with pytest.raises(UsageError, match="another configuration"):
        train(config.model_copy(update={"seed": 1}), data, tmp_path)


def test_no_pairs_and_broken_pairs_are_told(tmp_path):
    with pytest.raises(InputError, match="holds no pairs"):
        title_files(tmp_path, ["train"])
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "x.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match=r"x\.npz is not a readable"):
        read_title(tmp_path / "train" / "x.npz")


def test_the_untrained_network_answers_the_base_and_never_leaves_its_reach():
    network = LumenShotNetwork().eval()
    base = torch.tensor(random_vectors(1, 0.1)[0], dtype=torch.float32)
    network.base.copy_(base)
    small, controls = network.example("condition", 144, 256)
    with torch.no_grad():
        torch.testing.assert_close(network.condition(small, controls)[0], base)
        for tensor in network.decide[-1].parameters():
            tensor.fill_(50.0)
        moved = network.condition(small, controls)[0] - base
    assert torch.all(moved.abs() <= CONFIDENCE * network.reach + 1e-5)
    assert 80_000 < sum(p.numel() for p in network.parameters()) < 250_000


def test_training_keeps_what_the_network_sees_of_a_picture(data):
    """What is computed once and held, against the graph that ships, on a real file; mirrored too."""
    path = title_files(data, ["masters"])[0]
    network = LumenShotNetwork().eval()
    for tensor in network.decide[-1].parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    pairs = load_training([path], 64, 0)
    picture = torch.tensor(read_title(path).sdr[:1]).permute(0, 3, 1, 2) / 255
    controls = torch.from_numpy(lumen.control_vector(Controls()))[None]
    with torch.no_grad():
        # A mirrored picture is sampled at other pixels, its statistics are those of the plain one.
        for mirror, tolerance in ((False, 0.01), (True, 0.1)):
            none = np.zeros(1)
            batch = pairs.take(none.astype(int), np.zeros((1, 1), int), np.array([mirror]), none + 1000, none)
            expected = network.condition(picture.flip(3) if mirror else picture, controls)
            answer = CONFIDENCE * network.answer(batch.statistics, batch.quarter, controls)  # base is 0
            torch.testing.assert_close(answer, expected, atol=tolerance, rtol=0)
