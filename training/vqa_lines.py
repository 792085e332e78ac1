"""The last stage of a judging model: each head's straight line over the features of whole pictures.

Training saw windows, and steps by gradient leave much unsaid that a line, fitted exactly, can say. What fits best on
the validation split is kept, be it no line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolchain.models.networks.bilivqa import BilivqaNetwork
from training.data.vqa_shards import Row, VqaData
from training.vqa_batches import DataSet, network_input
from training.vqa_figures import srcc

Values = NDArray[np.float64]
LABEL_EDGE = 0.02
"""Labels are kept this far from 0 and 1 before their logit is taken."""


@torch.no_grad()
def draw_lines(network: BilivqaNetwork, sets: Sequence[DataSet], ridges: Sequence[float]) -> None:
    """Fit `network.line`, and how much the heads count beside it, in place. One pass over all whole pictures."""
    network.eval()
    seen: dict[tuple[int, str], tuple[Values, Values]] = {}
    for head, part in enumerate(sets):
        sides = []
        for split in ("train", "validation"):
            rows = part.rows(split)
            key = (id(part.data), split)
            if key not in seen:
                seen[key] = _features(network, part.data, part.data.rows(split))
            at = [index for index, row in enumerate(part.data.rows(split)) if part.label in row.labels]
            normal, said = (values[at] for values in seen[key])
            sides.append((normal, said[:, head], np.array([row.labels[part.label] for row in rows])))
        learnt, held = sides
        _draw(network, head, learnt, held, ridges)


def _features(network: BilivqaNetwork, data: VqaData, rows: Sequence[Row]) -> tuple[Values, Values]:
    """(rows, features) normalised as the heads see them, and (rows, heads) logits without a line."""
    normal, said = [], []
    for row in rows:
        pictures = (torch.from_numpy(network_input(part)[None]) for part in (data.key(row), data.motion(row)))
        features = network.features(*pictures)
        normal.append(network.shared[0](features)[0].double().numpy())
        said.append(network.judged(features)[0].double().numpy())
    return np.array(normal), np.array(said)


Side = tuple[Values, Values, Values]
"""Features, the head's logits, labels."""


def _draw(network: BilivqaNetwork, head: int, learnt: Side, held: Side, ridges: Sequence[float]) -> None:
    """Set one head's line to the best of the ridges; leave the head alone where none is better than it is."""
    least = srcc(held[1], held[2])
    fits = [_ridge(learnt, ridge) for ridge in ridges]
    ranks = [srcc(held[0] @ weight + share * held[1], held[2]) for weight, share, _ in fits]
    if not fits or max(ranks) <= least:
        return
    weight, share, bias = fits[int(np.argmax(ranks))]
    network.line.weight[head] = torch.from_numpy(weight).float()
    network.line.bias[head] = bias
    for tensor in network.last_of(head):
        tensor.mul_(share)


def _ridge(side: Side, ridge: float) -> tuple[Values, float, float]:
    """Weights of the features, of the head's logit, and the bias that fit the labels' logits best; only the features'
    weights cost."""
    features, said, labels = side
    inside = np.clip(labels, LABEL_EDGE, 1 - LABEL_EDGE)
    wanted = np.log(inside / (1 - inside))
    columns = np.column_stack([features, said, np.ones(len(said))])
    cost = np.diag([ridge] * features.shape[1] + [1e-6, 1e-6])
    found = np.linalg.solve(columns.T @ columns + cost, columns.T @ wanted)
    return found[:-2].astype(np.float64), float(found[-2]), float(found[-1])
