"""Restoring steps run in the plan's order, whether they are filters or networks, and keep every frame's time."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from toolchain.errors import UsageError
from toolchain.models.restore import restore_filters
from toolchain.restoration import FilterRestorer, restoration
from toolchain.video.decode import planes


def noisy(pix_fmt: str = "yuv420p", size: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    codes = np.random.default_rng(0).normal(128, 6, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(codes, "rgb24").reformat(format=pix_fmt)
    frame.pts, frame.time_base = 4711, Fraction(1, 90000)
    return frame


def test_filters_alone_run_in_the_decoder() -> None:
    found = restoration([("deblock", {}), ("denoise", {"sigma": 3.0})], None)
    assert found.restorers == ()
    assert [name for name, _ in found.filters] == [
        name for step in ("deblock", "denoise") for name, _ in restore_filters(step, {})
    ]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_a_filter_after_a_network_gives_one_frame_for_each(pix_fmt: str) -> None:
    restorer = FilterRestorer(restore_filters("denoise", {"sigma": 6.0}))
    frame = noisy(pix_fmt)
    for _ in range(3):
        result = restorer.restore(frame)
        assert (result.pts, result.time_base) == (4711, Fraction(1, 90000))
        assert result.format.name == {"yuv420p": "yuv420p10le", "yuv444p": "yuv444p10le"}.get(pix_fmt, pix_fmt)
        assert (result.width, result.height) == (64, 48)
        bits = frame.format.components[0].bits
        assert planes(result)[0].std() / 4 < 0.7 * planes(frame)[0].std() / 2 ** (bits - 8)


def test_deband_is_a_step_of_our_own_and_filters_after_it_take_its_twelve_bits() -> None:
    found = restoration([("deblock", {}), ("deband", {}), ("sharpen", {})], None)
    assert [name for name, _ in found.filters] == ["deblock"]
    frame = noisy()
    for restorer in found.restorers:
        frame = restorer.restore(frame)
    assert len(found.restorers) == 2
    assert (frame.format.name, frame.pts) == ("yuv420p12le", 4711)


def test_what_does_not_restore_is_refused() -> None:
    with pytest.raises(UsageError, match="does not restore"):
        restoration([("spline", {})], None)
