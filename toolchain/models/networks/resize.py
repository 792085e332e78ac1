"""Bicubic reduction to a quarter, as the conditioner of HDRTVNet++ was trained on it.

MATLAB's `imresize` with its defaults, which HDRTVNet++ repeats in Python for its own tests: the cubic kernel of Keys
(1981) with a = -1/2, stretched by the factor against aliasing, pictures continued by mirroring with the edge pixel
repeated, and the output size rounded up.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FACTOR = 4
REACH = 6
"""Input pixels that the first output pixel's kernel needs before the picture's edge."""


def keys_cubic(distance: Tensor) -> Tensor:
    """The cubic convolution kernel with a = -1/2 (Keys 1981, equation 15); zero from a distance of 2 on."""
    d = distance.abs()
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def quarter_bicubic(rgb: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, ceil(H / 4), ceil(W / 4)), float32, not rounded and not clamped.

    Every output pixel lies between four input pixels, so all share one symmetric kernel of 16 taps.
    """
    taps = keys_cubic((torch.arange(16, device=rgb.device, dtype=rgb.dtype) - 7.5) / FACTOR)
    taps = taps / taps.sum()
    channels = rgb.shape[1]
    kernel = taps.expand(channels, 1, 16)
    rows = rgb.index_select(2, _mirrored(rgb.shape[2], rgb.device))
    rows = functional.conv2d(rows, kernel.unsqueeze(-1), stride=(FACTOR, 1), groups=channels)
    columns = rows.index_select(3, _mirrored(rgb.shape[3], rgb.device))
    return functional.conv2d(columns, kernel.unsqueeze(-2), stride=(1, FACTOR), groups=channels)


def _mirrored(length: int, device: torch.device) -> Tensor:
    """Indices of one axis with its continuation on both sides, the edge pixel repeated."""
    outputs = -(-length // FACTOR)
    positions = torch.arange(-REACH, (outputs - 1) * FACTOR + 16 - REACH, device=device) % (2 * length)
    return torch.minimum(positions, 2 * length - 1 - positions)
