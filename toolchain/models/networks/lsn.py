"""LSN, the luminance-segmented network of HDRTVDM (Guo et al., CVPR 2023; AndreGuo/HDRTVDM, MPL-2.0).

A pointwise trunk for all tones plus one Restormer each for the bright and for the dark part of the picture. Names of
modules are the keys of the published checkpoints.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.base import GraphSpec, SdrToHdrNetwork, TensorSpec
from toolchain.models.networks.modulation import modulated
from toolchain.models.networks.restormer import Restormer

NUMBERS = 32
TRUNK_WIDTHS = (3, 32, 64, 64, 32, 3)
THRESHOLD = 0.7611
"""Luma where the bright part is taken whole and from which the dark part fades."""
LUMA_WEIGHTS = (0.2627, 0.6780, 0.0593)
"""BT.2020's, on the BT.709 signal: so the authors trained it."""


class Lsn(SdrToHdrNetwork):
    """401,741 parameters. `condition`: picture at an eighth -> 32 numbers. `render`: multiples of 4.

    The attention is global, so tiles change the picture.
    """

    condition_scale = 8
    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        GraphSpec(
            "condition",
            inputs=(TensorSpec("small", ("batch", 3, "height", "width")),),
            outputs=(TensorSpec("numbers", ("batch", NUMBERS)),),
            tolerance=1e-4,
        ),
        GraphSpec(
            "render",
            inputs=(TensorSpec("rgb", ("batch", 3, "height", "width")), TensorSpec("numbers", ("batch", NUMBERS))),
            outputs=(TensorSpec("pq", ("batch", 3, "height", "width")),),
            size_multiple=4,
            least_size=16,
            tolerance=2e-4,
            pq_output=True,
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self.mid_branch = MidBranch()
        self.bright_branch = Restormer()
        self.dark_branch = Restormer()

    def shrink(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H // 8, W // 8): means of whole 8x8 blocks; what is left over is not seen."""
        return functional.avg_pool2d(rgb, 8)

    def condition(self, small: Tensor) -> Tensor:
        return self.mid_branch.cond_net(small)

    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        red, green, blue = rgb.split(1, dim=1)
        luma = LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue
        bright = self.bright_branch(rgb * (luma / THRESHOLD).clamp(0, 1))
        dark = self.dark_branch(rgb * ((luma - 1) / (THRESHOLD - 1)).clamp(0, 1))
        return (self.mid_branch(rgb, numbers) + bright + dark).clamp(0, 1)


class MidBranch(nn.Module):
    """Five pointwise layers, each modulated by the numbers and followed by LeakyReLU, the last too."""

    def __init__(self) -> None:
        super().__init__()
        self.cond_net = Conditioner()
        for layer, (inputs, outputs) in enumerate(pairwise(TRUNK_WIDTHS), start=1):
            setattr(self, f"conv{layer}", nn.Conv2d(inputs, outputs, 1))
            setattr(self, f"cond_scale{layer}", nn.Linear(NUMBERS, outputs))
            setattr(self, f"cond_shift{layer}", nn.Linear(NUMBERS, outputs))

    def forward(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        pixels = rgb.flatten(2)
        for layer in range(1, len(TRUNK_WIDTHS)):
            scale = getattr(self, f"cond_scale{layer}")(numbers)
            shift = getattr(self, f"cond_shift{layer}")(numbers)
            pixels = functional.leaky_relu(modulated(getattr(self, f"conv{layer}"), pixels, scale, shift), 0.1)
        return pixels.unflatten(2, (rgb.shape[2], rgb.shape[3]))


class Conditioner(nn.Module):
    """Three convolutions of stride 2 and a mean: (N, 3, h, w) -> (N, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=4)
        self.conv3 = nn.Conv2d(16, NUMBERS, 3, stride=2, padding=1)

    def forward(self, small: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2, self.conv3):
            small = functional.leaky_relu(convolution(small), 0.1)
        return small.mean(dim=(2, 3))
