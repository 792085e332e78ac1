"""How far a judging model's scores are from their labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def label_losses(scores: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Means over heads of how far scores (N, heads) are from labels, how badly they correlate, and how pairs stand:
    as far apart as their labels, up to `margin`.

    Labels are NaN where unknown; a head with fewer than two is left out.
    """
    parts = []
    for head in range(scores.shape[1]):
        known = ~torch.isnan(labels[:, head])
        if int(known.sum()) > 1:
            parts.append(_head_losses(scores[known, head], labels[known, head], margin))
    fit, correlation, rank = torch.stack([torch.stack(part) for part in parts]).mean(0)
    return fit, correlation, rank


def _head_losses(scores: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    fit = functional.smooth_l1_loss(scores, labels, beta=0.05)
    a, b = scores - scores.mean(), labels - labels.mean()
    correlation = 1 - (a * b).sum() / (a.norm() * b.norm() + 1e-3)
    due = labels[:, None] - labels[None]
    have = scores[:, None] - scores[None]
    pairs = due > 0.01
    short = (due.clamp(max=margin) - have).clamp_min(0)
    rank = (short * pairs).sum() / pairs.sum().clamp_min(1)
    return fit, correlation, rank
