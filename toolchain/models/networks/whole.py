"""One whole picture through an SDR-to-HDR network, as its authors' own test program does it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from toolchain.models.networks.base import SdrToHdrNetwork

Graph = Callable[..., Tensor]


def run_whole(
    network: SdrToHdrNetwork, rgb: Tensor, condition: Graph | None = None, render: Graph | None = None
) -> Tensor:
    """BT.709 R'G'B' (N, 3, H, W) in [0, 1], float32 -> PQ BT.2020 R'G'B' of the same size in [0, 1].

    The numbers are taken from the picture as it is; for `render` it is continued to the network's size multiple by
    mirroring, and cut afterwards. The published programs cannot run such sizes or cut the picture first.
    `condition`, `render`: the graphs to use in place of the network's own, such as an engine's.
    """
    numbers = network.numbers_of(rgb, condition)
    height, width = rgb.shape[2:]
    padded = pad_to_multiple(rgb, network.graph("render").size_multiple)
    return (render or network.render)(padded, numbers)[:, :, :height, :width].clamp(0, 1)


def pad_to_multiple(rgb: Tensor, multiple: int) -> Tensor:
    """The picture continued at its right and lower edge to multiples: mirrored about the last row and column, or,
    where the picture is too small for that, its last row and column repeated."""
    down, right = -rgb.shape[2] % multiple, -rgb.shape[3] % multiple
    if not down and not right:
        return rgb
    mode = "reflect" if down < rgb.shape[2] and right < rgb.shape[3] else "replicate"
    return functional.pad(rgb, (0, right, 0, down), mode=mode)
