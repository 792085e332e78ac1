"""The line beside a head: fitted exactly, kept only where it ranks the validation split better."""

from __future__ import annotations

import numpy as np
import torch

from toolchain.models.networks.bilivqa import BilivqaNetwork
from training.vqa_lines import _draw, _ridge

Side = tuple[np.ndarray, np.ndarray, np.ndarray]


def side(network: BilivqaNetwork, seed: int, told: bool) -> Side:
    """Labels that hang on the first feature; the head's logit says nothing, or all."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((200, network.line.in_features))
    labels = 1 / (1 + np.exp(-features[:, 0]))
    return features, features[:, 0] if told else rng.standard_normal(200), labels


def test_a_line_is_found_where_the_head_says_nothing() -> None:
    network = BilivqaNetwork(2)
    before = network.heads[1][-1].weight.detach().clone()  # type: ignore[index,union-attr]
    with torch.no_grad():
        _draw(network, 1, side(network, 0, False), side(network, 1, False), (30.0,))
    assert int(network.line.weight[1].argmax()) == 0
    assert torch.equal(network.line.weight[0], torch.zeros_like(network.line.weight[0]))
    assert float(network.heads[1][-1].weight.detach().abs().sum()) < 0.5 * float(before.abs().sum())  # type: ignore[index,union-attr]


def test_a_head_that_ranks_perfectly_is_left_alone() -> None:
    network = BilivqaNetwork(1)
    with torch.no_grad():
        _draw(network, 0, side(network, 0, True), side(network, 1, True), (30.0,))
    assert not network.line.weight.any()


def test_the_head_s_own_weight_costs_nothing() -> None:
    network = BilivqaNetwork(1)
    weight, share, bias = _ridge(side(network, 0, True), 1e6)
    assert abs(share - 1) < 0.1
    assert float(np.abs(weight).max()) < 1e-2
    assert abs(bias) < 0.1
