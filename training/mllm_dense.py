"""What a network says of samples cell by cell: the samples it learns from, the loss, and how well cells are found.

The eye of the compact model and the plain convolutional net share it, so that one can be held against the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from analysis.mllm.code import TYPE_WORDS
from training.data.mllm_augment import mirrored
from training.mllm_collate import cell_targets, picture_targets, region_targets
from training.mllm_paste import Pasting, Sample
from training.mllm_rows import Rows

REGION_GAIN = 4.0
"""How much more a cell in a region counts than one in none, of which there are ten times as many."""


class Samples(NamedTuple):
    """Pictures (n, 140, 224, 3) and statistics (n, 9, 16, 48), uint8, with their targets in [0, 1].

    `cells` (n, 9, 16, types, severities) and `grades` (n, 6) are float32; `regions` (n, 9, 16, 4, waves) are the
    edges of the region that a cell lies in (`training.mllm_collate.region_targets`).
    """

    pictures: NDArray[np.uint8]
    statistics: NDArray[np.uint8]
    cells: Tensor
    grades: Tensor
    regions: Tensor


class Told(NamedTuple):
    """Logits of cells (n, 9, 16, types, severities) and of grades (n, 6), and regions' edges (n, 9, 16, 4, waves)."""

    cells: Tensor
    grades: Tensor
    regions: Tensor


class Said(NamedTuple):
    """Logits of cells (n, 9, 16, types, severities) and of grades (n, 6), with their targets."""

    cells: Tensor
    grades: Tensor
    true_cells: Tensor
    true_grades: Tensor


class SampleData:
    """Batches of real samples; `pasted` of them have their regions from other samples (`training.mllm_paste`)."""

    def __init__(self, folder: Path, batch: int, seed: int, validate_most: int, pasted: float = 0.0):
        self._train, self._held = Rows(folder, "train"), Rows(folder, "validation", validate_most)
        self._batch, self._seed = batch, seed
        self._pasting, self._pasted = Pasting(self._train), round(pasted * batch)

    def batch(self, step: int) -> Samples:
        """The step's samples, every second one mirrored; the same for the same step."""
        rng = np.random.default_rng([self._seed, step])
        pasted = self._pasted if self._pasting else 0
        samples = [stored(self._train, place) for place in rng.integers(len(self._train), size=self._batch - pasted)]
        samples += [self._pasting.draw(rng) for _ in range(pasted)]
        return joined([mirrored(*sample) if rng.random() < 0.5 else sample for sample in samples])

    def held_out(self) -> list[Samples]:
        """The validation samples in batches."""
        samples = [stored(self._held, place) for place in range(len(self._held))]
        return [joined(samples[i : i + self._batch]) for i in range(0, len(samples), self._batch)]


def stored(rows: Rows, place: int) -> Sample:
    return rows.picture(place), rows.statistics(place), rows.line(place).report


def joined(samples: Sequence[Sample]) -> Samples:
    """Samples with their targets."""
    reports = [report for _, _, report in samples]
    pictures, statistics = (np.stack(part) for part in list(zip(*samples, strict=True))[:2])
    makers = (cell_targets, picture_targets, region_targets)
    targets = [torch.from_numpy(np.stack(list(map(make, reports)))) for make in makers]
    return Samples(pictures, statistics, *targets)


def dense_losses(said: Said) -> tuple[Tensor, Tensor]:
    """Cross-entropy against the soft targets: of a whole cell, and of one grade."""
    outputs = said.true_cells[0, 0, 0].numel()
    cell = functional.binary_cross_entropy_with_logits(said.cells, said.true_cells) * outputs
    return cell, functional.binary_cross_entropy_with_logits(said.grades, said.true_grades)


def region_loss(told: Tensor, true: Tensor) -> Tensor:
    """Squared error of the edges that cells tell, (n, 9, 16, 4, waves)."""
    missed = functional.mse_loss(told, true, reduction="none").sum((-2, -1))
    return (missed * (1 + REGION_GAIN * true.flatten(3).any(3))).mean()


def dense_figures(batches: Iterable[Said]) -> dict[str, float]:
    """How well damaged cells are found: precision and recall at even odds, type by type and then averaged, and the
    share of frames whose dynamic range is graded exactly."""
    right = []
    hits, found, real = (torch.zeros(len(TYPE_WORDS), dtype=torch.float64) for _ in range(3))
    for said in batches:
        seen, true = said.cells[..., 0] > 0, said.true_cells[..., 0] > 0.5
        for total, cases in ((hits, seen & true), (found, seen), (real, true)):
            total += cases.sum((0, 1, 2))
        right.append(((said.grades[:, :4] > 0).sum(1) == said.true_grades[:, :4].sum(1)).double())
    f1 = (2 * hits / (found + real).clamp_min(1))[real > 0]
    return {"cell_f1": float(f1.mean()), "range_exact": float(torch.cat(right).mean())}
