"""The recipe of lumen-local: its twin of the runtime's arithmetic; a training learns, resumes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toolchain.errors import InputError, UsageError
from toolchain.gain_grid import guide_signal, slice_grid
from toolchain.models.lumen import Numbers, expand_with
from toolchain.models.lumen_local import gain_members, image_function, values_from_ev
from toolchain.models.networks.lumen_local import GRID_SHAPE
from toolchain.models.spec import Controls
from training.itm_data import SIZE
from training.itm_local import LocalConfig, gained, load_config, score, slice_gain, train
from training.itm_local_data import LocalBatch, load_set
from training.itm_model import sdr_light

CURVE = Numbers(
    contrast=(1.0,) * 10 + (1.3, 1.8, 2.2, 2.4, 2.4, 2.4), saturation_ev=(0, 0, 0, 0), level_mix=0.5, offset_nits=0
)
CURVE_OF = lambda small, peak_nits: torch.tensor(CURVE.vector(), dtype=torch.float32).expand(len(small), -1)  # noqa: E731
QUICK = {
    "name": "quick",
    "base": "lumen-fixed",
    "learning_rate": 3e-3,
    "batch": 4,
    "pixels": 256,
    "validate_every": 10,
}


def picture(seed: int):
    """(144, 256, 3) uint8: smooth colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:144, 0:256] / 200
    waves = [0.5 + 0.45 * np.sin(rng.uniform(3, 9) * x + rng.uniform(2, 7) * y + k) for k in rng.uniform(0, 6, 3)]
    mean = np.mean(waves, axis=0)
    return np.round(255 * np.stack([mean + 0.3 * (wave - mean) for wave in waves], -1)).astype(np.uint8)


def batch_of(sdr, peak_nits=1000.0) -> LocalBatch:
    signal = torch.tensor(sdr).float() / 255
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 144), torch.linspace(0, 1, 256), indexing="ij")
    return LocalBatch(
        small=signal.permute(2, 0, 1)[None],
        sdr=signal.reshape(1, -1, 3),
        hdr=torch.zeros(1, 144 * 256, 3),
        place=torch.stack([rows, columns], -1).reshape(1, -1, 2),
        curve=CURVE_OF(torch.zeros(1), None),
        peak_nits=torch.tensor([peak_nits]),
    )


def write_pairs(folder: Path, titles: int = 3, count: int = 4) -> Path:
    """Titles whose HDR is the curve's picture, twice as bright above the middle of the frame."""
    for split in ("fold0", "fold4"):
        (folder / split).mkdir(parents=True)
        for index in range(titles):
            sdr = np.stack([picture(10 * index + k) for k in range(count)])
            light = sdr_light(torch.tensor(sdr).float() / 255).numpy().astype(np.float64)
            brighter = np.where(np.arange(SIZE[0]) < 72, 2.0, 1.0)[:, None, None]
            hdr = np.minimum(expand_with(CURVE, 1000.0)(light) * brighter, 1000).astype(np.float16)
            meta = {"title": f"t{index}", "source": "procedural", "category": "game", "family": "x", "spatial": True}
            np.savez(folder / split / f"t{index}.npz", sdr=sdr, hdr=hdr, meta=json.dumps([meta] * count))
    return folder


def test_slicing_is_the_runtimes():
    sdr, grid = picture(0), np.random.default_rng(0).uniform(-1, 1, GRID_SHAPE).astype(np.float32)
    sliced = slice_gain(torch.tensor(grid)[None], batch_of(sdr))[0].reshape(144, 256).numpy()
    np.testing.assert_allclose(sliced, slice_grid(grid, guide_signal(sdr / 255.0)), atol=2e-5)


def test_the_picture_is_the_runtimes():
    sdr = picture(1)
    ramp = np.linspace(-0.9, 1.2, 8)[:, None, None] + np.zeros(GRID_SHAPE)
    batch = batch_of(sdr)
    twin = gained(batch, slice_gain(torch.tensor(ramp, dtype=torch.float32)[None], batch))[0].reshape(144, 256, 3)
    members = gain_members(expand_with(CURVE, 1000.0), Controls())
    still = image_function(members, lambda small: values_from_ev(ramp))(
        sdr_light(torch.tensor(sdr).float() / 255).numpy().astype(np.float64)
    )
    ratio = (twin.numpy().sum(-1) + 1) / (still.sum(-1) + 1)
    # The stack interpolates between five gains and the twin does not: it matters in the peak's shoulder alone.
    assert np.percentile(np.abs(np.log2(ratio)), 95) < 0.05 and np.abs(np.log2(ratio)).max() < 0.25


