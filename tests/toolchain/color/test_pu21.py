"""PU21 banding_glare against the values its authors' code gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color.pu21 import PU21_MAX_NITS, PU21_MIN_NITS, pu21_decode, pu21_encode


@pytest.mark.parametrize(("nits", "units"), [(100, 256.4), (203, 303.8), (1000, 420.1)])
def test_published_values(nits, units):
    assert round(float(pu21_encode(nits)), 1) == units


def test_the_scale_starts_at_zero_and_ends_at_595():
    assert pu21_encode(PU21_MIN_NITS) == pytest.approx(0, abs=1e-6)
    assert pu21_encode(PU21_MAX_NITS) == pytest.approx(595.39, abs=0.01)


@given(st.floats(PU21_MIN_NITS, PU21_MAX_NITS))
def test_round_trip(nits):
    assert pu21_decode(pu21_encode(nits)) == pytest.approx(nits, rel=1e-6)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=8))
def test_finite_and_monotone_for_any_finite_input(values):
    for function in (pu21_encode, pu21_decode):
        result = function(np.sort(np.array(values)))
        assert np.isfinite(result).all()
        assert (np.diff(result) >= 0).all()


def test_float32_and_shape_are_kept():
    encoded = pu21_encode(np.full((2, 3), 203, np.float32))
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, np.full((2, 3), 303.8), atol=0.05)
