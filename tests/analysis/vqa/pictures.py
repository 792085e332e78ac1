"""Small pictures with known content for the gates' tests."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.judge import Judge
from analysis.vqa.spec import FramePair, JudgeControls, load_limits, source_nits
from analysis.vqa.view import luminance
from toolchain.color.transfer import REFERENCE_WHITE_NITS
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation

Image = NDArray[np.float32]
BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
HEIGHT, WIDTH = 90, 160

LIMITS = load_limits().model_copy(update={"harm": 100.0})
"""As they come with the program but for `harm`: what a master of drawn shapes would be is no question for the other
gates' tests. That gate has its own (test_expected.py)."""


def scene(seed: int = 0, drift: int = 0) -> Image:
    """Soft coloured shapes over the whole tone range with fine grain, in source nits; `drift` moves it sideways."""
    random = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(random.random((HEIGHT, WIDTH + 64, 3)).astype(np.float32), (0, 0), 6)
    wide = (wide - wide.min()) / (wide.max() - wide.min())
    grey = wide.mean(axis=2, keepdims=True)
    tone = (grey - grey.min()) / (grey.max() - grey.min())
    signal = np.clip(tone * 1.1 - 0.05 + 0.6 * (wide - grey), 0, 1)
    signal += random.normal(0, 0.004, signal.shape[:2])[..., None].astype(np.float32)
    codes = np.rint(np.clip(signal, 0, 1) * 255).astype(np.float32) / 255
    return source_nits(codes[:, drift : drift + WIDTH], BT709)


def skin_patch() -> Image:
    """A face-coloured scene with shading."""
    shade = np.linspace(0.6, 1.0, WIDTH, dtype=np.float32)[None, :, None]
    signal = np.ones((HEIGHT, WIDTH, 3), np.float32) * np.float32([0.85, 0.62, 0.5]) * shade
    return source_nits(signal, BT709)


def expanded(nits: Image, peak_nits: float = 1000.0) -> Image:
    """A well-behaved expansion: unchanged up to 60 nits, rising by a power law to the peak at SDR white."""
    y = luminance(nits)
    exponent = np.log(peak_nits / 60) / np.log(203 / 60)
    gain = np.maximum(y / 60, 1) ** (exponent - 1)
    return np.minimum(nits * gain[..., None], peak_nits).astype(np.float32)


def guarded(model_id: str, nits: Image, mid_gain_ev: float) -> Image:
    """What a catalogue model makes of the picture at 1000 nits and that exposure."""
    expand = bind_guarded(model_id, None, Controls(mid_gain_ev=mid_gain_ev))
    return expand(nits.astype(np.float64) / REFERENCE_WHITE_NITS).astype(np.float32)


def pair(source: Image, output: Image, number: int = 0, shot: int = 0, window: int = 0) -> FramePair:
    """A frame pair whose graphics detector ran and found nothing."""
    return FramePair(shot, window, number, source, output.astype(np.float32), np.zeros(source.shape[:2], np.float32))


def judged(*pairs: FramePair, controls: JudgeControls | None = None) -> dict[str, GateResult]:
    """Gate results by name."""
    judge = Judge(LIMITS, controls or JudgeControls())
    for one in pairs:
        judge.add(one)
    return {gate.gate: gate for gate in judge.gates()}
