"""Blocking, noise, blur, banding and flatness on pictures whose truth is known by construction."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.signals.banding import banding, stepped_blocks
from analysis.signals.blockiness import blockiness
from analysis.signals.blur import blur
from analysis.signals.flatness import flatness
from analysis.signals.native import native_luma
from analysis.signals.noise import noise_sigma

SHAPE = (288, 384)


def measured_banding(luma):
    return banding(*stepped_blocks(luma.astype(np.float32)))


MEASURES = {
    "blockiness": (blockiness, 1.0),
    "noise": (noise_sigma, 0.0),
    "blur": (blur, 0.0),
    "banding": (measured_banding, 0.0),
}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def textured(rng):
    """Detail at every scale, as in a photograph (1/f), without any grid."""
    picture = np.zeros(SHAPE, np.float32)
    for scale in (2, 4, 8, 16, 32):
        coarse = rng.normal(0, 1, (SHAPE[0] // scale + 1, SHAPE[1] // scale + 1)).astype(np.float32)
        picture += 3 * scale**0.7 * cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(120 + picture), 16, 235).astype(np.float32)


def noise_only(sigma):
    return np.rint(128 + np.random.default_rng(3).normal(0, sigma, SHAPE)).astype(np.float32)


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
@pytest.mark.parametrize("name", MEASURES)
def test_flat_frame_raises_no_alarm(name, level):
    measure, neutral = MEASURES[name]
    assert measure(np.full(SHAPE, level, np.float32)) == neutral


def test_noise_alone_is_only_noise():
    frame = noise_only(5.0)
    assert noise_sigma(frame) == pytest.approx(5.0, rel=0.05)
    assert blockiness(frame) < 1.15
    assert measured_banding(frame) == 0.0
    assert flatness(frame) == 0.0
    assert blur(frame) < 0.2


@given(arrays(np.float32, st.tuples(st.integers(1, 70), st.integers(1, 70)), elements=st.floats(0, 255, width=32)))
@settings(max_examples=40, deadline=None)
def test_any_picture_of_any_size_gives_finite_values_in_range(luma):
    values = {name: measure(luma) for name, (measure, _) in MEASURES.items()} | {"flatness": flatness(luma)}
    assert all(np.isfinite(value) for value in values.values())
    assert values["blockiness"] >= 1.0
    assert values["noise"] >= 0.0
    assert all(0.0 <= values[name] <= 1.0 for name in ("blur", "banding", "flatness"))


@pytest.mark.parametrize("offset", [(0, 0), (3, 5)])
def test_blockiness_grows_with_the_steps_on_the_grid_wherever_it_starts(textured, rng, offset):
    steps = np.kron(rng.normal(0, 1, (40, 52)), np.ones((8, 8)))[offset[0] :, offset[1] :][: SHAPE[0], : SHAPE[1]]
    values = [blockiness((textured + amount * steps).astype(np.float32)) for amount in (0, 2, 4, 6)]
    assert values[0] < 1.3
    assert values == sorted(values)
    assert values[-1] > 1.5 * values[0]


@pytest.mark.parametrize("scale", [4 / 3, 1.5, 2.0, 3.0])
def test_blockiness_is_found_after_upscaling(rng, scale):
    steps = 128 + 6 * np.kron(rng.normal(0, 1, (40, 52)), np.ones((8, 8)))
    scaled = cv2.resize(steps, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    assert blockiness(np.rint(scaled).astype(np.float32)) > 1.5


def test_stripes_in_one_direction_are_no_grid():
    stripes = np.tile(np.repeat([100.0, 108.0], 8), (SHAPE[0], SHAPE[1] // 16))
    assert blockiness(stripes.astype(np.float32)) == 1.0


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_noise_sigma_is_measured_beside_texture(textured, sigma):
    picture = textured.copy()
    picture[:, : SHAPE[1] // 2] = np.linspace(60, 180, SHAPE[0], dtype=np.float32)[:, np.newaxis]
    noisy = picture + np.random.default_rng(1).normal(0, sigma, SHAPE).astype(np.float32)
    assert noise_sigma(np.rint(noisy)) == pytest.approx(np.hypot(sigma, 0.29), rel=0.12)


def test_noise_that_clipping_hides_is_not_guessed():
    assert noise_sigma(np.clip(noise_only(3.0) - 128, 0, 255)) == 0.0


def test_blur_grows_with_the_blur(textured):
    values = [blur(textured)] + [blur(cv2.GaussianBlur(textured, (0, 0), sigma)) for sigma in (1, 2, 3, 5)]
    assert values == sorted(values)
    assert values[0] < 0.5 < 0.7 < values[-1]


def test_soft_background_behind_a_sharp_subject_is_not_blur():
    soft = np.full((512, 512), 120, np.float32)
    subject = noise_only(30.0)[:256, :256]
    soft[128:384, 128:384] = subject
    assert blur(soft) < 0.3


@pytest.mark.parametrize("step", [2, 4, 8])
def test_coarse_steps_are_banding(step):
    slope = np.tile(np.linspace(60, 140, SHAPE[1]), (SHAPE[0], 1))
    assert measured_banding(np.rint(slope / step) * step) > 0.9


def test_banding_grows_from_dithered_over_eight_bit_to_coarse():
    slope = np.tile(np.linspace(60, 100, SHAPE[1]), (SHAPE[0], 1))
    dithered = np.rint(slope + np.random.default_rng(0).normal(0, 0.5, SHAPE))
    assert measured_banding(dithered) == 0.0
    assert measured_banding(np.rint(slope)) == pytest.approx(0.5)
    assert measured_banding(np.rint(slope / 4) * 4) > 0.9


def test_ten_bit_slope_is_not_banding():
    slope = np.tile(np.linspace(60, 70, SHAPE[1]), (SHAPE[0], 1))
    assert measured_banding(np.rint(slope * 4) / 4) == 0.0


def test_flatness_is_the_share_painted_in_one_tone(textured):
    picture = textured.copy()
    picture[:144] = 120
    assert flatness(picture) == pytest.approx(0.5, abs=0.05)
    picture[144:] = 235  # white says nothing
    assert flatness(picture) == 1.0


@pytest.mark.parametrize(("pix_fmt", "scale"), [("yuv420p", 1), ("yuv422p10le", 4), ("yuv444p12le", 16)])
def test_native_luma_is_in_eight_bit_codes_for_any_depth(pix_fmt, scale):
    frame = av.VideoFrame(70, 50, pix_fmt)
    for plane in frame.planes:
        plane.update(np.full(plane.buffer_size // (1 if scale == 1 else 2), 100 * scale + scale // 4,
                             np.uint8 if scale == 1 else "<u2").tobytes())  # fmt: skip
    luma, window = native_luma(frame, (0.0, 0.2, 1.0, 0.8))
    assert luma.shape == (30, 70)
    assert window == (0.0, 0.2, 1.0, 0.8)
    np.testing.assert_allclose(luma, 100 + (scale // 4) / scale)


def test_native_luma_takes_the_middle_of_a_large_frame():
    frame = av.VideoFrame(3840, 2160, "gray")
    luma, window = native_luma(frame)
    assert luma.shape == (1088, 1920)
    assert window == pytest.approx((0.25, 536 / 2160, 0.75, 1624 / 2160))
