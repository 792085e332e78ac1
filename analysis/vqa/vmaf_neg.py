"""Structure: the result, taken back to the source's tones, shows the source's detail. VMAF NEG and SSIM from libvmaf.

VMAF NEG (Z. Li et al., Toward a Better Quality Metric for the Video Community, 2020) gives nothing for enhancement.
It was fitted to gamma-coded SDR on a television; PU21 luma of the down-mapped picture, scaled so that SDR white has
the code of white, is as near to that as light allows. So its number ranks damage here and is no opinion score.
"""

from __future__ import annotations

import numpy as np

from analysis.vqa.libvmaf import MAX_CODE, NEG_MODEL, pick
from analysis.vqa.luma_gate import Codes, LumaGate, Row
from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image, JudgeControls
from analysis.vqa.view import View
from toolchain.color.pu21 import pu21_encode
from toolchain.color.transfer import REFERENCE_WHITE_NITS

BLACK, WHITE = 64, 940
_PU_WHITE = float(pu21_encode(REFERENCE_WHITE_NITS))


def codes(view: View) -> tuple[Codes, Codes]:
    """PU21 luma of the down-mapped output and of the source as ten-bit codes, 203 nits at 940."""
    return _coded(view.mapped_pu), _coded(view.source_pu)


def score(row: Row) -> float:
    """VMAF NEG of one frame, 0 to 100; 97.4 for equal pictures."""
    return pick(row, "vmaf")


def similarity(rows: list[Row]) -> str:
    """PU21-SSIM of the same pictures in words."""
    return f"PU21-SSIM {np.mean([pick(row, 'float_ssim') for row in rows]):.4f}"


def _coded(pu: Image) -> Codes:
    return np.clip(np.rint(BLACK + (WHITE - BLACK) / _PU_WHITE * pu), 0, MAX_CODE).astype(np.uint16)


def _gate(spec: MetricSpec, limit: float, controls: JudgeControls) -> LumaGate:
    return LumaGate(spec, limit, codes, ("name=float_ssim",), score, NEG_MODEL, similarity)


STRUCTURE_VMAF = MetricSpec(
    "structure_vmaf", "VMAF NEG", (0.0, 100.0), "higher", "PU21 luma of the down-mapped result", "gate",
    "detail of the source that the result still shows", gate=_gate, stages=("verify",), required=False,
)  # fmt: skip
