"""The eye alone: the vision tower learns to say, cell by cell, what is wrong with real samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from training.data.mllm_augment import mirrored
from training.learner import Loss
from training.mllm_collate import TOKENS, TYPES, cell_targets, image_grids, picture_targets, pixel_values
from training.mllm_model import CellHead
from training.mllm_rows import Rows

EyeBatch = tuple[Tensor, Tensor, Tensor]
"""Pixels, cells (n, 9, 16, types, severities) and grades (n, 6), the targets in [0, 1]."""


class EyeData:
    """Batches of real samples."""

    def __init__(self, folder: Path, batch: int, seed: int, validate_most: int):
        self._train, self._held = Rows(folder, "train"), Rows(folder, "validation", validate_most)
        self._batch, self._seed = batch, seed

    def batch(self, step: int) -> EyeBatch:
        """The step's samples; the same for the same step."""
        rng = np.random.default_rng([self._seed, step])
        places = rng.integers(len(self._train), size=self._batch)
        return load(self._train, places, rng.random(self._batch) < 0.5)

    def held_out(self) -> list[EyeBatch]:
        """The validation samples in batches."""
        places = np.arange(len(self._held))
        return [load(self._held, places[i : i + self._batch]) for i in range(0, len(places), self._batch)]


def load(rows: Rows, places: NDArray[np.integer], turned: NDArray[np.bool_] | None = None) -> EyeBatch:
    """Samples as the eye takes them, with their targets; those `turned` mirrored left to right."""
    samples = [(rows.picture(place), rows.statistics(place), rows.line(place).report) for place in places.tolist()]
    if turned is not None:
        samples = [mirrored(*sample) if flip else sample for sample, flip in zip(samples, turned, strict=True)]
    reports = [report for _, _, report in samples]
    pictures, stored = (np.stack(part) for part in list(zip(*samples, strict=True))[:2])
    cells, grades = (np.stack([make(one) for one in reports]) for make in (cell_targets, picture_targets))
    return pixel_values(pictures, stored, repeats=1), torch.from_numpy(cells), torch.from_numpy(grades)


def eye_loss(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batch: EyeBatch, aside_weight: float) -> Loss:
    """How badly the vision tower's tokens describe the batch; see `head_loss`. Wants a model that was sped up."""
    pixels, cells, grades = batch
    found = model.model.visual(pixels, grid_thw=image_grids(len(cells)), return_dict=True).pooler_output
    return head_loss(head, found.unflatten(0, (len(cells), -1)), cells, grades, aside_weight)


def head_loss(head: CellHead, tokens: Tensor, cells: Tensor, grades: Tensor, aside_weight: float = 0.0) -> Loss:
    """Cross-entropy of the cell head on (n, 184, hidden) tokens of the two pictures, against soft targets.

    `cells` (n, 9, 16, types, severities) and `grades` (n, 6) lie in [0, 1].
    """
    shrunk, diagnostic = tokens.split(TOKENS, dim=1)
    logits = head.cells(diagnostic)
    cell = functional.binary_cross_entropy_with_logits(logits, cells.flatten(1, 2)) * logits[0, 0].numel()
    told = head.picture(shrunk).mean(1)
    grade = functional.binary_cross_entropy_with_logits(told, grades)
    aside = tokens.float().pow(2).mean() if aside_weight else tokens.new_zeros(())
    parts = {"cell": cell, "grade": grade, "aside": aside}
    return cell + grade + aside_weight * aside, {name: float(value.detach()) for name, value in parts.items()}


@torch.no_grad()
def judge(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batches: list[EyeBatch]) -> dict[str, float]:
    """Loss on held-out samples, and how well damaged cells are found: precision and recall at even odds, type by type
    and then averaged, and the share of frames whose dynamic range is graded exactly."""
    losses, right = [], []
    hits, said, real = (torch.zeros(len(TYPES), dtype=torch.float64) for _ in range(3))
    for pixels, cells, grades in batches:
        found = model.model.visual(pixels, grid_thw=image_grids(len(cells)), return_dict=True).pooler_output
        tokens = found.unflatten(0, (len(cells), -1))
        losses.append(float(head_loss(head, tokens, cells, grades)[0]))
        shrunk, diagnostic = tokens.split(TOKENS, dim=1)
        seen, true = head.cells(diagnostic)[..., 0] > 0, cells.flatten(1, 2)[..., 0] > 0.5
        for total, cases in ((hits, seen & true), (said, seen), (real, true)):
            total += cases.sum((0, 1))
        told = head.picture(shrunk).mean(1)[:, :4] > 0
        right.append((told.sum(1) == grades[:, :4].sum(1)).double())
    f1 = (2 * hits / (said + real).clamp_min(1))[real > 0]
    return {
        "loss": float(np.mean(losses)),
        "cell_f1": float(f1.mean()),
        "range_exact": float(torch.cat(right).mean()),
    }
