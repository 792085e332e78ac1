"""The last stage of a judging model: what its filters without weights measure of whole pictures, regressed.

The numbers never change, so they are taken once and each small regression sees every clip many times. How much it
counts beside what the heads learnt is chosen on the validation split.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from toolchain.files import write_atomic
from toolchain.models.networks.bilivqa import BilivqaNetwork
from toolchain.models.networks.bilivqa_front import MEASURED, Front
from training.data.vqa_shards import Row, VqaData
from training.learner import rate
from training.vqa_batches import DataSet, labels_of, network_input
from training.vqa_figures import srcc
from training.vqa_losses import label_losses

SPLITS = ("train", "validation")
LEAST_SPREAD = 1e-3
BLENDS = np.linspace(0.0, 1.0, 11)
Numbers = dict[tuple[int, str], Tensor]
"""(number of the data among its sources, split) -> (rows, MEASURED) in the order of `VqaData.rows`."""


class Regressing(BaseModel):
    """How the regressions learn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=3000, gt=0)
    batch: int = Field(default=128, gt=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.5, ge=0)
    noise: float = Field(default=0.3, ge=0, description="added to each number, in its spreads over the clips")
    fit_weight: float = Field(default=5.0, ge=0)
    rank_weight: float = Field(default=3.0, ge=0)


def sources(sets: Sequence[DataSet]) -> list[VqaData]:
    """The data behind the data sets, each once: several labels may be of the same clips."""
    return list({id(part.data): part.data for part in sets}.values())


@torch.no_grad()
def measured(sets: Sequence[DataSet], folder: Path) -> Numbers:
    """What is measured of every clip to train and to choose by; kept in `folder` for a training that goes on."""
    front, found = Front(), {}
    for number, data in enumerate(sources(sets)):
        for split in SPLITS:
            rows, path = data.rows(split), folder / f"measured-{number}-{split}.npy"
            kept = np.load(path, allow_pickle=False) if path.exists() else np.empty(0, np.float32)
            if kept.shape != (len(rows), MEASURED):
                kept = np.stack([_measure(front, data, row) for row in rows])
                memory = io.BytesIO()
                np.save(memory, kept, allow_pickle=False)
                write_atomic(path, memory.getvalue())
            found[number, split] = torch.from_numpy(kept)
    return found


def _measure(front: Front, data: VqaData, row: Row) -> NDArray[np.float32]:
    key, motion = (torch.from_numpy(network_input(part)[None]) for part in (data.key(row), data.motion(row)))
    return front(key, motion)[0][0].numpy()


def regress(
    network: BilivqaNetwork, sets: Sequence[DataSet], numbers: Numbers, config: Regressing, margin: float
) -> None:
    """Fit `network.regressions` to the training split, and its `blend` on the validation split, in place."""
    network.eval()
    clips = torch.cat([numbers[at, "train"] for at in range(len(sources(sets)))])
    labels = torch.cat([_labels(sets, data, "train") for data in sources(sets)])
    regressions = network.regressions
    regressions.middle.copy_(clips.mean(0))
    regressions.spread.copy_(clips.std(0) + LEAST_SPREAD)
    scaled = regressions.scaled(clips)
    for seed, part in enumerate(regressions.parts):
        _fit(part, scaled, labels, config, margin, seed)
    network.eval()
    _choose_blend(network, sets, numbers)


def _labels(sets: Sequence[DataSet], data: VqaData, split: str) -> Tensor:
    """(rows, heads) of one source's clips, NaN where a head has none."""
    part = next(part for part in sets if part.data is data)
    return torch.tensor([labels_of(sets, part, row) for row in data.rows(split)], dtype=torch.float32)


def _fit(part: nn.Module, clips: Tensor, labels: Tensor, config: Regressing, margin: float, seed: int) -> None:
    torch.manual_seed(seed)
    for layer in part.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    optimizer = torch.optim.AdamW(part.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    part.train()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate(config.steps, step)
        at = torch.randint(len(clips), (config.batch,))
        noisy = clips[at] + config.noise * torch.randn(config.batch, clips.shape[1])
        fit, correlation, rank = label_losses(torch.sigmoid(part(noisy)), labels[at], margin)
        loss = config.fit_weight * fit + correlation + config.rank_weight * rank
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _choose_blend(network: BilivqaNetwork, sets: Sequence[DataSet], numbers: Numbers) -> None:
    """Each head's share of what was learnt: that which ranks the validation clips best."""
    kept = sources(sets)
    learnt = {id(data): _learnt(network, data, data.rows("validation")) for data in kept}
    said = {id(data): network.regressions(numbers[at, "validation"]) for at, data in enumerate(kept)}
    for head, part in enumerate(sets):
        labels = np.array([row.labels.get(part.label, np.nan) for row in part.data.rows("validation")])
        known = ~np.isnan(labels)
        a, b = (side[id(part.data)][:, head].double().numpy()[known] for side in (learnt, said))
        ranks = [srcc(share * a + (1 - share) * b, labels[known]) for share in BLENDS]
        network.blend[head] = float(BLENDS[int(np.argmax(np.nan_to_num(ranks, nan=-1.0)))])


def _learnt(network: BilivqaNetwork, data: VqaData, rows: Sequence[Row]) -> Tensor:
    found = []
    for row in rows:
        key, motion = (torch.from_numpy(network_input(part)[None]) for part in (data.key(row), data.motion(row)))
        found.append(network.judged(network.features(key, motion))[0])
    return torch.stack(found)
