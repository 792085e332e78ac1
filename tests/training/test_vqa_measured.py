"""The last stage: measurements are taken once, regressions learn from them, and what counts is what ranks better."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.vqa_clips import SMALL_SET, write_clips
from toolchain.models.networks.bilivqa import BilivqaNetwork
from toolchain.models.networks.bilivqa_front import MEASURED
from training import vqa_measured
from training.data.vqa_shards import VqaData
from training.vqa_batches import DataSet
from training.vqa_measured import Regressing, measured, regress

QUICK = Regressing(steps=30, batch=8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DataSet]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = write_clips(tmp_path_factory.mktemp("clips"), SMALL_SET)
    yield [DataSet(label, data, label) for label in data.label_names()]
    torch.set_num_threads(threads)


def test_measurements_are_taken_once(sets: list[DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(sets, tmp_path)
    assert {at: tuple(found.shape) for at, found in first.items()} == {
        (0, "train"): (9, MEASURED),
        (0, "validation"): (6, MEASURED),
    }
    monkeypatch.setattr(vqa_measured, "_measure", lambda *_: pytest.fail("measured again"))
    again = measured(sets, tmp_path)
    assert all(torch.equal(first[at], again[at]) for at in first)


def test_regressions_rank_strengths_that_the_heads_do_not(sets: list[DataSet], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = BilivqaNetwork(2).eval()
    regress(network, sets, measured(sets, tmp_path), QUICK, 0.15)
    data: VqaData = sets[0].data
    with torch.no_grad():
        scores = torch.sigmoid(network.regressions(measured(sets, tmp_path)[0, "validation"]))[:, 0].numpy()
    strengths = np.array([row.labels["one"] for row in data.rows("validation")])
    assert scores[strengths == 1.0].min() > scores[strengths < 0.5].max()
    assert ((network.blend >= 0) & (network.blend <= 1)).all()


def test_the_same_numbers_give_the_same_weights(sets: list[DataSet], tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        network = BilivqaNetwork(2).eval()
        regress(network, sets, measured(sets, tmp_path), QUICK, 0.15)
        found.append(network.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_heads_that_rank_perfectly_are_left_alone(
    sets: list[DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(_network: BilivqaNetwork, _data: VqaData, rows: list) -> torch.Tensor:  # type: ignore[type-arg]
        return torch.tensor([[row.labels["one"], row.labels["two"]] for row in rows])

    monkeypatch.setattr(vqa_measured, "_learnt", told)
    numbers = measured(sets, tmp_path)
    numbers[0, "validation"] = torch.randn(numbers[0, "validation"].shape)
    network = BilivqaNetwork(2).eval()
    regress(network, sets, numbers, Regressing(steps=1, batch=4), 0.15)
    assert float(network.blend.min()) > 0.4
