"""The eye alone: the vision tower learns to say, cell by cell, what is wrong with real samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from analysis.mllm.diagnostic import CELLS
from training.learner import Loss
from training.mllm_collate import TOKENS, image_grids, pixel_values
from training.mllm_dense import Said, Samples, Told, dense_figures, dense_losses, region_loss
from training.mllm_model import CellHead


class Weights(NamedTuple):
    """Of the parts of `head_loss` whose weight is not 1: regions' edges, and what tokens hold beside the head's
    directions."""

    region: float = 1.0
    aside: float = 0.0


EVEN = Weights()


def eye_loss(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batch: Samples, weights: Weights) -> Loss:
    """How badly the vision tower's tokens describe the batch; see `head_loss`. Wants a model that was sped up."""
    tokens = eye_tokens(model, batch.pictures, batch.statistics)
    return head_loss(head, tokens, Due(batch.cells, batch.grades, batch.regions), weights)


def eye_tokens(
    model: Qwen2_5_VLForConditionalGeneration, pictures: NDArray[np.uint8], statistics: NDArray[np.uint8]
) -> Tensor:
    """(n, 184, hidden): what the vision tower makes of (n, 140, 224, 3) and (n, 9, 16, 48). For a model sped up."""
    pixels = pixel_values(pictures, statistics, repeats=1)
    found = model.model.visual(pixels, grid_thw=image_grids(len(pictures)), return_dict=True).pooler_output
    return found.unflatten(0, (len(pictures), -1))


def head_told(head: CellHead, tokens: Tensor) -> Told:
    """What (n, 184, hidden) tokens of the two pictures say; of the grades, both pictures alike."""
    both = tokens.split(TOKENS, dim=1)
    cells, regions = (read(both[1]).unflatten(1, CELLS) for read in (head.cells, head.regions))
    grades = torch.stack([head.picture(part).mean(1) for part in both]).mean(0)
    return Told(cells, grades, regions)


class Due(NamedTuple):
    """What tokens should say: `cells` (n, 9, 16, types, severities) and `grades` (n, 6) in [0, 1]; `regions`
    (n, 9, 16, 4, waves)."""

    cells: Tensor
    grades: Tensor
    regions: Tensor


def head_loss(head: CellHead, tokens: Tensor, due: Due, weights: Weights = EVEN) -> Loss:
    """Of the cell head on (n, 184, hidden) tokens of the two pictures: cross-entropy against soft targets, and the
    squared error of a cell's edges."""
    told = head_told(head, tokens)
    cell, grade = dense_losses(Said(told.cells, told.grades, due.cells, due.grades))
    region = region_loss(told.regions, due.regions)
    aside = tokens.float().pow(2).mean() if weights.aside else tokens.new_zeros(())
    parts = {"cell": cell, "grade": grade, "region": region, "aside": aside}
    whole = cell + grade + weights.region * region + weights.aside * aside
    return whole, {name: float(part.detach()) for name, part in parts.items()}


@torch.no_grad()
def judge(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batches: list[Samples]) -> dict[str, float]:
    """Loss on held-out samples, how well their damaged cells are found (`dense_figures`), and by how much of the
    picture the edges of a region are missed."""
    said, missed, losses = [], [], []
    for batch in batches:
        tokens = eye_tokens(model, batch.pictures, batch.statistics)
        heard = head_told(head, tokens)
        said.append(Said(heard.cells, heard.grades, batch.cells, batch.grades))
        losses.append(float(head_loss(head, tokens, Due(batch.cells, batch.grades, batch.regions))[0]))
        inside = batch.regions.flatten(3).any(3)
        # The first wave alone falls all the way across the picture: it tells an edge from every other.
        told, true = (
            torch.acos(waves[inside][..., 0].clamp(-1, 1)) / torch.pi for waves in (heard.regions, batch.regions)
        )
        missed.append((told - true).abs().flatten())
    return {
        "loss": float(np.mean(losses)),
        **dense_figures(said),
        "edge_error": float(torch.cat(missed).mean()),
    }
