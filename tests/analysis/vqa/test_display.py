"""The display model through which a judging network sees light."""

import numpy as np
import pytest

from analysis.vqa.display import key_picture, motion_picture, perceived


def flat(nits, size=(270, 480)):
    return np.full((*size, 3), nits, np.float32)


@pytest.mark.parametrize(("nits", "units"), [(100, 256.4), (203, 303.8), (1000, 420.1), (4000, 420.1)])
def test_light_becomes_pu21_units_up_to_the_displays_peak(nits, units):
    assert perceived(flat(nits, (2, 2)))[0, 0, 0] * 420.1 == pytest.approx(units, abs=0.1)


def test_values_that_are_not_finite_are_black():
    assert np.array_equal(perceived(flat(np.nan, (2, 2))), perceived(flat(0, (2, 2))))


@pytest.mark.parametrize("size", [(270, 480), (480, 270), (200, 480), (480, 480), (17, 31), (1, 1)])
def test_any_frame_gives_pictures_of_one_size(size):
    assert key_picture(flat(50, size)).shape == (256, 448, 3)
    assert motion_picture(flat(50, size)).shape == (72, 128, 3)


def test_the_key_picture_is_the_middle_of_the_frame_unsampled():
    frame = np.random.default_rng(0).uniform(0, 300, (270, 480, 3)).astype(np.float32)
    assert np.array_equal(key_picture(frame), perceived(frame[7:263, 16:464]))
