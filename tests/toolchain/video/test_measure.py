"""Light level against the standards' formulas in double precision, and against FFmpeg's zscale on an encoded file."""

from __future__ import annotations

import math
import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import AgentError
from toolchain.video.encode import SegmentEncoder, new_frame, plane_views
from toolchain.video.measure import LightLevelMeter
from toolchain.video.output import Codec, OutputSpec


def pq_nits(signal: np.ndarray) -> np.ndarray:
    power = np.clip(signal, 0, 1) ** (32 / 2523)
    return 1e4 * (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)


def widened(plane: np.ndarray, length: int) -> np.ndarray:
    """First axis to `length` by linear interpolation, sample k at 2k; the last sample is repeated."""
    at, known = np.arange(length), np.arange(plane.shape[0]) * (1 if plane.shape[0] == length else 2)
    flat = plane.reshape(plane.shape[0], -1)
    columns = [np.interp(at, known, flat[:, index]) for index in range(flat.shape[1])]
    return np.stack(columns, 1).reshape(length, *plane.shape[1:])


def max_rgb_nits(frame: av.VideoFrame) -> np.ndarray:
    luma, cb, cr = (plane.astype(float) for plane in plane_views(frame))
    rows, columns = luma.shape
    cb, cr = (widened(widened(c, rows).T, columns).T for c in (cb, cr))
    y, u, v = (luma - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    red, blue = y + 1.4746 * v, y + 1.8814 * u
    return pq_nits(np.stack([red, (y - 0.2627 * red - 0.0593 * blue) / 0.6780, blue])).max(axis=0)


def frame_of(luma: int | np.ndarray, cb: int | np.ndarray, cr: int | np.ndarray, form: str = "yuv420p10le"):
    frame = av.VideoFrame(64, 32, form)
    for plane, value in zip(plane_views(frame), (luma, cb, cr), strict=True):
        plane[:] = value
    return frame


def measured(*frames: av.VideoFrame) -> LightLevelMeter:
    meter = LightLevelMeter()
    for frame in frames:
        meter.add(frame)
    return meter


@pytest.mark.parametrize(
    ("code", "nits"),
    # 64 + 876 * PQ^-1(nits): BT.2408-7 table 1 (203 nits = 58 %), ST 2084 (100 nits = 50.81 %), full scale.
    [(64 + 876 * 0.580688881041611, 203.0), (64 + 876 * 0.508078421517399, 100.0), (940, 10000.0)],
)
def test_grey_is_the_light_its_code_stands_for(code: float, nits: float) -> None:
    meter = measured(frame_of(round(code), 512, 512))
    assert meter.peak_nits == pytest.approx(nits, rel=0.006)
    assert meter.frame_mean_nits == pytest.approx(meter.peak_nits, rel=1e-3)


@pytest.mark.parametrize("form", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
@pytest.mark.parametrize("size", [(96, 48), (2, 2), (34, 18), (35, 17)])
def test_any_picture_agrees_with_the_formula(form: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    frame = av.VideoFrame(*size, form)
    for index, plane in enumerate(plane_views(frame)):
        plane[:] = rng.integers(0, 1024, plane.shape) if index == 0 else rng.integers(350, 700, plane.shape)
    meter, expected = measured(frame), max_rgb_nits(frame)
    assert meter.peak_nits == pytest.approx(expected.max(), rel=1e-4)
    assert meter.frame_mean_nits == pytest.approx(expected.mean(), rel=1e-3)


def test_a_colour_edge_inside_a_chroma_sample_invents_no_peak() -> None:
    """Grey 300 nits beside dark red: the red chroma must fade over the grey's side, not be added to it in full."""
    luma = np.full((32, 64), 350)
    luma[:, 33:] = 600
    cr = np.full((16, 32), 700)
    cr[:, 17:] = 512
    frame = frame_of(luma, 512, cr)
    in_full = pq_nits(np.array((600 - 64) / 876 + 1.4746 * (700 - 512) / 896))
    assert measured(frame).peak_nits == pytest.approx(max_rgb_nits(frame).max(), rel=1e-4)
    assert measured(frame).peak_nits < 0.5 * in_full


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1023), st.integers(0, 1023), st.integers(0, 1023))
def test_every_code_gives_finite_light_within_pq(luma: int, cb: int, cr: int) -> None:
    meter = measured(frame_of(luma, cb, cr))
    # The mean comes from a table in eighths of a code, the peak from the formula; near black a step is much.
    assert 0 <= meter.frame_mean_nits <= meter.peak_nits * (1 + 2e-3) + 0.001
    assert meter.peak_nits <= 10000 * (1 + 1e-6)


def test_max_cll_and_max_fall_are_over_frames_and_rounded_up() -> None:
    frames = [frame_of(code, 512, 512) for code in (300, 700, 400)]
    meter, brightest = measured(*frames), measured(frames[1])
    assert meter.max_cll == math.ceil(brightest.peak_nits)
    assert meter.max_fall == math.ceil(brightest.frame_mean_nits * (1 - 1e-6))


def test_black_is_not_reported_as_unknown() -> None:
    meter = measured(frame_of(64, 512, 512))
    assert (meter.max_cll, meter.max_fall) == (1, 1)


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p12le", "gbrp10le"])
def test_frames_that_we_do_not_write_are_refused(form: str) -> None:
    with pytest.raises(AgentError, match=f"cannot measure {form}"):
        measured(av.VideoFrame(16, 16, form))


@pytest.mark.parametrize(
    ("codec", "source_chroma", "location"),
    [("ffv1", "4:2:0", "topleft"), ("ffv1", "4:4:4", "left"), ("prores", "4:2:2", "left")],
)
def test_an_independent_reader_of_the_file_finds_the_same(
    codec: Codec, source_chroma: str, location: str, tmp_path: Path
) -> None:
    """FFmpeg's zscale interpolates chroma and converts to R'G'B'; only PQ is ours, written out above."""
    path = tmp_path / "coloured.mkv"
    spec = OutputSpec.for_path(path, codec, threads=1, source_chroma=source_chroma)
    frame = new_frame(spec, 64, 48)
    rng = np.random.default_rng(1)
    for index, plane in enumerate(plane_views(frame)):
        blocks = rng.integers(100, 600, (12, 16)) if index == 0 else rng.integers(420, 600, (6, 8))
        plane[:] = np.kron(blocks, np.ones((plane.shape[0] // blocks.shape[0], plane.shape[1] // blocks.shape[1])))
    frame.pts = 0
    with SegmentEncoder(path, spec, 64, 48, Fraction(1), Fraction(1, 25), Fraction(25)) as encoder:
        encoder.write(frame)
    with av.open(str(path)) as container:
        meter = measured(*container.decode(video=0))
    rgb = zscale_rgb(path, location, 64, 48)
    assert meter.peak_nits == pytest.approx(pq_nits(rgb).max(), rel=0.01)
    assert meter.frame_mean_nits == pytest.approx(pq_nits(rgb).max(axis=0).mean(), rel=0.01)


def zscale_rgb(path: Path, location: str, width: int, height: int) -> np.ndarray:
    """The first frame as R'G'B' planes in [0, 1] (in the order G, B, R)."""
    to_rgb = f"zscale=matrixin=2020_ncl:rangein=limited:chromalin={location}:filter=bilinear:matrix=gbr:range=full"
    options = {"frames:v": 1, "v": "error", "vf": f"{to_rgb},format=gbrpf32le"}
    stream = ffmpeg.output(ffmpeg.input(str(path)), "-", format="rawvideo", **options)
    command = cast(list[str], ffmpeg.compile(stream, cmd=imageio_ffmpeg.get_ffmpeg_exe()))
    data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return np.frombuffer(data, "<f4").reshape(3, height, width)


def test_a_1080p_frame_costs_little() -> None:
    frame = av.VideoFrame(1920, 1080, "yuv420p10le")
    rng = np.random.default_rng(0)
    for index, plane in enumerate(plane_views(frame)):
        plane[:] = rng.integers(64, 700, plane.shape) if index == 0 else rng.integers(480, 560, plane.shape)
    meter = measured(frame)
    costs = []
    for _ in range(10):
        start = time.thread_time()
        meter.add(frame)
        costs.append(time.thread_time() - start)
    assert min(costs) < 0.005  # measured 1.9 ms; more than twice that is a kernel that is no longer compiled well
