"""ITM-LUT: three colour tables mixed to suit the picture (Guo et al., CVMP 2023; AndreGuo/ITMLUT, MPL-2.0).

One table each for bright, middle and dark tones, with vertices dense where its tones lie; each is a weighted sum of
five learned ones. Names of modules are the keys of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.base import GraphSpec, SdrToHdrNetwork, TensorSpec

PARTS = ("b", "m", "d")
"""Bright, middle, dark: the checkpoints' letters."""
BASIC_LUTS = 5
SIZE = 17
WEIGHTS = len(PARTS) * BASIC_LUTS
NUMBERS = WEIGHTS + 3


class ItmLut(SdrToHdrNetwork):
    """596,652 parameters. `render`: pointwise.

    `condition`: picture at an eighth -> 18 numbers: the weights of the five bright, middle and dark tables, then the
    picture's mean R', G' and B', on which the vertices depend.
    """

    condition_scale = 8
    graphs: ClassVar[tuple[GraphSpec, ...]] = (
        GraphSpec(
            "condition",
            inputs=(TensorSpec("small", ("batch", 3, "height", "width")),),
            outputs=(TensorSpec("numbers", ("batch", NUMBERS)),),
            tolerance=1e-5,
        ),
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
        for part in PARTS:
            setattr(self, f"encoder_img_{part}", Encoder())
            setattr(self, f"lut_gen_{part}", LutMixer())

    def shrink(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H // 8, W // 8): means of whole 8x8 blocks; what is left over is not seen."""
        return functional.avg_pool2d(rgb, 8)

    def numbers_of(self, rgb: Tensor, condition: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The means are those of all pixels, also of the rows and columns that `shrink` leaves over."""
        weights = super().numbers_of(rgb, condition)[:, :WEIGHTS]
        return torch.cat([weights, rgb.mean(dim=(2, 3))], dim=1)

    def condition(self, small: Tensor) -> Tensor:
        weights = [self._mixer(part).weights_of(getattr(self, f"encoder_img_{part}")(small)) for part in PARTS]
        return torch.cat([*weights, small.mean(dim=(2, 3))], dim=1)

    def render(self, rgb: Tensor, numbers: Tensor) -> Tensor:
        pixels = rgb.flatten(2)
        bright, middle, dark = (
            look_up(pixels, self._mixer(part).mixed(weights), vertices)
            for part, weights, vertices in zip(
                PARTS, numbers[:, :WEIGHTS].chunk(len(PARTS), dim=1), vertices_of(numbers[:, WEIGHTS:]), strict=True
            )
        )
        bright_share = ((pixels - 0.55) / 0.45).clamp(0, 1)
        dark_share = ((0.45 - pixels) / 0.45).clamp(0, 1)
        pq = bright * bright_share + middle * (1 - bright_share - dark_share) + dark * dark_share
        return pq.clamp(0, 1).unflatten(2, (rgb.shape[2], rgb.shape[3]))

    def _mixer(self, part: str) -> LutMixer:
        return getattr(self, f"lut_gen_{part}")


class Encoder(nn.Module):
    """(N, 3, h, w) -> (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 1)]
        for inputs, outputs in ((16, 32), (32, 64), (64, 128)):
            layers += [Residual(inputs), nn.Conv2d(inputs, outputs, 1)]
        self.enocoder = nn.Sequential(*layers, nn.Dropout())

    def forward(self, small: Tensor) -> Tensor:
        return self.enocoder(small).mean(dim=(2, 3))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.conv0(x), 0.2)
        return x + functional.leaky_relu(self.conv1(inner), 0.2)


class LutMixer(nn.Module):
    """Five learned tables, indexed [table, output channel, B, G, R], and the layers that weigh them."""

    def __init__(self) -> None:
        super().__init__()
        self.weights_gen = Classifier()
        # Random like any untrained layer: tables of zeros would hide an engine that looks up the wrong cell.
        self.basic_luts = nn.Parameter(torch.rand(BASIC_LUTS, 3, SIZE, SIZE, SIZE) / BASIC_LUTS)

    def weights_of(self, features: Tensor) -> Tensor:
        """(N, 128) -> (N, 5), each in (0, 1); they need not sum to 1."""
        return torch.sigmoid(self.weights_gen(features))

    def mixed(self, weights: Tensor) -> Tensor:
        """(N, 5) -> (N, 17^3, 3): rows of R', G', B', those of neighbouring input R' next to each other."""
        tables = self.basic_luts.flatten(2).transpose(1, 2).flatten(1)
        return (weights @ tables).unflatten(1, (SIZE**3, 3))


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Sequential(nn.Linear(128, 128), nn.Hardswish(), nn.Dropout(), nn.Linear(128, BASIC_LUTS))

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(features)


def vertices_of(means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of the bright, middle and dark tables' vertices, each (N, 3, 17), for mean R', G', B' (N, 3)."""
    u = torch.linspace(0, 1, SIZE, dtype=means.dtype, device=means.device)
    mean = means.unsqueeze(-1)
    wave = 3 * pi * u
    middle = (wave - torch.cos(wave) + 1) / (3 * pi + 2)
    return u ** (1 / (1.4 + 0.8 * mean)), middle.expand(means.shape[0], 3, SIZE), u ** (2.2 - 0.8 * mean)


def look_up(pixels: Tensor, table: Tensor, vertices: Tensor) -> Tensor:
    """Trilinear interpolation: pixels (N, 3, P), table (N, 17^3, 3), vertices (N, 3, 17) -> (N, 3, P)."""
    cell, fraction = locate(pixels, vertices)
    batch = torch.arange(table.shape[0], device=table.device).view(-1, 1)
    red, green, blue = cell.unbind(1)
    origin = ((batch * SIZE + blue) * SIZE + green) * SIZE + red
    rows = table.flatten(0, 1)
    red_part, green_part, blue_part = fraction.unsqueeze(-1).unbind(1)

    def along_red(offset: int) -> Tensor:
        low = functional.embedding(origin + offset, rows)
        return low + (functional.embedding(origin + offset + 1, rows) - low) * red_part

    def along_green(offset: int) -> Tensor:
        low = along_red(offset)
        return low + (along_red(offset + SIZE) - low) * green_part

    low = along_green(0)
    return (low + (along_green(SIZE * SIZE) - low) * blue_part).transpose(1, 2)


def locate(pixels: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """The cell of each value, 0 to 15, and where in the cell it lies, 0 to 1: both (N, 3, P).

    A value is in the cell of the last vertex below it; counting vertices exports to every runtime, a search does not.
    """
    cell = torch.zeros_like(pixels, dtype=torch.int64)
    for vertex in range(1, SIZE - 1):
        cell = cell + (pixels > vertices[:, :, vertex : vertex + 1])
    low, high = vertices.gather(2, cell), vertices.gather(2, cell + 1)
    return cell, (pixels - low) / (high - low)
