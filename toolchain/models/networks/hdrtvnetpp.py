"""HDRTVNet++: AGCM, then local enhancement by a modulated U-Net (Chen et al., arXiv:2309.04084; MIT).

The checkpoints `Ensemble_AGCM_LE` and `HR` (the same network, refined with an adversarial loss) load into it. Names
of modules are their keys.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.agcm import CONDITION, NUMBERS, Agcm
from toolchain.models.networks.base import GraphSpec, SdrToHdrNetwork, TensorSpec

WIDTH = 32
GUIDE = 16
GUIDE_HIDDEN = 64


class HdrTvNetPlusPlus(SdrToHdrNetwork):
    """591,158 parameters. `condition`: AGCM's. `render`: local, heights and widths in multiples of 8.

    A pixel's surround reaches `overlap_px` at most, so tiles with that overlap, cut at multiples of 8, give the same
    picture.
    """

    condition_scale = 4
    overlap_px: ClassVar[int] = 120
    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        CONDITION,
        GraphSpec(
            "render",
            inputs=(TensorSpec("rgb", ("batch", 3, "height", "width")), TensorSpec("numbers", ("batch", NUMBERS))),
            outputs=(TensorSpec("pq", ("batch", 3, "height", "width")),),
            size_multiple=8,
            least_size=16,
            tolerance=1e-4,
            pq_output=True,
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self.AGCM = Agcm()
        self.LE = LocalEnhancement()

    def shrink(self, rgb: Tensor) -> Tensor:
        return self.AGCM.shrink(rgb)

    def condition(self, small: Tensor) -> Tensor:
        return self.AGCM.condition(small)

    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        return self.LE(self.AGCM.map_colours(rgb, numbers)).clamp(0, 1)


class LocalEnhancement(nn.Module):
    """A U-Net of three scales whose features are scaled and shifted by guides made of the picture itself.

    (N, 3, H, W) -> the same shape, not clamped; H and W multiples of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = _conv3(3, WIDTH)
        self.SFT_layer1 = Modulation()
        self.HR_conv1 = _conv3(WIDTH, WIDTH)
        self.down_conv1 = _conv3(WIDTH, WIDTH, stride=2)
        self.down_conv2 = _conv3(WIDTH, WIDTH, stride=2)
        self.down_conv3 = _conv3(WIDTH, WIDTH, stride=2)
        self.recon_trunk1 = Trunk(1)
        self.recon_trunk2 = Trunk(1)
        self.recon_trunk3 = Trunk(4)
        self.recon_trunk4 = Trunk(1)
        self.recon_trunk5 = Trunk(1)
        self.up_conv1 = _up()
        self.up_conv2 = _up()
        self.up_conv3 = _up()
        self.SFT_layer2 = Modulation()
        self.HR_conv2 = _conv3(WIDTH, WIDTH)
        self.conv_last = _conv3(WIDTH, 3)
        hidden = GUIDE_HIDDEN
        first = (_conv3(3, hidden), nn.Conv2d(hidden, hidden, 1), nn.Conv2d(hidden, hidden, 1))
        self.cond_first = nn.Sequential(*_activated(*first), nn.LeakyReLU(0.1))
        self.CondNet1 = _guide(halvings=0)
        self.CondNet2 = _guide(halvings=1)
        self.CondNet3 = _guide(halvings=2)
        self.CondNet4 = _guide(halvings=3)

    def forward(self, picture: Tensor) -> Tensor:
        shared = self.cond_first(picture)
        guide1, guide2 = self.CondNet1(shared), self.CondNet2(shared)
        guide3, guide4 = self.CondNet3(shared), self.CondNet4(shared)
        full = torch.relu(self.HR_conv1(self.SFT_layer1(torch.relu(self.conv_first(picture)), guide1)))
        half = self.recon_trunk1(torch.relu(self.down_conv1(full)), guide2)
        quarter = self.recon_trunk2(torch.relu(self.down_conv2(half)), guide3)
        eighth = torch.relu(self.down_conv3(quarter))
        features = self.recon_trunk3(eighth, guide4) + eighth
        features = self.recon_trunk4(torch.relu(self.up_conv1(features)) + quarter, guide3)
        features = self.recon_trunk5(torch.relu(self.up_conv2(features)) + half, guide2)
        features = self.SFT_layer2(torch.relu(self.up_conv3(features)) + full, guide1)
        return self.conv_last(torch.relu(self.HR_conv2(features))) + picture


class Modulation(nn.Module):
    """Features times (scale + 1) plus shift, both read from a guide of 16 channels at the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.SFT_scale_conv0 = nn.Conv2d(GUIDE, GUIDE, 1)
        self.SFT_scale_conv1 = nn.Conv2d(GUIDE, WIDTH, 1)
        self.SFT_shift_conv0 = nn.Conv2d(GUIDE, GUIDE, 1)
        self.SFT_shift_conv1 = nn.Conv2d(GUIDE, WIDTH, 1)

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        scale = self.SFT_scale_conv1(functional.leaky_relu(self.SFT_scale_conv0(guide), 0.1))
        shift = self.SFT_shift_conv1(functional.leaky_relu(self.SFT_shift_conv0(guide), 0.1))
        return features * (scale + 1) + shift


class ModulatedResidual(nn.Module):
    """x + two modulated 3x3 convolutions with a ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv3(WIDTH, WIDTH)
        self.conv2 = _conv3(WIDTH, WIDTH)
        self.sft1 = Modulation()
        self.sft2 = Modulation()

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        inner = torch.relu(self.conv1(self.sft1(features, guide)))
        return features + self.conv2(self.sft2(inner, guide))


class Trunk(nn.ModuleList):
    """Residual blocks that all see the same guide."""

    def __init__(self, blocks: int) -> None:
        super().__init__(ModulatedResidual() for _ in range(blocks))

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        for block in self:
            features = block(features, guide)
        return features


def _guide(halvings: int) -> nn.Sequential:
    """Three convolutions from the shared features to a guide: `halvings` of 3x3 with stride 2, the rest 1x1."""
    widths = ((GUIDE_HIDDEN, GUIDE_HIDDEN), (GUIDE_HIDDEN, GUIDE_HIDDEN), (GUIDE_HIDDEN, GUIDE))
    convolutions = [
        _conv3(inputs, outputs, stride=2) if position < halvings else nn.Conv2d(inputs, outputs, 1)
        for position, (inputs, outputs) in enumerate(widths)
    ]
    return nn.Sequential(*_activated(*convolutions))


def _activated(*convolutions: nn.Module) -> list[nn.Module]:
    """The convolutions with a LeakyReLU between each two."""
    layers: list[nn.Module] = []
    for convolution in convolutions:
        layers += [convolution, nn.LeakyReLU(0.1)]
    return layers[:-1]


def _conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


def _up() -> nn.Sequential:
    return nn.Sequential(_conv3(WIDTH, 4 * WIDTH), nn.PixelShuffle(2))
