"""Deband smooths false contours, by CAMBI itself, and leaves alone what is none."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np
import pytest

from benchmarks.cambi import cambi
from toolchain.color.ycbcr import code_range
from toolchain.errors import UsageError
from toolchain.kernel import FrameSpec, apply
from toolchain.lut import Lut3d, OutputFormat, bake
from toolchain.models.deband import Debander
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.decode import planes
from toolchain.video.facts import ColorInterpretation

HEIGHT, WIDTH = 360, 640
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH] / (HEIGHT, WIDTH)[0]
SKY = 60 + 45 * Y**1.3 + 6 * np.sin(2 * X) * Y
BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
FORMATS = ["yuv420p", "yuvj420p", "yuv422p10le", "yuv444p", "yuv420p16le", "gray", "gray10le", "gbrp"]


def frame_of(luma: np.ndarray, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """Luma in codes of the format's depth (every plane of RGB), chroma at its middle."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pix_fmt)
    for index, view in enumerate(planes(frame)):
        middle = 2 ** (frame.format.components[0].bits - 1)
        view[:] = np.rint(luma) if index == 0 or frame.format.is_rgb else middle
    frame.pts, frame.time_base = 77, Fraction(1, 90000)
    frame.color_range = 2 if pix_fmt in ("yuvj420p", "gbrp") else 1
    frame.colorspace, frame.color_primaries, frame.color_trc = 1, 1, 1
    return frame


def debanded(luma: np.ndarray, **parameters: float) -> np.ndarray:
    """8-bit codes -> luma in 8-bit codes, with the fraction that 12 bits hold."""
    return planes(Debander(parameters).restore(frame_of(luma)))[0] / 16.0


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


@cache
def table() -> Lut3d:
    return bake(bind_guarded("bt2446a", None, Controls()), BT709, OutputFormat(), 65)


def expanded(frame: av.VideoFrame) -> np.ndarray:
    """PQ luma in 10-bit codes."""
    spec = FrameSpec(frame.width, frame.height, frame.format.components[0].bits, "4:2:0", BT709, OutputFormat())
    out = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(planes(frame), out, spec, table())
    return out[0]


def test_banding_of_a_sky_falls_by_half_before_and_after_expansion():
    frame = frame_of(SKY)
    restored = Debander().restore(frame)
    before, after = cambi(planes(frame)[0].astype(np.uint16) * 4), cambi(np.rint(planes(restored)[0] / 4))
    assert before > 5
    assert after < 0.5 * before
    assert cambi(expanded(restored), "pq") < 0.5 * cambi(expanded(frame), "pq")


def test_the_sky_comes_nearer_to_what_it_was_before_rounding():
    assert psnr_db(debanded(SKY), SKY) > psnr_db(np.rint(SKY), SKY) + 4


@pytest.mark.parametrize("slope_px", [6, 20, 60, 110], ids="{}px a code".format)
def test_steps_are_smoothed_whatever_their_width(slope_px):
    ramp = 80 + np.tile(np.arange(WIDTH) / slope_px, (HEIGHT, 1))
    out = debanded(ramp, dither=0.0)
    assert np.abs(np.diff(out, axis=1)).max() < 0.3, "of the whole code that the steps were"
    assert psnr_db(out, ramp) > psnr_db(np.rint(ramp), ramp)


def test_texture_and_edges_stay_as_they_are():
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 3, (HEIGHT, WIDTH)), (0, 0), 0.7)
    textured = np.rint(np.where(X > 1, 170, SKY) + np.where(Y > 0.5, grain, 0))
    out = debanded(textured)
    lower = slice(HEIGHT // 2 + 20, None)
    assert np.array_equal(out[lower], textured[lower])
    assert np.abs(out - textured).max() <= 0.75 + 0.375 / 2 + 1 / 32
    column = int(HEIGHT)  # where X passes 1: an edge of about 90 codes
    step = np.diff(out, axis=1)[: HEIGHT // 3, column]
    assert np.abs(step - np.diff(textured, axis=1)[: HEIGHT // 3, column]).max() <= 0.5


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_fine_grain_is_kept(sigma):
    """It hides banding by itself."""
    rng = np.random.default_rng(1)
    noisy = np.rint(SKY + rng.normal(0, sigma, SKY.shape))
    detail = [np.std(picture - cv2.GaussianBlur(picture, (0, 0), 1.5)) for picture in (noisy, debanded(noisy))]
    assert detail[1] == pytest.approx(detail[0], rel=0.02)


def test_a_flat_ground_stays_exactly_flat_beside_a_slope():
    picture = np.rint(np.where(X < 0.9, 16, 60 + 20 * X))
    out = debanded(picture)
    assert np.array_equal(out[:, : HEIGHT // 2], picture[:, : HEIGHT // 2])


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (65, 47), (128, 96)])
def test_every_format_and_size_keeps_its_picture_at_twelve_bits_or_more(pix_fmt, size):
    bits = av.VideoFormat(pix_fmt).components[0].bits
    rng = np.random.default_rng(2)
    source = frame_of(rng.integers(2 ** (bits - 2), 2 ** (bits - 1), size[::-1]), pix_fmt)
    out = Debander().restore(source)
    depth = max(bits, 12)
    assert out.format.name == f"{pix_fmt.replace('yuvj', 'yuv').removesuffix('10le').removesuffix('16le')}{depth}le"
    assert (out.width, out.height, out.pts, out.time_base) == (*size, 77, Fraction(1, 90000))
    assert (out.color_range, out.colorspace) == (source.color_range, source.colorspace)
    assert (out.color_primaries, out.color_trc) == (1, 1)
    name = "full" if source.color_range == 2 else "limited"
    offset, scale = code_range(bits, name)[:2]
    offset_out, scale_out = code_range(depth, name)[:2]
    wanted = (planes(source)[0] - offset) / scale * scale_out + offset_out
    assert np.abs(planes(out)[0] - wanted).max() < 1.2 * 2 ** (depth - 8)
    if size == (128, 96):
        assert np.abs(planes(out)[0] - wanted).max() <= 0.5, "noise is left alone"


def test_same_input_gives_the_same_bits():
    assert np.array_equal(debanded(SKY), debanded(SKY))


@pytest.mark.parametrize(
    ("parameters", "message"), [({"roughness": 9.0}, "roughness is 9"), ({"range": 1.0}, "range")]
)
def test_bad_parameters_are_refused_before_the_first_frame(parameters, message):
    with pytest.raises(UsageError, match=message):
        Debander(parameters)
