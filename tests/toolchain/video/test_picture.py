"""Signals from frames: known colours come back, chroma sits where it should, files keep what was written."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix
from toolchain.errors import InputError
from toolchain.video.decode import planes
from toolchain.video.facts import ColorInterpretation
from toolchain.video.picture import load_signal, luma, rgb_signal, save_signal, working_size


def flat_frame(
    rgb: tuple[float, float, float], pix_fmt: str, color: ColorInterpretation, width: int = 64, height: int = 48
):
    """A frame of one colour, written code by code from the standard's equations."""
    frame = av.VideoFrame(width, height, pix_fmt)
    y_offset, y_scale, c_offset, c_scale = code_range(frame.format.components[0].bits, color.range)
    values = rgb_to_ycbcr_matrix(color.matrix) @ np.array(rgb)
    for index, plane in enumerate(planes(frame)):
        luma_like = index == 0 or color.matrix == "rgb"
        offset, scale = (y_offset, y_scale) if luma_like else (c_offset, c_scale)
        plane[...] = round(values[index] * scale + offset)
    return frame


def color_of(matrix: str, range_: str = "limited", location: str = "left") -> ColorInterpretation:
    return ColorInterpretation.model_validate(
        {"matrix": matrix, "primaries": "bt709", "range": range_, "chroma_location": location}
    )


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize(
    ("pix_fmt", "matrix"),
    [
        ("yuv420p", "bt709"),
        ("yuv422p", "bt601"),
        ("yuv444p12le", "bt2020nc"),
        ("yuv420p10le", "bt2020nc"),
        ("gbrp", "rgb"),
    ],
)
@pytest.mark.parametrize("rgb", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.8, 0.3, 0.1), (0.1, 0.2, 0.9)])
def test_known_colour_comes_back(rgb: tuple[float, float, float], pix_fmt: str, matrix: str, range_: str):
    color = color_of(matrix, range_)
    signal = rgb_signal(flat_frame(rgb, pix_fmt, color), color, max_width=32)
    assert signal.shape == (24, 32, 3)
    assert signal.dtype == np.float32
    step = 1 / 219 / 2 ** (av.VideoFormat(pix_fmt).components[0].bits - 8)
    assert np.abs(signal - np.array(rgb)).max() < 1.6 * step


def test_super_white_survives_and_negative_does_not():
    color = color_of("bt709")
    frame = flat_frame((0, 0, 0), "yuv420p", color)
    planes(frame)[0][...] = 254
    assert rgb_signal(frame, color).min() == pytest.approx((254 - 16) / 219, abs=1e-6)
    planes(frame)[0][...] = 1
    assert rgb_signal(frame, color).max() == 0


def test_grey_frame_has_three_equal_channels():
    color = color_of("bt601")
    frame = av.VideoFrame(20, 18, "gray")
    planes(frame)[0][...] = 126
    signal = rgb_signal(frame, color)
    assert np.allclose(signal, (126 - 16) / 219)


@pytest.mark.parametrize(("location", "shift"), [("left", 0.0), ("center", 0.5), ("topleft", 0.0)])
@pytest.mark.parametrize("max_width", [None, 32, 16])
def test_chroma_ramp_lies_where_its_location_says(location: str, shift: float, max_width: int | None):
    """Cr rises linearly with x; sample i stands for luma position 2 i + shift, at every working size."""
    color = color_of("bt709", location=location)
    frame = flat_frame((0.5, 0.5, 0.5), "yuv420p10le", color)
    cr = planes(frame)[2]
    cr[...] = 512 + 4 * (2 * np.arange(cr.shape[1]) + shift).round(1).repeat(1)
    red = rgb_signal(frame, color, max_width)[:, :, 0]
    width = red.shape[1]
    x = (np.arange(width) + 0.5) * 64 / width - 0.5
    expected = red[0, width // 2] + 1.5748 * 4 * (x - x[width // 2]) / 896
    inner = slice(2, width - 2)
    assert np.abs(red[width // 4, inner] - expected[inner]).max() < 1e-4
    centre = 0.5 + 1.5748 * 4 * x[width // 2] / 896
    assert red[0, width // 2] == pytest.approx(centre, abs=6e-4)


def test_luma_and_its_refusal():
    color = color_of("bt709")
    assert np.allclose(luma(flat_frame((1, 1, 1), "yuv422p", color), color, 32), 1, atol=1e-6)
    with pytest.raises(InputError, match="no luma plane"):
        luma(av.VideoFrame(16, 16, "gbrp"), color)


@given(st.integers(16, 8192), st.integers(16, 8192), st.integers(16, 960), st.integers(16, 960))
def test_working_size_fits_and_never_enlarges(width: int, height: int, max_width: int, max_height: int):
    w, h = working_size(width, height, max_width, max_height)
    assert 1 <= w <= min(width, max_width)
    assert 1 <= h <= min(height, max_height)
    assert w == max_width or h == max_height or (w, h) == (width, height)


def test_signal_file_round_trip(tmp_path: Path):
    rgb = np.random.default_rng(1).uniform(0, 2.18, (20, 30, 3)).astype(np.float32)
    save_signal(tmp_path / "a.png", rgb)
    assert np.abs(load_signal(tmp_path / "a.png") - rgb).max() <= 1 / 60000 + 1e-6


def test_signal_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for path in (tmp_path / "a.png", tmp_path / "none.png"):
        with pytest.raises(InputError):
            load_signal(path)
