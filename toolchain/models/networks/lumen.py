"""The network of `lumen-shot`: a key frame and the controls -> the numbers of a curve (toolchain.models.lumen).

It sees the picture twice: as histograms, which say how much of it sits at which level and is how pure there, and
through a few convolutions, which say what it is. What it answers is a bounded change of `base`, the numbers of
`lumen-fixed`, so that the worst answer is still a curve of the same kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.lumen import SMALL_SIZE, VECTOR_SIZE, vector_limits
from toolchain.models.networks.base import GraphSpec, Network, TensorSpec

BINS = 32
CHANNELS = (16, 32, 48, 64)
HIDDEN = 128
LEVEL_GROUPS = 8

REACH = (*[1.5] * (VECTOR_SIZE - 6), *[0.4] * 4, 0.5, 0.1)
"""How far each number may move from `base`: 1.5 EV of log2 contrast, 0.4 EV of chroma, 0.5 of level mix, 0.1 nits."""

LUMA_709 = (0.2126, 0.7152, 0.0722)
"""Rec. ITU-R BT.709-6, item 3.2."""


class LumenShotNetwork(Network):
    """About 100 000 parameters. `small`: (N, 3, 144, 256) BT.709 R'G'B' in [0, 1]; see `lumen.control_vector`."""

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
        features = 2 * BINS + LEVEL_GROUPS + 2 * CHANNELS[-1] + 2
        self.decide = nn.Sequential(
            nn.Linear(features, HIDDEN),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, VECTOR_SIZE),
        )
        for tensor in self.decide[-1].parameters():
            nn.init.zeros_(tensor)

    def condition(self, small: Tensor, controls: Tensor) -> Tensor:
        """(N, 22) numbers inside `vector_limits`."""
        return self.from_half(functional.avg_pool2d(small, 2), controls)

    def from_half(self, half: Tensor, controls: Tensor) -> Tensor:
        """The same for the picture at (N, 3, 72, 128): what training keeps in memory."""
        looks = self.looks(half - 0.5)
        pooled = torch.cat([looks.mean((2, 3)), looks.amax((2, 3))], 1)
        features = torch.cat([self._histograms(half), pooled, 2 * controls - 1], 1)
        move = self.reach * torch.tanh(self.decide(features))
        return torch.minimum(torch.maximum(self.base + move, self.low), self.high)

    def _histograms(self, half: Tensor) -> Tensor:
        """Square roots of the shares of luma and of the largest component, and mean purity in 8 ranges of luma."""
        pixels = half.flatten(2)
        luma = torch.einsum("c,ncp->np", self.luma, pixels)
        largest, smallest = pixels.amax(1), pixels.amin(1)
        of_luma = self._shares(luma)
        by_level = of_luma.unflatten(1, (LEVEL_GROUPS, BINS // LEVEL_GROUPS)).sum(2)
        spread = by_level.mean(2).clamp_min(1e-3)
        purity = (by_level * (largest - smallest).unsqueeze(1)).mean(2) / spread
        shares = torch.cat([of_luma.mean(2), self._shares(largest).mean(2)], 1)
        return torch.cat([(BINS * shares).clamp_min(1e-6).sqrt() - 1, 4 * purity], 1)

    def _shares(self, values: Tensor) -> Tensor:
        """(N, P) -> (N, bins, P): triangular weights that sum to 1 over the bins, edges held."""
        inside = values.clamp(float(self.centres[0]), float(self.centres[-1])).unsqueeze(1)
        return (1 - BINS * (inside - self.centres[:, None]).abs()).clamp_min(0)
