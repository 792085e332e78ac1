"""What reference metrics say of a version against its anchored master, and how that becomes a quality in [0, 1].

Errors are 0 for the master and grow: see `RAW`. Every metric sees the viewer's light: nits up to the display's peak.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from analysis.vqa.display import DISPLAY_PEAK_NITS, MOTION_SIZE
from analysis.vqa.libvmaf import MAX_CODE, NEG_MODEL, LumaFile, measure, pick
from toolchain.color.ictcp import ITP_WEIGHTS, ictcp_from_nits
from toolchain.color.primaries import luminance_coefficients
from toolchain.color.pu21 import pu21_encode
from training.data.vqa_media import Clip
from training.data.vqa_tone import TONE_RAW

LABEL_FRAMES = (5, 16, 26)
"""Frames of a clip that are compared in full."""
RAW = {
    "delta_e_itp": "mean dE-ITP (BT.2124-0) over LABEL_FRAMES at half size",
    "unrest_itp": "mean change of the difference in ITP from frame to frame, in dE-ITP, over all frames, small",
    "ms_ssim_error": "1 - multi-scale SSIM (libvmaf float_ms_ssim) of PU21 luma, mean over LABEL_FRAMES",
    "vmaf_error": "VMAF NEG (libvmaf) of PU21 luma, mean over LABEL_FRAMES, below the master's own",
    "cambi_gain": "CAMBI (libvmaf, max_log_contrast 5) of PU21 luma above the master's, at least 0",
    "jod_loss_key": "10 - ColorVideoVDP JOD of the key picture against the title's coded master",
    "jod_loss_motion": "the same of 8 consecutive motion pictures, at 24 a second",
    **TONE_RAW,
}
"""Every error that can be measured and what it is."""
_FEATURES = ("name=float_ms_ssim", "name=cambi:max_log_contrast=5")
_LUMINANCE = luminance_coefficients("bt2020").astype(np.float32)
_ITP = (720 * ITP_WEIGHTS).astype(np.float32)
_PU_PEAK = float(pu21_encode(DISPLAY_PEAK_NITS))


class LabelMap(BaseModel):
    """From errors to quality: q = 1 / (1 + (e / half)^slope), e the weighted sum of the errors in `of`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    half: float = Field(gt=0, description="the error at which quality is 0.5")
    slope: float = Field(gt=0, le=8)
    share: float = Field(default=1.0, gt=0, le=1, description="share of the training titles that have this label")

    def wanted(self, name: str, title: str, split: str) -> bool:
        """Whether a title gets this label: all that judge do, and those training titles that the lot falls on."""
        lot = int.from_bytes(hashlib.sha256(f"{title}:{name}".encode()).digest()[:8]) / 2**64
        return split != "train" or lot < self.share

    def error(self, raw: dict[str, float]) -> float | None:
        """The weighted sum; None where an error was not measured."""
        if not self.of.keys() <= raw.keys():
            return None
        return sum(weight * raw[name] for name, weight in self.of.items())

    def quality(self, error: float) -> float:
        return float(1.0 / (1.0 + (max(error, 0.0) / self.half) ** self.slope))


class Reference:
    """A master that versions are compared with."""

    def __init__(self, master: Clip):
        self._itp = _label_itp(master)
        self._small_itp = _small_itp(master)
        self._luma = label_luma(master)

    def tone_errors(self, version: Clip) -> dict[str, float]:
        """`delta_e_itp` and `unrest_itp`."""
        change = np.diff(_small_itp(version) - self._small_itp, axis=0)
        difference = _label_itp(version) - self._itp
        return {
            "delta_e_itp": float(np.linalg.norm(difference, axis=-1).mean()),
            "unrest_itp": float(np.linalg.norm(change, axis=-1).mean()),
        }

    def luma_errors(self, versions: list[NDArray[np.uint16]]) -> list[dict[str, float]]:
        """`ms_ssim_error`, `vmaf_error` and `cambi_gain` of each version, given as `label_luma`."""
        height, width = self._luma.shape[1:]
        with LumaFile(width, height) as shown, LumaFile(width, height) as truth:
            for luma in [self._luma, *versions]:
                for picture, reference in zip(luma, self._luma, strict=True):
                    shown.append(picture)
                    truth.append(reference)
            rows = measure(shown, truth, _FEATURES, NEG_MODEL)
        count = len(LABEL_FRAMES)
        means = [_means(rows[start : start + count]) for start in range(0, len(rows), count)]
        return [
            {
                "ms_ssim_error": max(1.0 - ssim, 0.0),
                "vmaf_error": max(means[0][1] - vmaf, 0.0),
                "cambi_gain": max(cambi - means[0][2], 0.0),
            }
            for ssim, vmaf, cambi in means[1:]
        ]


def label_luma(clip: Clip) -> NDArray[np.uint16]:
    """PU21 luminance of LABEL_FRAMES as 10-bit codes, the display's peak at 1023: (3, H, W)."""
    light = np.minimum(clip[list(LABEL_FRAMES)] @ _LUMINANCE, np.float32(DISPLAY_PEAK_NITS))
    return np.rint(np.clip(pu21_encode(light) / _PU_PEAK, 0, 1) * MAX_CODE).astype(np.uint16)


def _means(rows: list[dict[str, float]]) -> tuple[float, float, float]:
    names = ("float_ms_ssim", "vmaf", "cambi")
    # Where structure is inverted, multi-scale SSIM is the root of a negative number: none of it is left.
    ssim, vmaf, cambi = (float(np.mean(np.nan_to_num([pick(row, name) for row in rows]))) for name in names)
    return ssim, vmaf, cambi


def _label_itp(clip: Clip) -> Clip:
    size = (clip.shape[2] // 2, clip.shape[1] // 2)
    return _itp(np.stack([cv2.resize(clip[index], size, interpolation=cv2.INTER_AREA) for index in LABEL_FRAMES]))


def _small_itp(clip: Clip) -> Clip:
    return _itp(np.stack([cv2.resize(picture, MOTION_SIZE, interpolation=cv2.INTER_AREA) for picture in clip]))


def _itp(nits: Clip) -> Clip:
    return ictcp_from_nits(np.minimum(nits, np.float32(DISPLAY_PEAK_NITS))).astype(np.float32, copy=False) * _ITP
