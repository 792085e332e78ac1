"""Our two restoring networks: `codec-clean` (coder's defects and noise) and `clarity` (softness).

Both see a picture the way 4:2:0 video carries it: luma unshuffled by two (four planes) beside Cb and Cr, six planes
at half the picture's size. Most of the work happens at a quarter of it, where four convolutions see far.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.base import GraphSpec, Network, TensorSpec

UNIT = 4.0 / 255.0
"""What the last layer's 1 stands for: four 8-bit codes. Larger, the first steps of a training throw it off."""
PLANES = 6
STRENGTHS = 2
OPENING = 8.0
"""The correction is scaled by min(1, OPENING * strength): exactly the input where nothing was measured."""


def _bent(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, 0.1)


class _Block(nn.Module):
    """x + conv(leaky_relu(conv(x))) at one scale."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.second(_bent(self.first(features)))


class RestoreNetwork(Network):
    """Six planes and two strengths -> six planes: the input plus a learned correction.

    Planes are float32 limited-range codes as shares of the code range (8-bit code / 255): Y at (0, 0), (0, 1),
    (1, 0), (1, 1) of each 2x2 pixels, then Cb, Cr. Strengths lie in [0, 1]; the subclass says what they mean.
    """

    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        GraphSpec(
            name="restore",
            inputs=(
                TensorSpec("planes", ("batch", PLANES, "height", "width")),
                TensorSpec("strength", ("batch", STRENGTHS)),
            ),
            outputs=(TensorSpec("restored", ("batch", PLANES, "height", "width")),),
            size_multiple=2,
            least_size=8,
        ),
    )
    opened_by: ClassVar[tuple[float, float]] = (1.0, 1.0)
    """How much either strength opens the correction."""

    def __init__(self, channels: int = 24, deep_channels: int = 48, deep_blocks: int = 2):
        super().__init__()
        self.head = nn.Conv2d(PLANES + STRENGTHS, channels, 3, padding=1)
        self.near = nn.Conv2d(channels, channels, 3, padding=1)
        self.down = nn.Conv2d(channels, deep_channels, 2, stride=2)
        self.deep = nn.Sequential(*(_Block(deep_channels) for _ in range(deep_blocks)))
        self.up = nn.Sequential(nn.Conv2d(deep_channels, 4 * channels, 1), nn.PixelShuffle(2))
        self.merge = nn.Conv2d(channels, channels, 3, padding=1)
        self.tail = nn.Conv2d(channels, PLANES, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.tail.weight)  # an untrained network returns its input

    def restore(self, planes: Tensor, strength: Tensor) -> Tensor:
        """(N, 6, h, w) and (N, 2) -> (N, 6, h, w) in [0, 1]; h and w are even."""
        wide = strength[:, :, None, None].expand(-1, -1, planes.shape[2], planes.shape[3])
        near = _bent(self.near(_bent(self.head(torch.cat([planes - 0.5, wide], dim=1)))))
        deep = self.up(self.deep(_bent(self.down(near))))
        correction = UNIT * self.tail(_bent(self.merge(near + deep)))
        opening = torch.clamp(OPENING * (strength * strength.new_tensor(self.opened_by)).sum(1), max=1.0)
        return torch.clamp(planes + opening[:, None, None, None] * correction, 0.0, 1.0)


class CodecClean(RestoreNetwork):
    """Deblocks, derings and denoises. Strengths: noise sigma in 8-bit codes / 8, and compression."""


class Clarity(RestoreNetwork):
    """Gives a mildly soft picture its edges back. Strengths: softness, and compression, which only warns."""

    opened_by: ClassVar[tuple[float, float]] = (1.0, 0.0)
