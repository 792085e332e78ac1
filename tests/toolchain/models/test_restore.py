"""Restore models that are filters do what they say, on frames whose defect is known, in PyAV's own FFmpeg."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from toolchain.errors import UsageError
from toolchain.models.registry import specs
from toolchain.models.restore import restore_filters

SIZE = 128
FILTERS = tuple(spec.id for spec in specs("restore") if spec.filters)
FORMATS = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
X, Y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
TEXTURE = np.clip(500 + 150 * np.sin(X / 7) * np.cos(Y / 9) + np.where(X > 64, 120, 0), 64, 940)
SMOOTH = 500 + 100 * np.sin(X / 40) * np.cos(Y / 45)
RNG = np.random.default_rng(17)


def run(frames: list[np.ndarray], model_id: str, pix_fmt: str = FORMATS[0], **parameters: float) -> list[np.ndarray]:
    """Luma in 10-bit codes -> luma after the model's filters, between `format` filters as in the pipeline."""
    height, width = frames[0].shape
    graph = Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pix_fmt, width, height), time_base=Fraction(1, 25)
    )
    named = ("format", f"pix_fmts={pix_fmt}")
    chain = [source, *(graph.add(*pair) for pair in (named, *restore_filters(model_id, parameters), named))]
    graph.link_nodes(*chain, graph.add("buffersink")).configure()
    for pts, luma in enumerate(frames):
        graph.push(_frame(luma, pix_fmt, pts))
    graph.push(None)
    return list(_drain(graph, pix_fmt))


def _frame(luma: np.ndarray, pix_fmt: str, pts: int) -> av.VideoFrame:
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pix_fmt)
    for index, plane in enumerate(frame.planes):
        samples = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
        if index == 0:
            samples[:, : plane.width] = np.round(luma)
        plane.update(samples.tobytes())
    frame.pts, frame.time_base = pts, Fraction(1, 25)
    return frame


def _drain(graph: Graph, pix_fmt: str):
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert frame.format.name == pix_fmt
        plane = frame.planes[0]
        yield np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width].astype(np.float64)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("model_id", FILTERS)
def test_runs_in_ten_bits_on_every_chroma_format_and_keeps_clean_content(model_id, pix_fmt):
    out = run([TEXTURE] * 4, model_id, pix_fmt)
    assert len(out) == 4
    assert out[2].shape == TEXTURE.shape
    limit = {"sharpen": 4.0, "denoise": 3.5, "deblock": 3.0}.get(model_id, 1.5)
    assert rms(out[2] - TEXTURE) < limit, "10-bit codes: under one 8-bit step"


@pytest.mark.parametrize("model_id", FILTERS)
def test_flat_grey_stays_flat_also_at_the_borders_of_odd_sizes(model_id):
    flat = np.full((70, 98), 400.0)
    out = run([flat] * 3, model_id)[1]
    assert np.abs(out - 400).max() <= 1


@pytest.mark.parametrize("model_id", FILTERS)
def test_same_input_gives_the_same_bits(model_id):
    noisy = [TEXTURE + RNG.normal(0, 8, TEXTURE.shape) for _ in range(3)]
    first = np.array(run(noisy, model_id))
    assert all(np.array_equal(run(noisy, model_id), first) for _ in range(10))


def test_deinterlace_removes_combing():
    def moving(time: float) -> np.ndarray:
        return np.where((X - 6 * time) % 64 < 32, 300.0, 700.0)

    woven = [np.where(Y % 2 == 0, moving(2 * n), moving(2 * n + 1)) for n in range(6)]
    out = run(woven, "deinterlace", parity=0)
    comb = [rms(f[1:-1] - 0.5 * (f[:-2] + f[2:])) for f in (woven[3], out[3])]
    assert len(out) == len(woven)
    assert comb[1] < 0.25 * comb[0]
    assert rms(out[3] - moving(6)) < 0.5 * rms(woven[3] - moving(6))


@pytest.mark.parametrize(("sigma_8bit", "left"), [(1, 0.75), (2, 0.5), (4, 0.45)])
def test_denoise_lowers_the_noise_it_is_told_of_also_in_motion(sigma_8bit, left):
    sigma = 4.0 * sigma_8bit
    clean = [np.roll(SMOOTH, 3 * n, axis=0) for n in range(5)]
    noisy = [frame + RNG.normal(0, sigma, frame.shape) for frame in clean]
    out = run(noisy, "denoise", sigma=sigma_8bit)
    assert rms(out[3] - clean[3]) < left * sigma


def test_deblock_lowers_the_grid():
    blocks = np.kron(SMOOTH.reshape(16, 8, 16, 8).mean(axis=(1, 3)), np.ones((8, 8)))
    coarse = 0.5 * SMOOTH + 0.5 * blocks
    out = run([coarse] * 3, "deblock")[1]
    before, after = (np.abs(np.diff(picture, axis=1))[:, 7::8].mean() for picture in (coarse, out))
    assert after < 0.4 * before
    assert rms(out - SMOOTH) < 0.75 * rms(coarse - SMOOTH)


@pytest.mark.parametrize(("strength", "gain"), [(0.75, 1.06), (0.9, 1.14)])
def test_sharpen_raises_the_slope_of_a_soft_edge_without_a_halo(strength, gain):
    soft = 300 + 300 / (1 + np.exp(-(X - 64) / 1.2))
    out = run([soft] * 3, "sharpen", strength=strength)[1]
    assert np.abs(np.diff(out, axis=1)).max() > gain * np.abs(np.diff(soft, axis=1)).max()
    assert out.min() >= 298
    assert out.max() <= 602


def test_options_hold_formatted_numbers_only():
    assert restore_filters("deinterlace", {"parity": 1}) == (("bwdif", "mode=send_frame:parity=1:deint=all"),)
    assert restore_filters("deblock", {"threshold": 0.0123456789})[0][1].startswith(
        "filter=strong:block=8:alpha=0.0123457:"
    )
    assert [name for name, _ in restore_filters("denoise", {})] == ["pad", "fillborders", "fftdnoiz", "crop"]


@pytest.mark.parametrize(
    ("model_id", "parameters", "message"),
    [
        ("denoise", {"sigma": 99.0}, "from 0.25 to 8"),
        ("denoise", {"sigma": float("nan")}, "sigma is nan"),
        ("denoise", {"strength": 1.0}, "no parameter 'strength'"),
        ("deinterlace", {"parity": 0.5}, "whole numbers from -1 to 1"),
        ("bt2446a", {}, "expands and does not restore"),
        ("hqdn3d", {}, "There is no model 'hqdn3d'"),
    ],
)
def test_bad_requests_are_refused(model_id, parameters, message):
    with pytest.raises(UsageError, match=message):
        restore_filters(model_id, parameters)
