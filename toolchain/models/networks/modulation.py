"""Pointwise layers that a picture's own statistics modulate, shared by AGCM and LSN."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


def modulated(conv: nn.Conv2d, pixels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """y * scale + shift + y with y = the 1x1 convolution of `pixels`: (N, C, P) -> (N, K, P).

    `scale`, `shift`: (N, K). They are folded into the weights first, which spares two passes over all pixels.
    """
    gain = (scale + 1).unsqueeze(-1)
    bias = cast(Tensor, conv.bias).unsqueeze(-1) * gain + shift.unsqueeze(-1)
    return torch.baddbmm(bias, conv.weight.flatten(1) * gain, pixels)
