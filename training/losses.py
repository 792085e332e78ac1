"""What a predicted HDR picture is judged by in training: PU21-PSNR and dE-ITP, in torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from toolchain.color import ictcp, pu21
from toolchain.color.transfer import PQ_C1, PQ_C2, PQ_C3, PQ_M1, PQ_M2, PQ_PEAK_NITS

PSNR_PEAK_PU = 256.0
"""PU21 units of a 100-nit white: the peak that Mantiuk and Azimi's own PSNR uses (pu21_metric.m)."""

LEAST_MSE_PU = 0.02
"""Ends the reward at about 65 dB: below this the eye and 10 bits see nothing."""


def pu21_encode(nits: Tensor) -> Tensor:
    """Nits to PU21 units, any shape; the torch twin of toolchain.color.pu21.pu21_encode."""
    power = nits.clamp(pu21.PU21_MIN_NITS, pu21.PU21_MAX_NITS) ** pu21.P4
    return pu21.P7 * (((pu21.P1 + pu21.P2 * power) / (1 + pu21.P3 * power)) ** pu21.P5 - pu21.P6)


def pu21_psnr(result: Tensor, truth: Tensor) -> Tensor:
    """(N, P, 3) nits, twice -> (N,) dB over the R, G and B of each picture."""
    mse = (pu21_encode(result) - pu21_encode(truth)).square().mean((1, 2))
    return 10 * torch.log10(PSNR_PEAK_PU**2 / (mse + LEAST_MSE_PU))


def delta_e_itp(result: Tensor, truth: Tensor) -> Tensor:
    """(N, P, 3) BT.2020 nits, twice -> (N,) mean dE-ITP. Rec. ITU-R BT.2124-0, Annex 1."""
    difference = (_ictcp(result) - _ictcp(truth)) * _tensor(ictcp.ITP_WEIGHTS, result)
    return 720 * (difference.square().sum(-1) + 1e-12).sqrt().mean(1)


def _ictcp(nits: Tensor) -> Tensor:
    lms = nits @ _tensor(ictcp.RGB_TO_LMS.T, nits)
    # The floor keeps the slope of PQ at black finite: 1e-3 nits is PQ 0.0065.
    power = (lms.clamp(1e-3, PQ_PEAK_NITS) / PQ_PEAK_NITS) ** PQ_M1
    signal = ((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2
    return signal @ _tensor(ictcp.LMS_PQ_TO_ICTCP.T, nits)


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=like.dtype)
