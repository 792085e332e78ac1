"""ICtCp and the BT.2124 colour difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color.ictcp import delta_e_itp, ictcp_from_nits, nits_from_ictcp
from toolchain.color.transfer import pq_eotf, pq_eotf_inverse

NITS = st.lists(st.floats(0.001, 1000), min_size=3, max_size=3)


@given(st.floats(0, 10000))
def test_grey_has_no_chroma_and_its_intensity_is_its_pq_signal(nits):
    intensity, ct, cp = ictcp_from_nits(np.full(3, nits))
    assert intensity == pytest.approx(float(pq_eotf_inverse(nits)), abs=1e-14)
    assert (ct, cp) == (pytest.approx(0, abs=1e-14), pytest.approx(0, abs=1e-14))


def test_a_value_published_by_colour_science():
    """The example of `colour.RGB_to_ICtCp`, method "ITU-R BT.2100-2 PQ"."""
    result = ictcp_from_nits([0.45620519, 0.03081071, 0.04091952])
    np.testing.assert_allclose(result, [0.07351364, 0.00475253, 0.09351596], atol=1e-8)


@given(NITS)
def test_round_trip(rgb_nits):
    np.testing.assert_allclose(nits_from_ictcp(ictcp_from_nits(rgb_nits)), rgb_nits, rtol=1e-8, atol=1e-6)


def test_one_thousandth_of_pq_in_grey_is_0_72():
    a, b = pq_eotf(np.full((4, 3), 0.5)), pq_eotf(np.full((4, 3), 0.501))
    np.testing.assert_allclose(delta_e_itp(a, b), np.full(4, 0.72), atol=1e-9)


def test_tritan_differences_count_half():
    grey, tritan, protan = nits_from_ictcp([[0.5, 0, 0], [0.5, 0.02, 0], [0.5, 0, 0.02]])
    assert delta_e_itp(grey, tritan) == pytest.approx(7.2, abs=1e-8)
    assert delta_e_itp(grey, protan) == pytest.approx(14.4, abs=1e-8)


@given(NITS, NITS)
def test_the_difference_is_symmetric_and_zero_only_for_the_same(a, b):
    assert delta_e_itp(a, b) == delta_e_itp(b, a)
    assert delta_e_itp(a, a) == 0


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3))
def test_any_light_has_finite_ictcp(rgb_nits):
    assert np.isfinite(ictcp_from_nits(rgb_nits)).all()


def test_float32_difference_stays_float32_and_below_a_hundredth_of_noise():
    rgb = np.random.default_rng(1).uniform(0.1, 1000, (64, 3))
    single = delta_e_itp(rgb.astype(np.float32), (1.1 * rgb).astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, delta_e_itp(rgb, 1.1 * rgb), atol=0.01)
