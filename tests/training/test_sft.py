"""Pretraining and fine-tuning of a tiny compact model: they run, they resume to the same weights, recipes load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from safetensors.torch import load_file  # noqa: E402

from analysis.mllm.families import family  # noqa: E402
from toolchain.errors import UsageError  # noqa: E402
from toolchain.events import Event, Progress  # noqa: E402
from training import mllm_pretrain, sft  # noqa: E402
from training.data.mllm_shards import Line, Shard, shard_path, write_shard  # noqa: E402
from training.mllm_maps import draw_maps  # noqa: E402
from training.mllm_model import CompactConfig, processor  # noqa: E402
from training.mllm_rows import Rows  # noqa: E402
from training.sft_rows import row_maker  # noqa: E402

TINY = CompactConfig(hidden=80, layers=1, heads=2, key_heads=1, inner=32, eye_hidden=32, eye_layers=1, eye_heads=2)
RECIPES = Path(__file__).parents[2] / "configs" / "training"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 4)):
        lines = [Line(id=f"s-{i}", source="s", split=split, report=draw_maps(rng).report) for i in range(count)]
        pictures = rng.integers(0, 256, (count, 140, 224, 3), dtype=np.uint8)
        stored = rng.integers(0, 256, (count, 9, 16, 48), dtype=np.uint8)
        write_shard(shard_path(folder, split, 0), Shard(pictures, stored, lines))
    return folder


class Killed(Exception):
    """Stands in for a kill."""


def kill_at(step: int):
    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.done == step:
            raise Killed

    return emit


def tiny_sft(**changes: object) -> sft.SftConfig:
    known = {"steps": 4, "batch": 2, "checkpoint_every": 2, "validate_every": 4, "log_every": 1, "model": TINY}
    return sft.SftConfig.model_validate({**known, **changes})


@pytest.mark.parametrize("half", ["eye", "reader"])
def test_every_recipe_of_pretraining_loads(half: str) -> None:
    assert mllm_pretrain.load_config(RECIPES / f"compact_{half}.yaml").half == half


def test_a_killed_fine_tuning_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    whole = sft.train(tiny_sft(), data, tmp_path / "whole")
    with pytest.raises(Killed):
        sft.train(tiny_sft(), data, tmp_path / "killed", kill_at(3))
    resumed = sft.train(tiny_sft(), data, tmp_path / "killed")
    due = load_file(whole / "model.safetensors")
    for name, weight in load_file(resumed / "model.safetensors").items():
        assert torch.equal(weight, due[name]), name
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "cell", "grade"} <= set(rows[0])
    assert (tmp_path / "whole" / "metrics.png").stat().st_size > 1000
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert manifest["samples"] == 8
    assert manifest["cell_head"]


def test_another_configuration_needs_another_folder(data: Path, tmp_path: Path) -> None:
    sft.train(tiny_sft(steps=1), data, tmp_path)
    with pytest.raises(UsageError, match="another configuration"):
        sft.train(tiny_sft(steps=2), data, tmp_path)


def test_a_frozen_eye_does_not_change(data: Path, tmp_path: Path) -> None:
    before = sft.train(tiny_sft(steps=1), data, tmp_path / "first")
    after = sft.train(tiny_sft(start=str(before), freeze_eye=True, cell_weight=0), data, tmp_path / "second")
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert {name for name in old if ".visual." in name or name.startswith("visual.")} == same


def test_unmerged_questions_make_four_rows_a_picture(data: Path) -> None:
    config = tiny_sft(merged=False)
    rows = Rows(data, "train")  # eight samples
    make = row_maker(rows, config, processor([family("compact").prompt().user]))
    asked = {make(place * len(rows))["completion"].split(" ")[0][:2] for place in range(4)}
    assert len(asked) == 4


def test_a_large_models_row_is_messages_and_pictures(data: Path) -> None:
    rows = Rows(data, "train")
    row = row_maker(rows, tiny_sft(family="qwen2_5_vl", start="x"), None)(0)
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert [image.size for image in row["images"]] == [(224, 140), (448, 252)]
    assert family("qwen2_5_vl").parse(row["completion"][0]["content"], (224, 140))


@pytest.mark.parametrize("half", ["eye", "reader"])
def test_a_killed_pretraining_ends_with_the_same_weights(half: str, data: Path, tmp_path: Path) -> None:
    config = mllm_pretrain.PretrainConfig.model_validate(
        {
            "half": half,
            "model": TINY,
            "steps": 4,
            "batch": 2,
            "validate_every": 4,
            "validate_most": 4,
            "checkpoint_every": 2,
        }
    )
    whole = mllm_pretrain.train(config, data, tmp_path / "whole")
    with pytest.raises(Killed):
        mllm_pretrain.train(config, data, tmp_path / "killed", kill_at(3))
    resumed = mllm_pretrain.train(config, data, tmp_path / "killed")
    due = load_file(whole / "model.safetensors")
    for name, weight in load_file(resumed / "model.safetensors").items():
        assert torch.equal(weight, due[name]), name


def test_eye_and_reader_are_joined(data: Path, tmp_path: Path) -> None:
    made = {}
    for half in ("eye", "reader"):
        config = mllm_pretrain.PretrainConfig.model_validate(
            {"half": half, "model": TINY, "steps": 1, "batch": 2, "validate_most": 2}
        )
        made[half] = mllm_pretrain.train(config, data, tmp_path / half)
    both = load_file(mllm_pretrain.join(made["eye"], made["reader"], tmp_path / "both") / "model.safetensors")
    for name, weight in both.items():
        half = "eye" if name.startswith(("visual.", "model.visual.")) else "reader"
        assert torch.equal(weight, load_file(made[half] / "model.safetensors")[name]), name


def test_a_pretraining_goes_on_from_a_checkpoint_of_its_sizes_alone(data: Path, tmp_path: Path) -> None:
    def eye(start: Path | None, **changes: object) -> Path:
        recipe = {"half": "eye", "model": TINY, "steps": 1, "batch": 2, "validate_most": 2, "average": 0.0}
        config = mllm_pretrain.PretrainConfig.model_validate(
            recipe | {"start": str(start) if start else None} | changes
        )
        return mllm_pretrain.train(config, data, tmp_path / f"{start is None}-{len(changes)}")

    first = eye(None, learning_rate=0.1)
    again = load_file(eye(first, learning_rate=1e-12, weight_decay=0.0) / "model.safetensors")
    for name, weight in load_file(first / "model.safetensors").items():
        torch.testing.assert_close(again[name], weight, atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="of other sizes"):
        eye(first, model=TINY.model_copy(update={"inner": 40}), seed=1, steps=2)


def test_an_eye_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="real samples"):
        mllm_pretrain.train(mllm_pretrain.PretrainConfig(half="eye", steps=1), None, tmp_path)
