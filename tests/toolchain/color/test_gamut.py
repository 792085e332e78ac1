"""Gamut: the share outside, and clipping that keeps hue and luminance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color.gamut import clip_to_gamut, compress_to_gamut, outside_share
from toolchain.color.primaries import convert, luminance_coefficients
from toolchain.errors import UsageError

BT2020 = luminance_coefficients("bt2020")
RGB = st.lists(st.floats(-0.5, 1.5), min_size=3, max_size=3).map(np.array)


def test_the_share_outside_is_counted_pixel_by_pixel():
    inside = convert(np.eye(3), "bt709", "bt2020")
    picture = np.concatenate([inside, np.eye(3)[1:2]])
    assert outside_share(picture, "bt709") == 0.25
    assert outside_share(picture, "p3_d65") == 0.25
    assert outside_share(picture, "bt2020") == 0.0


def test_p3_red_is_known_to_lie_just_outside_bt2020():
    red = convert([[1.0, 0.0, 0.0]], "p3_d65", "bt2020")
    assert (outside_share(red, tolerance=1e-3), outside_share(red)) == (1.0, 0.0)


def test_black_white_and_rounding_are_not_outside():
    picture = np.array([[0, 0, 0], [1, 1, 1], [900, -0.1, 900], [1e4, 1e4, 1e4]], np.float32)
    assert outside_share(picture) == 0.0
    assert outside_share(picture, tolerance=0.0) == 0.25
    assert outside_share(np.zeros((0, 3))) == 0.0


def test_unknown_primaries_are_refused():
    with pytest.raises(UsageError):
        outside_share(np.ones((1, 3)), "aces")


@given(RGB)
def test_a_clipped_colour_is_inside_and_keeps_luminance_and_hue(rgb):
    luminance = float(BT2020 @ rgb)
    for result in (clip_to_gamut(rgb, BT2020), compress_to_gamut(rgb, BT2020)):
        assert (result >= 0).all()
        assert (result <= 1).all()
        assert BT2020 @ result == pytest.approx(np.clip(luminance, 0, 1), abs=1e-9)
        before, after = rgb - luminance, result - BT2020 @ result
        np.testing.assert_allclose(np.cross(before, after), np.zeros(3), atol=1e-8)
        assert before @ after >= -1e-9, "desaturated, never turned to the complement"


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(np.array))
def test_a_colour_inside_is_not_touched(rgb):
    np.testing.assert_array_equal(clip_to_gamut(rgb, BT2020), rgb)


def test_the_soft_clip_keeps_different_colours_different():
    green = np.array([[-0.05, 0.5, -0.05], [-0.1, 0.55, -0.1], [-0.2, 0.6, -0.2]])
    soft, hard = compress_to_gamut(green, BT2020), clip_to_gamut(green, BT2020)
    assert hard.min() == pytest.approx(0, abs=1e-15)
    assert (soft[:, 0] > 0).all()
    np.testing.assert_array_equal(compress_to_gamut(np.full(3, 0.4), BT2020), np.full(3, 0.4))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_any_finite_colour_ends_inside_a_1000_nit_cube(rgb):
    result = clip_to_gamut(rgb, BT2020, peak=1000.0)
    assert np.isfinite(result).all()
    assert ((result >= 0) & (result <= 1000)).all()


def test_float32_stays_float32():
    assert clip_to_gamut(np.full((2, 3), 1.5, np.float32), BT2020).dtype == np.float32


@pytest.mark.parametrize("knee", [-0.1, 1.0, 2.0])
def test_an_unusable_knee_is_refused(knee):
    with pytest.raises(UsageError, match="knee"):
        compress_to_gamut(np.ones(3), BT2020, knee=knee)
