"""Banding and structure: what the gates that use libvmaf catch, let pass, and say when it is missing."""

from functools import cache

import cv2
import numpy as np
import pytest

from analysis.vqa import cambi, luma_gate, vmaf_neg
from analysis.vqa.libvmaf import LibvmafUnavailable
from analysis.vqa.spec import FramePair, JudgeControls, load_limits
from analysis.vqa.view import View
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

LIMITS = load_limits()
SIZES = [(480, 270), (270, 480), (480, 200), (160, 90)]


@cache
def sky(size, codes=0.0, low=500, rise=60, grain=0.0):
    """A slope of ten-bit PQ codes at twice the size, in steps of `codes`, averaged to `size`; dithered where 0."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[0 : 2 * size[1], 0 : 2 * size[0]]
    signal = low + rise * (y / (2 * size[1]) + x / (2 * size[0])) / 2 + grain * random.standard_normal(y.shape)
    signal = np.round(signal / codes) * codes if codes else np.round(signal + random.random(y.shape) - 0.5)
    nits = pq_eotf(signal / 876).astype(np.float32)
    return np.repeat(cv2.resize(nits, size, interpolation=cv2.INTER_AREA)[..., None], 3, axis=2)


def judged(spec, source, output, frames=1):
    gate = spec.make_gate(getattr(LIMITS, spec.name), JudgeControls())
    for number in range(frames):
        gate.add(View(FramePair(0, 0, number, source, output)))
    return gate.result()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("codes", [4, 8, 16])
def test_steps_in_a_sky_are_caught_at_every_size(size, codes):
    assert judged(cambi.BANDING, sky(size), sky(size, codes)).state == "failed"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("grain", [0.0, 4.0, 12.0])
def test_a_smooth_or_grainy_sky_passes_also_when_it_is_expanded(size, grain):
    good = sky(size, low=520, rise=100, grain=grain)
    assert judged(cambi.BANDING, sky(size, grain=grain), good).state == "passed"


def test_steps_that_the_source_had_are_not_held_against_the_output():
    result = judged(cambi.BANDING, sky((480, 270), 8), sky((480, 270), 8))
    assert (result.state, result.value) == ("passed", 0.0)


def textured(sigma=0.0):
    random = np.random.default_rng(0)
    grey = cv2.GaussianBlur(random.random((270, 480)).astype(np.float32), (0, 0), 2)
    nits = pq_eotf(0.3 + 0.28 * (grey - grey.min()) / (grey.max() - grey.min())).astype(np.float32)
    nits = cv2.GaussianBlur(nits, (0, 0), sigma) if sigma else nits
    return np.repeat(nits[..., None], 3, axis=2)


def test_structure_falls_with_blur_and_ignores_a_tone_curve():
    source = textured()
    brighter = pq_eotf(np.minimum(1.12 * pq_eotf_inverse(source), 0.75)).astype(np.float32)
    unchanged, expanded, blurred = (
        judged(vmaf_neg.STRUCTURE_VMAF, source, out) for out in (source, brighter, textured(3))
    )
    assert unchanged.value > 95
    assert expanded.value > 85
    assert blurred.state == "failed"
    assert "PU21-SSIM" in blurred.detail
    assert unchanged.direction == "higher"


def test_every_sixth_frame_of_a_window_is_measured(monkeypatch):
    counts = []
    monkeypatch.setattr(
        luma_gate, "measure", lambda out, *_: counts.append(out.frames) or [{"cambi_eotf": 0, "cambi_source": 0}] * 2
    )
    gate = cambi.BANDING.make_gate(1, JudgeControls())
    for window, number in ((0, n) for n in range(7)):
        gate.add(View(FramePair(0, window, number, textured(), textured())))
    assert gate.result().frames == (0, 6)
    assert counts == [2]


def test_without_libvmaf_the_gate_is_not_measured_and_says_why(monkeypatch):
    def broken(*_):
        raise LibvmafUnavailable("libvmaf failed: no such filter")

    monkeypatch.setattr(luma_gate, "measure", broken)
    result = judged(cambi.BANDING, textured(), textured())
    assert (result.state, result.value) == ("not_measured", None)
    assert "no such filter" in result.detail


def test_no_frames_are_not_measured():
    gate = cambi.BANDING.make_gate(1, JudgeControls())
    assert gate.result().state == "not_measured"


def test_the_answer_stays_when_asked_again_and_frames_may_follow():
    gate = cambi.BANDING.make_gate(1, JudgeControls())
    gate.add(View(FramePair(0, 0, 0, sky((480, 270)), sky((480, 270), 8))))
    first = gate.result()
    assert gate.result() == first
    gate.add(View(FramePair(1, 1, 9, sky((480, 270)), sky((480, 270)))))
    assert gate.result() == first
