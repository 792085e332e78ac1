"""The plain convolutional net: it learns, goes on after a kill to the same bits, and answers through its cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from agent.cli.main import main  # noqa: E402
from analysis.mllm import code  # noqa: E402
from analysis.mllm.families import family  # noqa: E402
from toolchain.errors import InputError, UsageError  # noqa: E402
from toolchain.events import Event, Progress  # noqa: E402
from training.answers_cells import ConvModel, HeadModel, answer_cells, dense_model  # noqa: E402
from training.data.mllm_shards import Line, Shard, shard_path, write_shard  # noqa: E402
from training.evaluate import evaluate  # noqa: E402
from training.evaluate_files import read_frames  # noqa: E402
from training.mllm_cells import load_read_out  # noqa: E402
from training.mllm_conv import WEIGHTS, ConvConfig, ConvNet, load_config, load_net, train  # noqa: E402
from training.mllm_model import CellHead, CompactConfig, compact_model, processor  # noqa: E402

ANSWERS = (
    "dr4 ct2 ; noise minor global ; key 0 ; qd",
    "dr2 ct1 ; clean ; qj",
    "dr3 ct3 ; blocks severe local p05 p10 p30 p40 ; key 0 ; qc",
)
RECIPE = ConvConfig(
    width=16, shrunk_width=8, blocks=1, dropout=0.0, steps=90, batch=6, learning_rate=2e-2, average=0.9,
    bf16=False, validate_every=45, checkpoint_every=30,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples a split; statistics show the damage, global or in its box, as the report tells it."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        lines = [
            Line(id=f"{split}{i}", source=f"s{i}", split=split, report=code.decode(ANSWERS[i % 3])) for i in range(6)
        ]
        picture = rng.integers(0, 40, (6, 140, 224, 3), dtype=np.uint8)
        statistics = rng.integers(0, 40, (6, 9, 16, 48), dtype=np.uint8)
        statistics[::3, :, :, 0] += 200
        statistics[2::3, 2:8, 2:10, 1] += 200
        picture[::3] += 100
        write_shard(shard_path(folder, split, 0), Shard(picture, statistics, lines))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert train(RECIPE, data, out) == out / WEIGHTS
    return out


def test_the_recipe_that_ships_is_of_about_a_million_parameters() -> None:
    config = load_config(Path("configs/training/compact_conv.yaml"))
    assert 1.0e6 < sum(weight.numel() for weight in ConvNet(config).parameters()) < 1.2e6


def test_it_learns_and_leaves_metrics_and_their_plot(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [45, 90]
    assert rows[-1]["held_out_loss"] < 0.5 * rows[0]["held_out_loss"]
    assert rows[-1]["cell_f1"] > 0.9
    assert (trained / "metrics.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_training_goes_on_to_the_same_bits(data: Path, trained: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 70:
            raise Killed

    with pytest.raises(Killed):
        train(RECIPE, data, tmp_path, kill)
    assert not (tmp_path / WEIGHTS).exists()
    train(RECIPE, data, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (trained / WEIGHTS).read_bytes()
    with pytest.raises(UsageError, match="another configuration"):
        train(RECIPE.model_copy(update={"width": 24}), data, tmp_path)


def test_its_cells_are_read_into_answers(data: Path, trained: Path, tmp_path: Path) -> None:
    model = dense_model(trained)
    assert isinstance(model, ConvModel)
    out = answer_cells(model, data, "test", tmp_path / "out")
    figures = evaluate(read_frames(out, data / "test")).figures
    for name in ("valid", "detection_f1", "severity_exact", "key_f1", "pristine", "dynamic_range_exact"):
        assert figures[name].value == 1.0, name
    assert load_read_out(out / "read_out.json").model == model.name
    lines = (out / "00000.jsonl").read_bytes()
    kept = answer_cells(model, data, "test", tmp_path / "again", out / "read_out.json")
    assert (kept / "00000.jsonl").read_bytes() == lines and not (kept / "read_out.json").exists()
    other = tmp_path / "other.json"
    other.write_text((out / "read_out.json").read_text().replace(model.name, "conv:another"))
    with pytest.raises(UsageError, match="was fitted to conv:another"):
        answer_cells(model, data, "test", tmp_path / "third", other)


def test_the_cell_head_of_a_checkpoint_answers_as_the_net_does(data: Path, tmp_path: Path) -> None:
    sizes = CompactConfig(
        hidden=80, layers=1, heads=2, key_heads=1, inner=64, eye_hidden=32, eye_layers=1, eye_heads=2
    )
    model = tmp_path / "model"
    compact_model(sizes).save_pretrained(model)
    processor([family("compact").prompt().user]).save_pretrained(model)
    CellHead(sizes.hidden).save(model)
    found = dense_model(model)
    assert isinstance(found, HeadModel)
    told = found.tell(np.zeros((2, 140, 224, 3), np.uint8), np.zeros((2, 9, 16, 48), np.uint8))
    assert [tuple(part.shape) for part in told] == [(2, 9, 16, len(code.TYPE_WORDS), 3), (2, 6), (2, 9, 16, 4, 4)]
    out = tmp_path / "out"
    asked = ["train", "answer", "--engine", "cells", "--model", str(model), "--data", str(data), "--out", str(out)]
    assert main(asked) == 0
    assert evaluate(read_frames(out, data / "test")).figures["valid"].value == 1.0
    (model / "cell_head.tensors").unlink()
    assert main(asked) == InputError.exit_code


def test_the_net_is_trained_and_asked_from_the_command_line(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, made, out = tmp_path / "conv.yaml", tmp_path / "made", tmp_path / "out"
    recipe.write_text(RECIPE.model_dump_json())  # JSON is YAML
    given = ["--data", str(data), "--out"]
    assert main(["train", "conv", "--config", str(recipe), *given, str(made)]) == 0
    assert (made / WEIGHTS).read_bytes() == (trained / WEIGHTS).read_bytes()
    capsys.readouterr()
    asked = ["train", "answer", "--engine", "cells", *given, str(out), "--split", "validation"]
    assert main([*asked, "--model", str(made)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert main(["train", "eval", "--format", "frames", "--pred", str(out), "--truth", str(data / "validation")]) == 0
    assert "| detection F1: right type, IoU >= 0.5 | 1.000 |" in capsys.readouterr().out
    assert main(asked) == UsageError.exit_code  # names no model


def test_what_is_no_net_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\x00" * 64):
        (tmp_path / WEIGHTS).write_bytes(content)
        with pytest.raises(InputError, match="holds no convolutional net"):
            load_net(tmp_path / WEIGHTS)
