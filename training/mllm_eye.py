"""The eye alone: the vision tower learns to say, cell by cell, what is wrong with real samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from analysis.mllm.diagnostic import CELLS
from training.learner import Loss
from training.mllm_collate import TOKENS, image_grids, pixel_values
from training.mllm_dense import Said, Samples, dense_figures, dense_losses
from training.mllm_model import CellHead


def eye_loss(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batch: Samples, aside_weight: float) -> Loss:
    """How badly the vision tower's tokens describe the batch; see `head_loss`. Wants a model that was sped up."""
    tokens = eye_tokens(model, batch.pictures, batch.statistics)
    return head_loss(head, tokens, batch.cells, batch.grades, aside_weight)


def eye_tokens(
    model: Qwen2_5_VLForConditionalGeneration, pictures: NDArray[np.uint8], statistics: NDArray[np.uint8]
) -> Tensor:
    """(n, 184, hidden): what the vision tower makes of (n, 140, 224, 3) and (n, 9, 16, 48). For a model sped up."""
    pixels = pixel_values(pictures, statistics, repeats=1)
    found = model.model.visual(pixels, grid_thw=image_grids(len(pictures)), return_dict=True).pooler_output
    return found.unflatten(0, (len(pictures), -1))


def head_logits(head: CellHead, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 184, hidden) tokens of the two pictures -> logits (n, 9, 16, types, severities) and (n, 6)."""
    shrunk, diagnostic = tokens.split(TOKENS, dim=1)
    return head.cells(diagnostic).unflatten(1, CELLS), head.picture(shrunk).mean(1)


def head_loss(head: CellHead, tokens: Tensor, cells: Tensor, grades: Tensor, aside_weight: float = 0.0) -> Loss:
    """Cross-entropy of the cell head on (n, 184, hidden) tokens of the two pictures, against soft targets.

    `cells` (n, 9, 16, types, severities) and `grades` (n, 6) lie in [0, 1].
    """
    cell, grade = dense_losses(Said(*head_logits(head, tokens), cells, grades))
    aside = tokens.float().pow(2).mean() if aside_weight else tokens.new_zeros(())
    parts = {"cell": cell, "grade": grade, "aside": aside}
    return cell + grade + aside_weight * aside, {name: float(value.detach()) for name, value in parts.items()}


@torch.no_grad()
def judge(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batches: list[Samples]) -> dict[str, float]:
    """Loss on held-out samples, and how well their damaged cells are found (`dense_figures`)."""
    said = [
        Said(*head_logits(head, eye_tokens(model, batch.pictures, batch.statistics)), batch.cells, batch.grades)
        for batch in batches
    ]
    loss = float(np.mean([float(sum(dense_losses(one))) for one in said]))
    return {"loss": loss, **dense_figures(said)}
