from __future__ import annotations

import pytest
import torch

from toolchain.models.networks.restore import Clarity, CodecClean, RestoreNetwork

NETWORKS = [CodecClean, Clarity]


def awake(kind: type[RestoreNetwork], seed: int = 0) -> RestoreNetwork:
    """A network whose last layer is not zero, as after training."""
    torch.manual_seed(seed)
    network = kind().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.02)
    return network


@pytest.mark.parametrize("kind", NETWORKS)
@torch.no_grad()
def test_an_untrained_network_returns_its_input(kind):
    planes, _ = kind().eval().example("restore", 32, 48)
    assert torch.equal(kind().eval().restore(planes, torch.ones(1, 2)), planes)


@pytest.mark.parametrize("kind", NETWORKS)
@torch.no_grad()
def test_no_strength_is_exactly_the_input_and_strength_is_not(kind):
    network = awake(kind)
    planes, _ = network.example("restore", 32, 48)
    assert torch.equal(network.restore(planes, torch.zeros(1, 2)), planes)
    assert (network.restore(planes, torch.tensor([[0.5, 0.5]])) - planes).abs().max() > 1e-3


@torch.no_grad()
def test_clarity_alone_is_not_opened_by_compression():
    planes, _ = Clarity().example("restore", 16, 16)
    assert torch.equal(awake(Clarity).restore(planes, torch.tensor([[0.0, 1.0]])), planes)
    assert not torch.equal(awake(CodecClean).restore(planes, torch.tensor([[0.0, 1.0]])), planes)


@torch.no_grad()
def test_strengths_of_a_batch_are_each_pictures_own():
    network = awake(CodecClean)
    planes = torch.rand(2, 6, 16, 16)
    both = network.restore(planes, torch.tensor([[0.0, 0.0], [0.3, 0.4]]))
    assert torch.equal(both[0], planes[0])
    alone = network.restore(planes[1:], torch.tensor([[0.3, 0.4]]))
    assert torch.allclose(both[1:], alone, atol=1e-6)


@torch.no_grad()
def test_output_stays_in_the_code_range():
    network = awake(CodecClean)
    with torch.no_grad():
        network.tail.weight += 3.0
    out = network.restore(torch.rand(1, 6, 16, 16), torch.ones(1, 2))
    assert float(out.min()) >= 0.0 and float(out.max()) <= 1.0


@torch.no_grad()
def test_a_pixel_depends_on_no_more_than_13_half_size_pixels_around():
    network = awake(CodecClean).double()
    planes = torch.rand(1, 6, 64, 64, dtype=torch.float64)
    strength = torch.ones(1, 2, dtype=torch.float64)
    touched = planes.clone()
    touched[..., 32, 32] += 0.1
    change = (network.restore(touched, strength) - network.restore(planes, strength)).abs().amax((0, 1))
    rows, columns = torch.nonzero(change > 0, as_tuple=True)
    reach = max(int((rows - 32).abs().max()), int((columns - 32).abs().max()))
    assert 10 <= reach <= 13


def test_it_is_small_and_cheap():
    assert sum(parameter.numel() for parameter in CodecClean().parameters()) <= 300_000
    network = CodecClean()
    half_size = {"head": 1.0, "near": 1.0, "merge": 1.0, "tail": 1.0, "down": 0.25, "deep": 0.25, "up": 0.25}
    per_pixel = sum(
        half_size[name.split(".")[0]] * parameter.numel()
        for name, parameter in network.named_parameters()
        if parameter.ndim == 4
    )
    assert per_pixel * 960 * 540 <= 40e9
