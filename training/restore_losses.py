"""Differentiable likeness of restored planes to clean ones. Planes: see `toolchain.models.networks.restore`."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_FLOOR = (2.0 / 255) ** 2
"""Mean squared error below which less is gained: else pictures that are nearly right would rule the loss."""
_UNLIKE_FLOOR = 0.01
_DB = 10 / math.log(10)
_LUMA_RANGE = 219 / 255
"""SSIM's L: black to white, as a share of the code range."""


def restore_loss(output: Tensor, clean: Tensor, chroma_share: float, ssim_weight: float) -> Tensor:
    """Scalar: minus the PSNR in dB, each picture by itself so that light damage counts as much as heavy, and
    `ssim_weight` times ln(1 - SSIM) of luma, its windows flat 8x8 squares every 4 pixels: a sixth of the work."""
    squared = (output - clean).square()
    luma, chroma = (torch.log(part.mean((1, 2, 3)) + _FLOOR) for part in (squared[:, :4], squared[:, 4:]))
    unlike = torch.log(1 - _quick_ssim(output, clean) + _UNLIKE_FLOOR)
    return (_DB * ((1 - chroma_share) * luma + chroma_share * chroma) + ssim_weight * unlike).mean()


def psnr_db(planes: Tensor, clean: Tensor) -> Tensor:
    """(N,) luma PSNR in dB against the whole code range (255 at 8 bits)."""
    return -_DB * torch.log((planes[:, :4] - clean[:, :4]).square().mean((1, 2, 3)).clamp_min(1e-12))


def ssim(planes: Tensor, clean: Tensor) -> Tensor:
    """(N,) mean SSIM of luma: Gaussian window of sigma 1.5, 11 taps, K 0.01 and 0.03 (Z. Wang et al., 2004)."""
    x, y = (functional.pixel_shuffle(part[:, :4].contiguous(), 2) for part in (planes, clean))
    return _likeness(_windowed(x), _windowed(y), _windowed(x * x), _windowed(y * y), _windowed(x * y))


def _quick_ssim(planes: Tensor, clean: Tensor) -> Tensor:
    """(N,) over the four phases of luma, each at half size: 4x4 of them are 8x8 pixels."""

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values.mean(1, keepdim=True), 4, stride=2)

    x, y = planes[:, :4], clean[:, :4]
    return _likeness(mean(x), mean(y), mean(x * x), mean(y * y), mean(x * y))


def _likeness(mean_x: Tensor, mean_y: Tensor, mean_xx: Tensor, mean_yy: Tensor, mean_xy: Tensor) -> Tensor:
    c1, c2 = (0.01 * _LUMA_RANGE) ** 2, (0.03 * _LUMA_RANGE) ** 2
    product = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    alike = (2 * product + c1) * (2 * (mean_xy - product) + c2)
    return (alike / ((squares + c1) * (mean_xx + mean_yy - squares + c2))).mean((1, 2, 3))


@cache
def _window() -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(11, dtype=torch.float32) - 5) ** 2 / 1.5**2)
    return taps / taps.sum()


def _windowed(x: Tensor) -> Tensor:
    taps = _window()
    return functional.conv2d(functional.conv2d(x, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
