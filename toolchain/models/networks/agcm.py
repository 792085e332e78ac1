"""AGCM, the adaptive global colour mapping of HDRTVNet++ (Chen et al., arXiv:2309.04084; MIT).

A conditioner sees a small copy of the picture and gives six numbers; under them a pointwise network maps colours.
Names of modules are the keys of the published checkpoint.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from toolchain.models.networks.base import GraphSpec, SdrToHdrNetwork, TensorSpec
from toolchain.models.networks.modulation import modulated
from toolchain.models.networks.resize import quarter_bicubic

NUMBERS = 6
WIDTH = 64
CONDITION = GraphSpec(
    "condition",
    inputs=(TensorSpec("small", ("batch", 3, "height", "width")),),
    outputs=(TensorSpec("numbers", ("batch", NUMBERS)),),
    tolerance=1e-4,
)


class Agcm(SdrToHdrNetwork):
    """35,251 parameters. `condition`: quarter picture -> 6 numbers. `render`: pointwise."""

    condition_scale = 4
    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        CONDITION,
        GraphSpec(
            "render",
            inputs=(TensorSpec("rgb", ("batch", 3, "height", "width")), TensorSpec("numbers", ("batch", NUMBERS))),
            outputs=(TensorSpec("pq", ("batch", 3, "height", "width")),),
            tolerance=2e-5,
            pq_output=True,
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Conditioner()
        for place, width in (("first", WIDTH), ("HR", WIDTH), ("last", 3)):
            setattr(self, f"cond_scale_{place}", nn.Linear(NUMBERS, width))
            setattr(self, f"cond_shift_{place}", nn.Linear(NUMBERS, width))
        self.conv_first = nn.Conv2d(3, WIDTH, 1)
        self.HRconv = nn.Conv2d(WIDTH, WIDTH, 1)
        self.conv_last = nn.Conv2d(WIDTH, 3, 1)

    def shrink(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, ceil(H / 4), ceil(W / 4)); may leave [0, 1] a little beside sharp edges."""
        return quarter_bicubic(rgb)

    def condition(self, small: Tensor) -> Tensor:
        return self.classifier(small)

    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        return self.map_colours(rgb, numbers).clamp(0, 1)

    def map_colours(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        """`render` before its clamp: what the local enhancement of HDRTVNet++ takes."""
        pixels = rgb.flatten(2)
        pixels = torch.relu(self._layer("first", self.conv_first, pixels, numbers))
        pixels = torch.relu(self._layer("HR", self.HRconv, pixels, numbers))
        pixels = self._layer("last", self.conv_last, pixels, numbers)
        return pixels.unflatten(2, (rgb.shape[2], rgb.shape[3]))

    def _layer(self, place: str, conv: nn.Conv2d, pixels: Tensor, numbers: Tensor) -> Tensor:
        scale = getattr(self, f"cond_scale_{place}")(numbers)
        return modulated(conv, pixels, scale, getattr(self, f"cond_shift_{place}")(numbers))


class Conditioner(nn.Module):
    """Five blocks of 1x1 convolution, pooling and activation, and a global mean: (N, 3, h, w) -> (N, 6)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (3, 16, 32, 64, 128)
        for inputs, outputs in pairwise(widths):
            layers += [*_block(inputs, outputs), InstanceNorm(outputs)]
        layers += [*_block(128, 128), nn.Dropout(), nn.Conv2d(128, NUMBERS, 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, small: Tensor) -> Tensor:
        return self.model(small).mean(dim=(2, 3))


class InstanceNorm(nn.Module):
    """Instance normalisation that also takes a map of one pixel, where torch's own refuses: the bias comes out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
        gain = self.weight.view(-1, 1, 1) * torch.rsqrt(variance + 1e-5)
        return (x - mean) * gain + self.bias.view(-1, 1, 1)


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 1), nn.AvgPool2d(3, stride=2, padding=1), nn.LeakyReLU(0.2)
