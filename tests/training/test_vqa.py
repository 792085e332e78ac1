"""The judging model's recipe: batches, losses, a training that stops and goes on, and its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from analysis.vqa.bilivqa import load_weights, shipped_model
from tests.training.vqa_clips import SMALL_SET, write_clips
from toolchain.errors import InputError, UsageError
from toolchain.events import Event, Progress
from toolchain.models.networks.bilivqa import BilivqaNetwork
from training import vqa
from training.data.vqa_shards import VqaData
from training.vqa import Pupil, VqaConfig, _pupil, load_config, loss_of, open_data, predict, settle, train
from training.vqa_batches import Batch, BatchPlan, DataSet, Draws, Hints, Windows, _windowed
from training.vqa_measured import Regressing
from training.vqa_worsen import KINDS

SMALL = VqaConfig(
    steps=2,
    batch=4,
    group=2,
    worsened=1,
    windows=(Windows(from_step=0, key=(64, 64), frames=8, motion=(32, 32)),),
    learning_rate=1e-3,
    validate_every=2,
    validate_most=2,
    checkpoint_every=1,
    regressing=Regressing(steps=2, batch=4),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VqaData]:
    threads = torch.get_num_threads()
    yield write_clips(tmp_path_factory.mktemp("clips"), SMALL_SET)
    torch.set_num_threads(threads)


def sets_of(data: VqaData) -> list[DataSet]:
    return [DataSet(label, data, label) for label in data.label_names()]


def draws(sets: list[DataSet]) -> Draws:
    return Draws(sets, BatchPlan(SMALL.batch, SMALL.group, SMALL.worsened, SMALL.windows, SMALL.seed))


def test_the_recipe_that_ships_fits_its_class() -> None:
    config = load_config(Path("configs/training/vqa.yaml"))
    assert config.name == "bilivqa"
    assert config.batch % len(config.labels) == 0  # label sources in equal parts


@pytest.mark.parametrize("starts", [(1,), (0, 0), (0, 5, 3)])
def test_windows_must_rise_from_the_first_step(starts: tuple[int, ...]) -> None:
    windows = tuple(Windows(from_step=step, key=(64, 64), frames=8, motion=(32, 32)) for step in starts)
    with pytest.raises(ValueError, match="rise"):
        VqaConfig(steps=1, windows=windows, learning_rate=1e-3)


def test_a_batch_is_decided_by_its_step_and_has_equal_parts(clips: VqaData) -> None:
    first, again = (draws(sets_of(clips)).batch(7) for _ in range(2))
    other = draws(sets_of(clips)).batch(8)
    assert first.key.shape == (5, 3, 64, 64)
    assert first.motion.shape == (5, 3, 8, 32, 32)
    assert torch.equal(first.key, again.key)
    assert torch.equal(first.labels[:4], again.labels[:4])
    assert torch.equal(first.origins, again.origins)
    assert not torch.equal(first.key, other.key)
    assert 0 <= float(first.motion.min()) <= float(first.motion.max()) <= 1


def test_a_data_set_of_its_own_teaches_its_own_head_alone(clips: VqaData) -> None:
    other = VqaData(clips.folder, clips.manifest, clips.titles)
    sets = [DataSet("one", clips, "one"), DataSet("elsewhere", other, "two")]
    labels = draws(sets).batch(0).labels
    assert torch.isnan(labels[:2, 1]).all()
    assert torch.isnan(labels[2:, 0]).all()
    assert torch.isnan(labels[4]).all()  # the worsened one
    assert not torch.isnan(labels[:2, 0]).any()


class Said(Pupil):
    """Answers what it is told to."""

    def __init__(self, scores: list[list[float]]):
        super().__init__(len(scores[0]), 1)
        self.said = torch.tensor(scores)

    def answers(self, key: torch.Tensor, motion: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.said, torch.zeros(len(self.said), 1)


def batch_of(labels: list[list[float]]) -> Batch:
    nothing, none = torch.empty(0), torch.empty(0, dtype=torch.long)
    return Batch(nothing, nothing, torch.tensor(labels), torch.full((len(labels), 1), float("nan")), none, nothing)


def test_the_loss_is_least_for_the_labels_and_grows_with_wrong_pairs() -> None:
    batch = batch_of([[0.9], [0.5], [0.1]])
    right, close, reverse = (
        loss_of(Said(scores), batch, SMALL)[0].item()
        for scores in ([[0.9], [0.5], [0.1]], [[0.6], [0.5], [0.4]], [[0.1], [0.5], [0.9]])
    )
    assert right == pytest.approx(0, abs=5e-3)
    assert right < close < reverse


def test_labels_that_are_missing_teach_nothing() -> None:
    nan = float("nan")
    batch = batch_of([[0.9, nan], [0.1, nan], [nan, 0.2], [nan, 0.7]])
    scores = [[0.9, 0.0], [0.1, 0.0], [0.0, 0.2], [0.0, 0.7]]
    loss, _ = loss_of(Said(scores), batch, SMALL)
    assert loss.item() == pytest.approx(0, abs=1e-2)


def test_a_stopped_training_goes_on_to_the_same_weights(
    clips: VqaData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vqa, "SETTLED_ON", 4)
    whole = train(SMALL, [clips.folder], tmp_path / "whole")
    stopped = tmp_path / "stopped"

    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SMALL, [clips.folder], stopped, emit=stop)
    assert (stopped / "checkpoint.pt").exists()
    resumed = train(SMALL, [clips.folder], stopped)
    first, second = load_file(whole), load_file(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_weights(resumed).heads == ("one", "two")
    figures = json.loads((stopped / "metrics.json").read_text(encoding="utf-8"))
    assert figures["heads"]["one"]["rows"] == 6
    assert figures["clean_over_severe"]["one"]["all"]["pairs"] == 2
    assert (stopped / "metrics.png").stat().st_size > 0


def test_sources_that_share_a_name_or_hold_nothing_are_refused(clips: VqaData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="share a name"):
        open_data([clips.folder, clips.folder], None, SMALL, tmp_path, lambda _: None)
    with pytest.raises(InputError, match="not a finished set"):
        open_data([tmp_path], None, SMALL, tmp_path, lambda _: None)
    only = write_clips(tmp_path / "only", {"a-0": "train"})
    with pytest.raises(InputError, match="no clips to train on or to validate with"):
        open_data([only.folder], None, SMALL, tmp_path, lambda _: None)


def test_a_worsened_clip_must_score_below_what_it_was_made_of() -> None:
    nan = float("nan")
    batch = batch_of([[0.8], [0.2], [nan]])
    worse = replace(batch, origins=torch.tensor([0]), shares=torch.tensor([1.0]))
    lower, same = (loss_of(Said([[0.8], [0.2], [score]]), worse, SMALL)[1]["worse"] for score in (0.5, 0.8))
    assert lower == 0
    assert same == pytest.approx(0.25 * 0.8)


def test_the_same_window_is_cut_from_a_title_s_versions(clips: VqaData) -> None:
    rows = clips.rows("train")[:3]
    first, again = (_windowed(clips, rows[0], SMALL.windows[0], [0, step]) for step in (1, 1))
    noisy = _windowed(clips, rows[1], SMALL.windows[0], [0, 1])
    np.testing.assert_array_equal(first[0], again[0])
    assert np.corrcoef(first[0].ravel(), noisy[0].ravel())[0, 1] > 0.1  # the same place under noise


def test_settling_takes_the_statistics_of_whole_pictures(clips: VqaData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vqa, "SETTLED_ON", 4)
    torch.manual_seed(0)
    network = BilivqaNetwork(2)
    settle(network, sets_of(clips))
    once = {name: value.clone() for name, value in network.named_buffers()}
    settle(network, sets_of(clips))
    assert all(torch.equal(once[name], value) for name, value in network.named_buffers())
    assert not network.training
    assert float(network.spatial.stem[1].running_var.mean()) != 1  # type: ignore[index,union-attr]


def test_a_training_can_begin_with_the_shipped_extractors_and_heads_of_its_own(clips: VqaData) -> None:
    pupil = _pupil(SMALL.model_copy(update={"start": "shipped"}), sets_of(clips)[:1])
    shipped = shipped_model().network
    assert len(pupil.heads) == 1
    assert torch.equal(pupil.spatial.stem[0].weight, shipped.spatial.stem[0].weight)  # type: ignore[arg-type,index]
    assert pupil.blend.tolist() == [1.0]


def test_normalisation_never_goes_by_the_batch() -> None:
    torch.manual_seed(0)
    pupil = Pupil(1, 1).train()
    key, motion = torch.rand(3, 3, 64, 64), torch.rand(3, 3, 8, 32, 32)
    together, alone = pupil.answers(key, motion)[0], pupil.answers(key[:1], motion[:1])[0]
    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_worsening_changes_the_clip_and_stays_in_range(kind: str) -> None:
    rng = np.random.default_rng(3)
    key = cv2.GaussianBlur(rng.random((64, 96, 3)).astype(np.float32), (0, 0), 3)
    motion = np.stack([cv2.resize(key, (40, 36)) * np.float32(1 - 0.01 * index) for index in range(8)])
    before = key.copy(), motion.copy()
    after = KINDS[kind](key, motion, 1.0, rng)
    np.testing.assert_array_equal(before[0], key)
    np.testing.assert_array_equal(before[1], motion)
    assert [part.shape for part in after] == [key.shape, motion.shape]
    assert all(np.isfinite(part).all() for part in after)
    assert max(float(np.abs(a - b).max()) for a, b in zip(after, before, strict=True)) > 0.01


def test_hints_name_the_damage_and_rank_the_metrics(clips: VqaData) -> None:
    rows = [replace(row, raw={"e": float(index)}) for index, row in enumerate(clips.rows("train")[:3])]
    data = VqaData(clips.folder, clips.manifest, {rows[0].title: rows})
    hints = Hints([DataSet("one", data, "one")])
    assert [hints.of(row) for row in rows] == [[0.0, 0.0], [0.4, pytest.approx(1 / 3)], [1.0, pytest.approx(2 / 3)]]
    assert np.isnan(hints.of(replace(rows[0], kind="opinion"))).all()


def test_scores_do_not_depend_on_the_other_heads_of_a_checkpoint(clips: VqaData) -> None:
    network = BilivqaNetwork(2).eval()
    rows = clips.rows("test")
    both = predict(network, clips, rows)
    np.testing.assert_array_equal(both[2:3], predict(network, clips, rows[2:3]))
