"""The network of `lumen-shot`: a key frame and the controls -> the numbers of a curve (toolchain.models.lumen).

It sees the picture twice: as statistics, which say how much of it sits at which level and how pure and textured it is
there, and through a few convolutions, which say what it is. What it answers is a bounded change of `base`, the
numbers of `lumen-fixed`, so that the worst answer is still a curve of the same kind.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.lumen import SMALL_SIZE, VECTOR_SIZE, vector_limits
from toolchain.models.networks.base import GraphSpec, Network, TensorSpec

BINS = 64
LEVELS = 8
STATISTICS = 2 * BINS + 2 * LEVELS + 3
CHANNELS = (16, 32, 64)
HIDDEN = 160
CLIPPED_FROM = 0.98

CONFIDENCE = 0.75
"""What of the network's answer is used. On titles kept for such choices photographs were best at 0.6, procedural ones
at 0.9: a network that has seen few photographs is too sure of itself there."""

REACH = (*[1.5] * (VECTOR_SIZE - 6), *[0.4] * 4, 0.5, 0.3)
"""How far each number may move from `base`: 1.5 EV of log2 contrast, 0.4 EV of chroma, 0.5 of level mix, 0.3 nits."""

LUMA_709 = (0.2126, 0.7152, 0.0722)
"""Rec. ITU-R BT.709-6, item 3.2."""


class LumenShotNetwork(Network):
    """97 590 parameters. `small`: (N, 3, 144, 256) BT.709 R'G'B' in [0, 1]; see `lumen.control_vector`."""

    graphs = (
        GraphSpec(
            "condition",
            (TensorSpec("small", ("batch", 3, *SMALL_SIZE)), TensorSpec("controls", ("batch", 2))),
            (TensorSpec("numbers", ("batch", VECTOR_SIZE)),),
        ),
    )
    base: Tensor
    reach: Tensor
    low: Tensor
    high: Tensor
    centres: Tensor
    luma: Tensor

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        low, high = vector_limits()
        self.register_buffer("base", torch.zeros(VECTOR_SIZE))
        for name, values in {"reach": REACH, "low": low, "high": high, "luma": LUMA_709}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        centres = (torch.arange(BINS, dtype=torch.float32) + 0.5) / BINS
        self.register_buffer("centres", centres, persistent=False)
        blocks, before = [], 3
        for channels in CHANNELS:
            blocks += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.GroupNorm(8, channels), nn.SiLU()]
            before = channels
        self.looks = nn.Sequential(*blocks)
        widths = (STATISTICS + 2 * CHANNELS[-1] + 2, HIDDEN, HIDDEN)
        layers = [[nn.Linear(a, b), nn.SiLU(), nn.Dropout(dropout)] for a, b in pairwise(widths)]
        self.decide = nn.Sequential(*[part for layer in layers for part in layer], nn.Linear(HIDDEN, VECTOR_SIZE))
        for tensor in self.decide[-1].parameters():
            nn.init.zeros_(tensor)

    def condition(self, small: Tensor, controls: Tensor) -> Tensor:
        """(N, 22) numbers inside `vector_limits`: `base` and `CONFIDENCE` of the way to the network's answer."""
        half = functional.avg_pool2d(small, 2)
        answer = self.answer(self.statistics(half), functional.avg_pool2d(half, 2), controls)
        return self.base + CONFIDENCE * (answer - self.base)

    def answer(self, statistics: Tensor, quarter: Tensor, controls: Tensor) -> Tensor:
        """The whole answer, from (N, 147) statistics and the picture at (N, 3, 36, 64), which training keeps."""
        looks = self.looks(quarter - 0.5)
        pooled = torch.cat([looks.mean((2, 3)), looks.amax((2, 3))], 1)
        move = self.reach * torch.tanh(self.decide(torch.cat([statistics, pooled, 2 * controls - 1], 1)))
        return torch.minimum(torch.maximum(self.base + move, self.low), self.high)

    def statistics(self, half: Tensor) -> Tensor:
        """(N, 3, 72, 128) -> (N, 147): histograms of luma and of the largest component, as square roots of shares;
        mean purity and mean step to the neighbour in 8 ranges of luma; shares of black and of clipped pixels."""
        # A quarter of the pixels tells the shares to a per cent.
        some = half[:, :, ::2, ::2]
        luma, right, below = (
            torch.einsum("c,nchw->nhw", self.luma, part)
            for part in (some, half[:, :, ::2, 1::2], half[:, :, 1::2, ::2])
        )
        largest, smallest = some.amax(1), some.amin(1)
        steps = (right - luma).abs() + (below - luma).abs()
        of_luma = self._shares(luma.flatten(1))
        levels = of_luma.unflatten(1, (LEVELS, BINS // LEVELS)).sum(2)
        occupied = levels.mean(2).clamp_min(1e-3)
        purity, texture = (
            (levels * values.flatten(1).unsqueeze(1)).mean(2) / occupied for values in (largest - smallest, steps)
        )
        shares = torch.cat([of_luma.mean(2), self._shares(largest.flatten(1)).mean(2)], 1)
        extremes = [
            ((largest - CLIPPED_FROM) / (1 - CLIPPED_FROM)).clamp(0, 1),
            ((luma - CLIPPED_FROM) / (1 - CLIPPED_FROM)).clamp(0, 1),
            (1 - largest * 51).clamp(0, 1),
        ]
        ends = torch.stack([part.mean((1, 2)) for part in extremes], 1)
        roots = (BINS * torch.cat([shares, ends], 1)).clamp_min(1e-6).sqrt() - 1
        return torch.cat([roots, 4 * purity, 8 * texture], 1)

    def _shares(self, values: Tensor) -> Tensor:
        """(N, P) -> (N, bins, P): triangular weights that sum to 1 over the bins, edges held."""
        inside = values.clamp(0.5 / BINS, 1 - 0.5 / BINS).unsqueeze(1)
        return (1 - BINS * (inside - self.centres[:, None]).abs()).clamp_min(0)
