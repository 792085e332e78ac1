from __future__ import annotations

from importlib.resources import files

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load

from toolchain.models.networks.restore import Clarity, CodecClean, RestoreNetwork

NETWORKS = [CodecClean, Clarity]


def awake(kind: type[RestoreNetwork], seed: int = 0) -> RestoreNetwork:
    """A network whose last layer is not zero, as after training."""
    torch.manual_seed(seed)
    network = kind().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.5)
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


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """(1, 6, 96, 96): a dark-to-light ground with sharp discs and bars, luma and chroma, within limited range."""
    rows, columns = np.mgrid[0:192, 0:192].astype(np.float32)
    luma = 0.25 + 0.3 * columns / 192
    luma += 0.15 * (np.hypot(rows - 90, columns - 60) < 40) - 0.12 * ((columns % 48) > 40)
    luma = cv2.GaussianBlur(luma, (0, 0), 0.6)
    phases = [luma[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    chroma = 0.5 + 0.05 * np.sign(rows[::2, ::2] - 100)
    return torch.from_numpy(np.stack([*phases, chroma, 1 - chroma])[np.newaxis].astype(np.float32))


def shipped(kind: type[RestoreNetwork], model_id: str) -> RestoreNetwork:
    network = kind().eval()
    data = files("toolchain.models.shipped").joinpath(f"{model_id}.safetensors").read_bytes()
    network.load_state_dict(load(data), strict=True)
    return network


def luma_psnr_db(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a[:, :4] - b[:, :4]).square().mean()))


@torch.no_grad()
def test_shipped_codec_clean_takes_noise_away_and_leaves_clean_pictures(picture):
    network = shipped(CodecClean, "codec-clean")
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    noisy = picture + 4 / 255 * noise
    restored = network.restore(noisy, torch.tensor([[0.5, 0.0]]))
    assert luma_psnr_db(restored, picture) > luma_psnr_db(noisy, picture) + 4
    for strength in ([0.02, 0.0], [0.1, 0.3], [0.1, 0.5]):
        assert luma_psnr_db(network.restore(picture, torch.tensor([strength])), picture) > 45


@torch.no_grad()
def test_shipped_clarity_brings_a_soft_picture_nearer_without_ringing(picture):
    network = shipped(Clarity, "clarity")
    sharp = torch.nn.functional.pixel_shuffle(picture[:, :4], 2)[0, 0].numpy()
    soft = cv2.GaussianBlur(sharp, (0, 0), 1.2)
    planes = picture.clone()
    planes[0, :4] = torch.from_numpy(np.stack([soft[y::2, x::2] for y in (0, 1) for x in (0, 1)]))
    restored = network.restore(planes, torch.tensor([[0.6, 0.0]]))
    assert luma_psnr_db(restored, picture) > luma_psnr_db(planes, picture) + 1
    after = torch.nn.functional.pixel_shuffle(restored[:, :4], 2)[0, 0].numpy()
    around = np.ones((13, 13), np.uint8)
    over = np.maximum(after - cv2.dilate(sharp, around), cv2.erode(sharp, around) - after)
    assert over.max() < 8 / 255  # codes beyond what the sharp picture holds nearby
