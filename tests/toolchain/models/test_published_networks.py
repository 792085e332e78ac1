"""The published SDR-to-HDR networks: their shape without weights, their published behaviour with them."""

from __future__ import annotations

import pytest
import torch

from toolchain.models.networks.base import SdrToHdrNetwork
from toolchain.models.networks.registry import build_network
from toolchain.models.networks.resize import quarter_bicubic
from toolchain.models.networks.whole import run_whole

PARAMETERS = {"agcm": 35_251}


def network_of(model_id: str) -> SdrToHdrNetwork:
    torch.manual_seed(0)
    network = build_network(model_id)
    assert isinstance(network, SdrToHdrNetwork)
    return network


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("model_id", PARAMETERS)
def test_parameter_count_is_the_published_one(model_id: str):
    assert sum(parameter.numel() for parameter in network_of(model_id).parameters()) == PARAMETERS[model_id]


@pytest.mark.parametrize("model_id", PARAMETERS)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (77, 101), (30, 18)])
def test_a_whole_picture_keeps_its_size_and_range(model_id: str, height: int, width: int):
    network = network_of(model_id)
    for rgb in (torch.zeros(1, 3, height, width), torch.ones(1, 3, height, width), picture(height, width)):
        with torch.inference_mode():
            pq = run_whole(network, rgb)
        assert pq.shape == rgb.shape
        assert torch.isfinite(pq).all()
        assert pq.min() >= 0 and pq.max() <= 1


def test_quarter_bicubic_rounds_the_size_up_and_keeps_flat_pictures():
    small = quarter_bicubic(torch.full((1, 3, 30, 37), 0.3))
    assert small.shape == (1, 3, 8, 10)
    torch.testing.assert_close(small, torch.full_like(small, 0.3), rtol=0, atol=1e-6)
