"""`toolchain.models.lumen` in torch, for many pictures at once and with gradients; a test holds the two together."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from toolchain.color.primaries import conversion_matrix
from toolchain.color.transfer import BT1886_GAMMA, REFERENCE_WHITE_NITS
from toolchain.models import lumen
from toolchain.models.anchor import FADE_SIGNALS
from toolchain.models.curves import BT2020_WEIGHTS

_SIGNALS, _BASIS = (torch.tensor(part, dtype=torch.float32) for part in lumen.gain_basis())
_WHITE = int(torch.searchsorted(_SIGNALS, torch.tensor(1.0 - 1e-6)))
_TO_BT2020 = torch.tensor(np.ascontiguousarray(conversion_matrix("bt709", "bt2020").T), dtype=torch.float32)
_LUMINANCE = torch.tensor(BT2020_WEIGHTS, dtype=torch.float32)
_KNOTS = len(lumen.KNOTS)
_IS_HIGHLIGHT = torch.arange(_KNOTS) >= lumen.HIGHLIGHT_KNOT
_LEAST_LIGHT = 1e-6


def sdr_light(signal: Tensor) -> Tensor:
    """(..., 3) BT.709 R'G'B' signal in [0, 1] -> display-linear BT.2020, 1.0 = SDR white."""
    return (signal**BT1886_GAMMA) @ _TO_BT2020


def gain_curves(contrast: Tensor, peak_nits: Tensor) -> Tensor:
    """(N, 16) contrasts and (N,) peaks -> (N, 1101) gain in EV over the signals of `lumen.gain_basis`."""
    excess = contrast - 1
    highlights = torch.where(_IS_HIGHLIGHT, excess.clamp_min(0), 0)
    rest, rise = (excess - highlights) @ _BASIS.T, highlights @ _BASIS.T
    headroom_ev = torch.log2(peak_nits / REFERENCE_WHITE_NITS)
    share = headroom_ev / math.log2(lumen.PUBLISHED_PEAK_NITS / REFERENCE_WHITE_NITS)
    room = (headroom_ev - rest[:, _WHITE]).clamp_min(0) / rise[:, _WHITE].clamp_min(1e-6)
    gain_ev = rest + torch.minimum(share, room)[:, None] * rise
    return gain_ev + (-gain_ev[:, _WHITE]).clamp_min(0)[:, None] * _smoothstep(*FADE_SIGNALS, _SIGNALS)


def expand(signal: Tensor, vectors: Tensor, peak_nits: Tensor, mid_gain_ev: Tensor | None = None) -> Tensor:
    """(N, P, 3) BT.709 R'G'B', (N, 22) `Numbers.vector`, (N,) peaks -> (N, P, 3) BT.2020 nits in [0, peak].

    `mid_gain_ev` (N,): what `toolchain.models.anchor.anchored` adds, with its fade towards white.
    """
    rgb = sdr_light(signal).clamp_min(0)
    largest, smallest = rgb.amax(-1), rgb.amin(-1)
    grey = rgb @ _LUMINANCE
    level = (grey + vectors[:, -2, None] * (largest - grey)).clamp_min(_LEAST_LIGHT) ** (1 / BT1886_GAMMA)
    gain_ev = _look_up(gain_curves(torch.exp2(vectors[:, :_KNOTS]), peak_nits), level)
    if mid_gain_ev is not None:
        shown = grey.clamp_min(_LEAST_LIGHT) ** (1 / BT1886_GAMMA)
        gain_ev = gain_ev + mid_gain_ev[:, None] * (1 - _smoothstep(*FADE_SIGNALS, shown))
    gain = REFERENCE_WHITE_NITS * torch.exp2(gain_ev)
    nits, offset = gain * grey, vectors[:, -1, None]
    lifted = nits + offset * nits / (nits + offset.abs() + 1e-6)
    purity = ((largest - smallest) / largest.clamp_min(_LEAST_LIGHT)).clamp(0, 1)
    chroma = torch.exp2(_saturation_ev(vectors[:, _KNOTS:-2], level, purity))[..., None]
    scaled = rgb * (gain * lifted / nits.clamp_min(1e-9))[..., None]
    result = lifted[..., None] + chroma * (scaled - lifted[..., None])
    return torch.minimum(result.clamp_min(0), peak_nits[:, None, None])


def _saturation_ev(terms: Tensor, signal: Tensor, purity: Tensor) -> Tensor:
    low, middle, high = lumen.SATURATION_SIGNALS
    shadows, mid_tones, highlights, pure = (terms[:, i, None] for i in range(4))
    level = shadows + (mid_tones - shadows) * _smoothstep(low, middle, signal)
    return level + (highlights - mid_tones) * _smoothstep(middle, high, signal) + pure * purity**2


def _look_up(curves: Tensor, signal: Tensor) -> Tensor:
    """Linear interpolation of (N, 1101) at (N, P) signals."""
    place = (signal / float(_SIGNALS[1])).clamp(0, len(_SIGNALS) - 1.001)
    below = place.long()
    low, high = curves.gather(1, below), curves.gather(1, below + 1)
    return low + (place - below) * (high - low)


def _smoothstep(low: float, high: float, values: Tensor) -> Tensor:
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
