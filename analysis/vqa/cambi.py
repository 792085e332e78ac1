"""Banding: smooth tones do not break into steps that the source did not have. CAMBI, Netflix's index, from libvmaf.

P. Tandon et al., CAMBI: Contrast-aware Multiscale Banding Index, PCS 2021. Both sides as the luma of a PQ signal.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from analysis.vqa.libvmaf import MAX_CODE, pick
from analysis.vqa.luma_gate import Codes, LumaGate, Row
from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image, JudgeControls
from analysis.vqa.view import View
from toolchain.color.transfer import pq_eotf_inverse

FEATURE = "name=cambi:eotf=pq:max_log_contrast=5:tvi_threshold=0.04:topk=0.2:full_ref=true"
"""max_log_contrast 5 lets steps of up to 32 codes count: by default those of 16 score 0. tvi_threshold (default
0.019): a difference within CAMBI's window counts from 4 % of the light on, about four codes, so that a smooth slope
rounded to ten bits counts less. topk (default 0.6): the value is that of the worst fifth of the picture, because a
sky need not fill it. full_ref measures the source in the same run."""

BLACK, WHITE = 64, 940
"""CAMBI reads codes as narrow-range ten bits (Rec. ITU-R BT.2100-2, table 9)."""


def codes(view: View) -> tuple[Codes, Codes]:
    """Luma of output and of the source at the exposure asked for, as dithered ten-bit PQ codes."""
    return _dithered(view.output_y), _dithered(view.reference.y)


def rise(row: Row) -> float:
    """CAMBI of the output less CAMBI of the source; negative where the output bands less."""
    return pick(row, "cambi_eotf") - pick(row, "cambi_source")


def _gate(spec: MetricSpec, limit: float, controls: JudgeControls) -> LumaGate:
    return LumaGate(spec, limit, codes, (FEATURE,), rise)


def _dithered(y_nits: Image) -> Codes:
    """The working picture is finer than ten bits, averaged from many pixels: rounding it would make bands of its own.

    So it is dithered over two codes, the same way in every picture.
    """
    signal = BLACK + (WHITE - BLACK) * pq_eotf_inverse(np.clip(y_nits, 0, 10000))
    return np.clip(np.rint(signal + _dither(y_nits.shape)), 0, MAX_CODE).astype(np.uint16)


@lru_cache(maxsize=2)
def _dither(shape: tuple[int, ...]) -> Image:
    """Triangular noise between -1 and 1 code: the mean of a dithered tone, and its noise, do not depend on the tone
    (S. Lipshitz et al., Quantization and Dither, JAES 40, 1992)."""
    random = np.random.default_rng(0)
    return (random.random(shape, np.float32) - random.random(shape, np.float32)).astype(np.float32)


BANDING = MetricSpec(
    "banding", "CAMBI", (-100.0, 100.0), "lower", "PQ luma in ten bits", "gate",
    "visible steps in smooth tones, beyond the source's", neutral=0.0, gate=_gate,
)  # fmt: skip
