"""Matrices against the digits the standards print, and the algebra every pair must obey."""

from typing import get_args

import numpy as np
import pytest

from toolchain.color import primaries
from toolchain.errors import UsageError
from toolchain.video.facts import Primaries

NAMES = get_args(Primaries)


def test_every_name_of_the_seam_is_known():
    assert set(primaries.CHROMATICITIES) == set(NAMES)


def test_bt709_to_bt2020_is_that_of_bt2087():
    published = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    np.testing.assert_array_equal(np.round(primaries.conversion_matrix("bt709", "bt2020"), 4), published)


def test_bt709_to_xyz_is_that_of_iec_61966_2_1():
    published = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(primaries.rgb_to_xyz_matrix("bt709"), published, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("bt709", [0.2126, 0.7152, 0.0722]),
        ("bt2020", [0.2627, 0.6780, 0.0593]),
        ("p3_d65", [0.2290, 0.6917, 0.0793]),
        ("bt601_525", [0.2124, 0.7011, 0.0866]),
    ],
)
def test_luminance_coefficients_as_published(name, published):
    np.testing.assert_allclose(primaries.luminance_coefficients(name), published, atol=6e-5)
    assert primaries.luminance_coefficients(name).sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_white_stays_white_and_the_way_back_is_the_inverse(source, target):
    matrix = primaries.conversion_matrix(source, target)
    np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3), atol=1e-14)
    np.testing.assert_allclose(primaries.conversion_matrix(target, source) @ matrix, np.eye(3), atol=1e-13)
    if source == target:
        np.testing.assert_array_equal(matrix, np.eye(3))


def test_convert_works_on_pictures_and_keeps_float32():
    red = np.zeros((2, 5, 3), np.float32)
    red[..., 0] = 1
    converted = primaries.convert(red, "bt709", "bt2020")
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted[1, 4], [0.6274039, 0.0690973, 0.0163914], atol=1e-6)


def test_a_colour_outside_the_target_becomes_negative_not_clipped():
    assert primaries.convert([0.0, 1.0, 0.0], "bt2020", "bt709").min() < -0.1


def test_the_cached_matrix_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        primaries.rgb_to_xyz_matrix("bt709")[0, 0] = 0


@pytest.mark.parametrize("pair", [("bt709", "ntsc"), ("ntsc", "ntsc")])
def test_unknown_primaries_are_refused_with_the_choices(pair):
    with pytest.raises(UsageError, match=r"'ntsc'.*bt2020"):
        primaries.conversion_matrix(*pair)
