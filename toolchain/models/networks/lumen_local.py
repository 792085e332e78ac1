"""The network of `lumen-local`: a small picture -> a bilateral grid of log2 gain over the shot's curve.

Convolutions see the picture at 9x16 places, a pooled branch sees all of it; together they give a column of gains
over luma at each place, and one number, the gate, says how much local gain the picture as a whole should have.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolchain.models.networks.base import GraphSpec, Network, TensorSpec

SMALL_SIZE = (144, 256)
HALF_SIZE = (72, 128)
"""What the network works on."""

GRID_SHAPE = (8, 9, 16)
"""Luma bins, rows, columns."""

REACH_EV = 1.5
"""The gain stays within plus and minus this."""

STEEPEST_EV = 1.2
"""The most by which the gain rises from one luma bin to the next."""

LEAST_CONTRAST = 0.25
"""The gain falls with luma by no more than a curve of this contrast rises: greys stay in order. The curves that the
shipped lumen-shot can give have 0.36 or more from signal 0.06 on; darker, the bins are too wide to turn them."""

MID_SIGNALS = (0.25, 0.35, 0.55, 0.65)
"""Luma signal whose mean gain is taken away: whole from the second to the third, none outside the first and last."""

TRUSTED_GATE = (0.5, 0.7)
"""A gate up to the first is taken for 0, from the second on at its word. Chosen on pairs without local grading, where
unsure gates did more harm than good."""

LUMA_709 = (0.2126, 0.7152, 0.0722)
"""Rec. ITU-R BT.709-6, item 3.2."""


class LumenLocalNetwork(Network):
    """133 553 parameters. `small`: (N, 3, 144, 256) BT.709 R'G'B' in [0, 1] -> (N, 8, 9, 16) EV, see
    `toolchain.gain_grid.GainGrid` for where the nodes lie."""

    graphs = (
        GraphSpec(
            "condition",
            (TensorSpec("small", ("batch", 3, *SMALL_SIZE)),),
            (TensorSpec("numbers", ("batch", *GRID_SHAPE)),),
        ),
    )
    slack: Tensor
    rest: Tensor
    luma: Tensor

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        bins = GRID_SHAPE[0]
        fall = [LEAST_CONTRAST * 2.4 / (math.log(2) * (k + 1)) for k in range(bins - 1)]
        slack = torch.tensor(fall).clamp_max(STEEPEST_EV).view(1, -1, 1, 1)
        share = slack / (slack + STEEPEST_EV)
        for name, value in {"slack": slack, "rest": torch.log(share / (1 - share))}.items():
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA_709).view(1, 3, 1, 1), persistent=False)
        self.encoder = nn.Sequential(_down(6, 24), _down(24, 48), _down(48, 64))
        self.local = nn.Sequential(_same(64, 64), nn.Dropout2d(dropout), _same(64, 64))
        self.whole = nn.Sequential(nn.Linear(128 + bins, 64), nn.SiLU(), nn.Dropout(dropout), nn.Linear(64, 64))
        self.decide = nn.Sequential(nn.SiLU(), nn.Conv2d(64, 64, 1), nn.SiLU(), nn.Conv2d(64, bins, 1))
        self.gate = nn.Sequential(nn.SiLU(), nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 1))
        last = self.decide[-1]
        nn.init.normal_(last.weight, std=1e-2)  # type: ignore[union-attr,arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[union-attr,arg-type]

    def condition(self, small: Tensor) -> Tensor:
        """(N, 8, 9, 16) gain in EV within `REACH_EV`, of no mean over the picture's mid-tones."""
        bins, rows, _ = GRID_SHAPE
        half = functional.avg_pool2d(small, 2)
        luma = (half * self.luma).sum(1, keepdim=True)
        shares = self._bin_shares(luma)
        features = self.encoder(torch.cat([half - 0.5, _places(half)], 1))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3)), bins * shares.mean((2, 3)) - 1], 1)
        whole = self.whole(pooled)
        raw = self.decide(self.local(features) + whole[:, :, None, None])
        start = REACH_EV * torch.tanh(raw[:, :1])
        steps = (STEEPEST_EV + self.slack) * torch.sigmoid(raw[:, 1:] + self.rest) - self.slack
        # Written out, for a cumulative sum is not in every runtime's set.
        levels = [start]
        for k in range(bins - 1):
            levels.append(levels[-1] + steps[:, k : k + 1])
        grid = torch.cat(levels, 1).clamp(-REACH_EV, REACH_EV)
        gated = self._trust(torch.sigmoid(self.gate(whole)))[:, :, None, None] * grid
        weights = functional.avg_pool2d(shares * _mid_weight(luma), HALF_SIZE[0] // rows)
        mean = (weights * gated).sum((1, 2, 3), keepdim=True) / (weights.sum((1, 2, 3), keepdim=True) + 0.5)
        return (gated - mean).clamp(-REACH_EV, REACH_EV)

    def _trust(self, gate: Tensor) -> Tensor:
        """Outside training, a gate that is not sure is shut; in training that would end its learning."""
        if self.training:
            return gate
        shut, whole = TRUSTED_GATE
        return gate * ((gate - shut) / (whole - shut)).clamp(0, 1)

    def _bin_shares(self, luma: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 8, H, W): how much each pixel takes from each luma bin; sums to 1."""
        bins = GRID_SHAPE[0]
        centres = torch.arange(bins, dtype=luma.dtype).view(1, -1, 1, 1)
        return (1 - (luma * (bins - 1) - centres).abs()).clamp_min(0)


def _mid_weight(luma: Tensor) -> Tensor:
    first, second, third, last = MID_SIGNALS
    rise = ((luma - first) / (second - first)).clamp(0, 1)
    return rise * ((last - luma) / (last - third)).clamp(0, 1)


def _places(half: Tensor) -> Tensor:
    """(N, 3, 72, 128): height, distance from the middle across, and nearness to a border."""
    down = torch.linspace(-1, 1, HALF_SIZE[0]).view(1, 1, -1, 1).expand(1, 1, *HALF_SIZE)
    across = torch.linspace(-1, 1, HALF_SIZE[1]).view(1, 1, 1, -1).expand(1, 1, *HALF_SIZE)
    planes = torch.cat([down, across.abs(), torch.maximum(down.abs(), across.abs()) ** 4], 1)
    return planes + torch.zeros_like(half[:, :1])


def _down(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU())


def _same(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU())