def test_twenty_steps_learn_and_a_killed_training_ends_the_same(tmp_path):
    data = write_pairs(tmp_path / "data")
    config = LocalConfig.model_validate(
        {**QUICK, "steps": 20, "splits": ("fold0",), "checkpoint_every": 10, "dropout": 0.1}
    )
    whole = train(config, data, tmp_path / "whole").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 20 and lines[-1]["spatial_db"] > lines[-1]["spatial_curve_db"] + 0.1
    assert (tmp_path / "whole" / "metrics.png").stat().st_size > 5000
    _train_until_killed(config, data, tmp_path / "parts", 10)
    assert train(config, data, tmp_path / "parts").read_bytes() == whole
    with pytest.raises(UsageError, match="another configuration"):
        train(config.model_copy(update={"seed": 1}), data, tmp_path / "parts")


def _train_until_killed(config, data, out, step):
    """Ctrl-C once the checkpoint of `step` is there."""

    def kill(event):
        if getattr(event, "done", 0) >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, data, out, emit=kill)


def test_a_training_may_start_from_another(tmp_path):
    data = write_pairs(tmp_path / "data")
    first = {**QUICK, "steps": 3, "splits": ("fold0",), "validation_splits": ()}
    config = LocalConfig.model_validate({**first, "steps": 1, "learning_rate": 1e-9, "first": first})
    weights = load_file(train(config, data, tmp_path / "out"))
    started = torch.load(tmp_path / "out" / "first" / "checkpoint.pt", weights_only=True)["states"][1]
    assert all(torch.allclose(weights[name], started[name], atol=1e-6) for name in weights)


def test_held_out_titles_other_mid_gains_and_unseen_families_are_not_trained_on(tmp_path):
    data = write_pairs(tmp_path / "data")
    path = data / "fold0" / "t1.npz"
    with np.load(path) as file:
        sdr, hdr, metas = file["sdr"], file["hdr"], json.loads(str(file["meta"]))
    metas[0]["unseen"], metas[1]["mid_gain_ev"] = True, 0.8
    np.savez(path, sdr=sdr, hdr=hdr, meta=json.dumps(metas))
    from training.itm_local import _load

    config = LocalConfig.model_validate({**QUICK, "steps": 1, "splits": ("fold0",), "hold_out": ("t0",)})
    training, validation = _load(config, data)
    assert [meta.title for meta in training.metas] == ["t1", "t1"] + ["t2"] * 4
    assert {meta.title for meta in validation["held"].metas} == {"t0"}
    with pytest.raises(InputError, match="may see"):
        _load(config.model_copy(update={"hold_out": ("t0", "t1", "t2")}), data)


def test_scores_are_of_the_curve_where_there_is_no_network(tmp_path):
    data = write_pairs(tmp_path / "data", titles=1, count=2)
    pairs = load_set([data / "fold0" / "t0.npz"], CURVE_OF, lambda meta: True, 2)
    rows = score(None, pairs)
    assert len(rows) == 2 and all(10 < row["psnr_db"] < 30 and row["gain_ev"] == 0 for row in rows)


def test_the_truths_own_peak_is_never_told(tmp_path):
    data = write_pairs(tmp_path / "data", titles=1, count=2)
    path = data / "fold0" / "t0.npz"
    with np.load(path) as file:
        sdr, hdr, metas = file["sdr"], file["hdr"], json.loads(str(file["meta"]))
    np.savez(path, sdr=sdr, hdr=hdr, meta=json.dumps([{**meta, "peak_nits": 250.0} for meta in metas]))
    told = []

    def curve_of(small, peak_nits):
        told.extend(peak_nits.tolist())
        return CURVE_OF(small, peak_nits)

    pairs = load_set([path], curve_of, lambda meta: True, 2)
    batch = pairs.take(np.arange(2), np.zeros((2, 5), dtype=np.int64))
    assert told == batch.peak_nits.tolist() == [1000.0, 1000.0]


def test_the_shipped_recipe_is_one_and_a_misspelt_one_is_refused(tmp_path):
    recipe = Path(__file__).parents[2] / "configs" / "training" / "itm_local.yaml"
    assert load_config(recipe).name == "lumen-local"
    (tmp_path / "bad.yaml").write_text(recipe.read_text(encoding="utf-8") + "stepz: 3\n")
    with pytest.raises(UsageError, match="stepz"):
        load_config(tmp_path / "bad.yaml")
    config = LocalConfig.model_validate(
        {**QUICK, "base": "lumen-shot", "base_weights": tmp_path / "none", "steps": 1}
    )
    with pytest.raises(UsageError, match="weights of lumen-shot"):
        train(config, write_pairs(tmp_path / "data"), tmp_path / "out")
