"""Light level against the standards' formulas in double precision, written out independently."""

from __future__ import annotations

import math
import time

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import AgentError
from toolchain.video.encode import plane_views
from toolchain.video.measure import LightLevelMeter


def pq_nits(signal: np.ndarray) -> np.ndarray:
    power = np.clip(signal, 0, 1) ** (32 / 2523)
    return 1e4 * (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)


def rgb_signal(frame: av.VideoFrame) -> np.ndarray:
    luma, cb, cr = (plane.astype(float) for plane in plane_views(frame))
    rows, columns = luma.shape
    cb, cr = (np.repeat(np.repeat(c, rows // c.shape[0], 0), columns // c.shape[1], 1) for c in (cb, cr))
    y, u, v = (luma - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    red, blue = y + 1.4746 * v, y + 1.8814 * u
    return np.stack([red, (y - 0.2627 * red - 0.0593 * blue) / 0.6780, blue])


def frame_of(luma: int | np.ndarray, cb: int | np.ndarray, cr: int | np.ndarray, form: str = "yuv420p10le"):
    frame = av.VideoFrame(64, 32, form)
    for plane, value in zip(plane_views(frame), (luma, cb, cr), strict=True):
        plane[:] = value
    return frame


@pytest.mark.parametrize(
    ("code", "nits"),
    # 64 + 876 * PQ^-1(nits): BT.2408-7 table 1 (203 nits = 58 %), ST 2084 (100 nits = 50.81 %), full scale.
    [(64 + 876 * 0.508078421517399, 100.0), (940, 10000.0)],
)
def test_grey_is_the_light_its_code_stands_for(code: float, nits: float) -> None:
    meter = LightLevelMeter("hdr10")
    light = meter.add(frame_of(round(code), 512, 512))
    assert light.max_nits == pytest.approx(nits, rel=0.006)
    assert light.mean_max_nits == pytest.approx(light.max_nits, rel=1e-3)
    assert light.mean_log2_luminance == pytest.approx(math.log2(light.max_nits), abs=0.01)


@pytest.mark.parametrize("form", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_any_picture_agrees_with_the_formula(form: str) -> None:
    rng = np.random.default_rng(5)
    frame = av.VideoFrame(96, 48, form)
    for index, plane in enumerate(plane_views(frame)):
        plane[:] = rng.integers(0, 1024, plane.shape) if index == 0 else rng.integers(350, 700, plane.shape)
    light = LightLevelMeter("hdr10").add(frame)
    expected = pq_nits(rgb_signal(frame).max(axis=0))
    assert light.max_nits == pytest.approx(expected.max(), rel=1e-4)
    assert light.mean_max_nits == pytest.approx(expected.mean(), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1023), st.integers(0, 1023), st.integers(0, 1023))
def test_every_code_gives_finite_light_within_pq(luma: int, cb: int, cr: int) -> None:
    for hdr_format in ("hdr10", "hlg"):
        light = LightLevelMeter(hdr_format).add(frame_of(luma, cb, cr))
        assert all(map(math.isfinite, light))
        # The mean comes from a table in eighths of a code, the peak from the formula; near black a step is much.
        assert 0 <= light.mean_max_nits <= light.max_nits * (1 + 2e-3) + 0.001
        assert light.max_nits <= 10000 * (1 + 1e-6)


def test_max_cll_and_max_fall_are_over_frames_and_rounded_up() -> None:
    meter = LightLevelMeter("hdr10")
    lights = [meter.add(frame_of(code, 512, 512)) for code in (300, 700, 400)]
    assert meter.max_cll == math.ceil(max(light.max_nits for light in lights))
    assert meter.max_fall == math.ceil(max(light.mean_max_nits for light in lights) * (1 - 1e-6))
    assert meter.frame_count == 3


def test_black_is_not_reported_as_unknown() -> None:
    meter = LightLevelMeter("hdr10")
    meter.add(frame_of(64, 512, 512))
    assert (meter.max_cll, meter.max_fall) == (1, 1)


def test_hlg_reference_white_is_203_nits_and_full_scale_is_1000() -> None:
    # BT.2408-7 table 1: 75 % HLG is 203 nits on the 1000-nit reference display.
    meter = LightLevelMeter("hlg")
    assert meter.add(frame_of(round(64 + 876 * 0.75), 512, 512)).max_nits == pytest.approx(203, rel=0.01)
    assert meter.add(frame_of(940, 512, 512)).max_nits == pytest.approx(1000, rel=1e-3)


def test_eight_bit_frames_are_refused() -> None:
    with pytest.raises(AgentError, match="10-bit"):
        LightLevelMeter("hdr10").add(av.VideoFrame(16, 16, "yuv420p"))


def test_a_1080p_frame_costs_little() -> None:
    frame = av.VideoFrame(1920, 1080, "yuv420p10le")
    rng = np.random.default_rng(0)
    for index, plane in enumerate(plane_views(frame)):
        plane[:] = rng.integers(64, 700, plane.shape) if index == 0 else rng.integers(480, 560, plane.shape)
    meter = LightLevelMeter("hdr10")
    meter.add(frame)
    costs = []
    for _ in range(10):
        start = time.thread_time()
        meter.add(frame)
        costs.append(time.thread_time() - start)
    assert min(costs) < 0.006  # measured 2.6 ms; twice that catches a kernel that is no longer compiled well
