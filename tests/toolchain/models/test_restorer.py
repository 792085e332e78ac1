from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from toolchain.color.ycbcr import code_range
from toolchain.errors import InputError, UsageError
from toolchain.models import restorer as module
from toolchain.models.networks.restore import CodecClean
from toolchain.models.restore_strength import compression_strength, sigma_strength, softness_strength
from toolchain.models.restorer import Restorer, strengths
from toolchain.runtimes.base import RuntimeName
from toolchain.video.decode import planes

FORMATS = ["yuv420p", "yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p", "yuv444p12le", "gray", "gray10le"]


class TorchSession:
    """The real network, as a runtime would run it; counts its calls."""

    runtime: RuntimeName = "torch"
    provider = "test"

    def __init__(self, change: float = 0.1):
        torch.manual_seed(0)
        self.network = CodecClean().eval()
        torch.nn.init.normal_(self.network.tail.weight, std=change)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs):
        self.shapes.append(inputs["planes"].shape)
        with torch.no_grad():
            given = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in ("planes", "strength")]
            return {"restored": self.network.restore(*given).numpy()}


class Adds:
    """Adds the same to every sample."""

    runtime: RuntimeName = "torch"
    provider = "test"

    def __init__(self, shares: float):
        self.shares = np.float32(shares)

    def run(self, inputs):
        return {"restored": inputs["planes"] + self.shares}


class AddsToLuma(Adds):
    def run(self, inputs):
        return {"restored": inputs["planes"] + self.shares * (np.arange(6) < 4)[:, None, None].astype(np.float32)}


def frame_of(name: str, width: int = 64, height: int = 48, seed: int = 0) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    rng = np.random.default_rng(seed)
    top = 2 ** frame.format.components[0].bits
    for view in planes(frame):
        smooth = np.add.outer(np.linspace(0.2, 0.5, view.shape[0]), np.linspace(0.1, 0.3, view.shape[1]))
        view[:] = ((smooth + rng.normal(0, 0.02, view.shape)) * top).astype(view.dtype)
    frame.pts, frame.time_base = 1234, Fraction(1, 90000)
    frame.colorspace, frame.color_range = 1, 1
    frame.color_primaries, frame.color_trc = 1, 1
    return frame


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (65, 47), (16, 10)])
def test_every_format_and_size_comes_back_at_ten_bits(name, size):
    frame = frame_of(name, *size)
    out = Restorer("codec-clean", {"sigma": 4.0}, TorchSession()).restore(frame)
    chroma = "gray10le" if name.startswith("gray") else f"{name.partition('p')[0]}p10le"
    assert (out.format.name, out.width, out.height) == (chroma, *size)
    assert (out.pts, out.time_base) == (1234, Fraction(1, 90000))
    assert (out.colorspace, out.color_range, out.color_primaries, out.color_trc) == (1, 1, 1, 1)
    share = 2.0 ** (frame.format.components[0].bits - 10)
    assert np.abs(planes(out)[0] - planes(frame)[0] / share).max() > 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("colour_range", "range_name"), [(1, "limited"), (2, "full")])
def test_no_strength_changes_nothing_but_the_depth(name, colour_range, range_name):
    frame = frame_of(name, 50, 38)
    frame.color_range = colour_range
    out = Restorer("codec-clean", {"sigma": 0.0, "compression": 0.0}, TorchSession()).restore(frame)
    before, after = (code_range(f.format.components[0].bits, range_name) for f in (frame, out))
    for index, (source, found) in enumerate(zip(planes(frame), planes(out), strict=True)):
        offset, scale = before[2 * (index > 0) :][:2]
        offset_10, scale_10 = after[2 * (index > 0) :][:2]
        expected = (source - offset) / scale * scale_10 + offset_10
        assert np.abs(found - expected).max() < 0.501


def test_limited_and_full_range_of_one_picture_are_restored_alike():
    limited = frame_of("yuv420p10le")
    limited.color_range = 1
    full = frame_of("yuv420p10le")
    full.color_range = 2
    for index, (source, target) in enumerate(zip(planes(limited), planes(full), strict=True)):
        share = (source - 64.0) / 876 if index == 0 else (source - 512.0) / 896
        target[:] = np.rint(share * 1023 + (512 if index else 0))
    restorer = Restorer("codec-clean", {"sigma": 4.0, "compression": 0.5}, TorchSession())
    a, b = (planes(restorer.restore(frame)) for frame in (limited, full))
    assert np.abs((a[0] - 64.0) / 876 - b[0] / 1023).max() < 2.5 / 1023
    assert np.abs((a[1] - 512.0) / 896 - (b[1] - 512.0) / 1023).max() < 2.5 / 1023


def test_a_correction_has_the_units_of_codes():
    frame = frame_of("yuv420p")
    out = Restorer("codec-clean", {}, Adds(2 / 255)).restore(frame)
    for after, before in zip(planes(out), planes(frame), strict=True):
        assert np.array_equal(after, 4 * before.astype(np.uint16) + 8)


@pytest.mark.parametrize("name", ["gbrp", "gbrp10le", "gbrp12le"])
@pytest.mark.parametrize("colour_range", [0, 1, 2])
def test_rgb_is_restored_too(name, colour_range):
    """Untagged R'G'B' is full range. Two codes of luma on a grey picture are 2/219 of its signal in R', G' and B'."""
    frame = frame_of(name, 51, 37)
    frame.color_range = colour_range
    ranges = "limited" if colour_range == 1 else "full"
    before, after = (code_range(bits, ranges)[:2] for bits in (frame.format.components[0].bits, 10))
    expected = [(view - before[0]) / before[1] * after[1] + after[0] for view in planes(frame)]
    same = Restorer("codec-clean", {"sigma": 0.0, "compression": 0.0}, TorchSession()).restore(frame)
    assert same.format.name == "gbrp10le"
    assert (same.pts, same.color_range) == (1234, colour_range)
    for found, wanted in zip(planes(same), expected, strict=True):
        assert np.abs(found - np.clip(wanted, 0, 1023)).max() < 0.502
    for view in planes(frame):
        view[:] = planes(frame)[0]
    lifted = Restorer("codec-clean", {}, AddsToLuma(2 / 255)).restore(frame)
    for found in planes(lifted):
        assert np.abs(found - expected[0] - 2 / 219 * after[1]).max() < 0.51


def test_chroma_of_another_format_keeps_its_detail():
    frame = frame_of("yuv444p")
    out = Restorer("codec-clean", {}, Adds(2 / 255)).restore(frame)
    assert np.abs(planes(out)[1].astype(int) - (4 * planes(frame)[1].astype(int) + 8)).max() <= 1


def test_tiles_give_the_whole_picture(monkeypatch):
    frame = frame_of("yuv420p10le", 200, 136)
    whole, tiled = TorchSession(), TorchSession()
    expected = planes(Restorer("codec-clean", {"sigma": 8.0}, whole).restore(frame))
    monkeypatch.setattr(module, "TILE_SIDE", 64)
    found = planes(Restorer("codec-clean", {"sigma": 8.0}, tiled).restore(frame))
    assert len(whole.shapes) == 1 and len(tiled.shapes) == 12
    assert len(set(tiled.shapes)) == 1
    for a, b in zip(expected, found, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_the_mirrored_surround_is_the_picture_itself():
    """A picture that continues as its own mirror image is restored the same with and without what lies beyond."""
    rng = np.random.default_rng(3)
    patch = rng.integers(200, 800, (64, 64)).astype(np.uint16)
    frame, large = frame_of("yuv420p10le", 64, 64), frame_of("yuv420p10le", 192, 192)
    for view, wide in zip(planes(frame), planes(large), strict=True):
        view[:] = patch[: view.shape[0], : view.shape[1]]
        wide[:] = np.pad(view, len(view), mode="symmetric")
    restorer = Restorer("codec-clean", {"sigma": 8.0}, TorchSession())
    small, inner = planes(restorer.restore(frame)), planes(restorer.restore(large))
    for a, b in zip(small, inner, strict=True):
        side = len(a)
        assert np.abs(a.astype(int) - b[side : 2 * side, side : 2 * side].astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["rgb24", "gbrap", "nv12", "yuyv422", "yuv420p10be", "yuva420p"])
def test_other_layouts_are_refused(name):
    with pytest.raises(InputError, match=f"{name} cannot be restored"):
        Restorer("codec-clean", {}, TorchSession()).restore(av.VideoFrame(32, 32, name))


def test_parameters_become_strengths():
    assert strengths("codec-clean", {"sigma": 4.0, "compression": 0.25}).tolist() == [[0.5, 0.25]]
    assert strengths("clarity", {"softness": 0.5, "compression": 0.25}).tolist() == [[0.5, 0.25]]
    assert strengths("codec-clean", {}).dtype == np.float32
    with pytest.raises(UsageError, match="sigma is 9"):
        Restorer("codec-clean", {"sigma": 9.0}, TorchSession())


def test_measurements_become_strengths():
    assert sigma_strength([0.0, 4.0, 20.0]).tolist() == [0.0, 0.5, 1.0]
    assert compression_strength([1.0, 1.05]).tolist() == [0.0, 0.0]
    rising = compression_strength(np.linspace(1.05, 5, 50))
    assert np.all(np.diff(rising) > 0) and rising[-1] < 1
    assert softness_strength([0.1, 0.28, 0.43, 0.9]) == pytest.approx([0.0, 0.0, 0.5, 1.0])
