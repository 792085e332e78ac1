"""Published values at full precision, and what every transfer function promises for any finite input."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color import transfer
from toolchain.errors import UsageError

getcontext().prec = 40

ANY_FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIGNAL = st.floats(0, 1)
ELEMENTWISE = [
    transfer.srgb_eotf,
    transfer.srgb_eotf_inverse,
    transfer.bt1886_eotf,
    transfer.bt1886_eotf_inverse,
    transfer.pq_eotf,
    transfer.pq_eotf_inverse,
    transfer.hlg_oetf,
    transfer.hlg_oetf_inverse,
]
RGB_FUNCTIONS = [transfer.hlg_ootf, transfer.hlg_ootf_inverse, transfer.hlg_eotf, transfer.hlg_eotf_inverse]


def pq_signal_exact(nits: int) -> Decimal:
    """BT.2100-2 Table 4 in 40-digit decimal arithmetic, independent of the code under test."""
    m1, m2 = Decimal(2610) / 16384, Decimal(2523) / 32
    c1, c2, c3 = Decimal(3424) / 4096, Decimal(2413) / 128, Decimal(2392) / 128
    power = (Decimal(nits) / 10000) ** m1 if nits else Decimal(0)
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


@pytest.mark.parametrize("nits", [0, 1, 26, 100, 203, 1000, 4000, 10000])
def test_pq_has_the_standards_value_to_fourteen_digits(nits):
    expected = float(pq_signal_exact(nits))
    assert transfer.pq_eotf_inverse(nits) == pytest.approx(expected, rel=1e-13)
    assert transfer.pq_eotf(expected) == pytest.approx(nits, rel=1e-11, abs=1e-12)


def test_pq_of_100_and_203_nits_as_published():
    assert transfer.pq_eotf_inverse(100.0) == pytest.approx(0.508078421517399, abs=1e-14)
    assert transfer.pq_eotf_inverse(203.0) == pytest.approx(0.580688881041611, abs=1e-14)


@pytest.mark.parametrize(
    ("nits", "pq_percent", "hlg_percent"), [(26, 38, 38), (162, 56, 71), (179, 57, 73), (203, 58, 75)]
)
def test_levels_of_bt2408_table_1(nits, pq_percent, hlg_percent):
    assert round(100 * float(transfer.pq_eotf_inverse(nits))) == pq_percent
    assert round(100 * float(transfer.hlg_eotf_inverse(np.full(3, float(nits)))[0])) == hlg_percent


def test_hlg_reference_white_and_peak_at_1000_nits():
    np.testing.assert_allclose(transfer.hlg_eotf(np.full(3, 0.75)), 203, rtol=1e-3)
    np.testing.assert_allclose(transfer.hlg_eotf(np.ones(3)), 1000, rtol=1e-7)


def test_hlg_constants_are_those_bt2100_prints():
    assert round(transfer.HLG_B, 8) == 0.28466892
    assert round(transfer.HLG_C, 8) == 0.55991073
    assert transfer.hlg_oetf(1 / 12) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(
    ("peak_nits", "gamma"), [(1000, 1.2), (400, 1.0328652), (2000, 1.3264326), (4000, 1.4811852)]
)
def test_hlg_system_gamma_inside_and_outside_the_reference_range(peak_nits, gamma):
    assert transfer.hlg_system_gamma(peak_nits) == pytest.approx(gamma, abs=1e-7)


@pytest.mark.parametrize("peak_nits", [0.0, -1.0, 20000.0, float("nan")])
def test_hlg_refuses_an_impossible_display(peak_nits):
    with pytest.raises(UsageError, match="1 to 10000"):
        transfer.hlg_system_gamma(peak_nits)


def test_bt1886_with_black_at_zero_is_a_pure_power():
    signal = np.array([-0.2, 0.0, 0.5, 1.0, 1.09])
    np.testing.assert_allclose(transfer.bt1886_eotf(signal, 203.0), 203 * np.maximum(signal, 0) ** 2.4, rtol=1e-14)


def test_bt1886_reaches_the_displays_black_and_white():
    light = transfer.bt1886_eotf(np.array([-1.0, 0.0, 1.0]), 100.0, 0.1)
    np.testing.assert_allclose(light, [0, 0.1, 100], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("white", "black"), [(0, 0), (1, 1), (1, -0.1), (float("inf"), 0)])
def test_bt1886_refuses_levels_that_do_not_fit(white, black):
    with pytest.raises(UsageError, match="0 <= black < white"):
        transfer.bt1886_eotf(0.5, white, black)


@pytest.mark.parametrize(
    ("signal", "linear"), [(0.04045, 0.04045 / 12.92), (0.5, 0.21404114), (188 / 255, 0.50288646)]
)
def test_srgb_published_values(signal, linear):
    assert transfer.srgb_eotf(signal) == pytest.approx(linear, abs=1e-8)


@given(SIGNAL)
def test_signals_survive_the_round_trip(signal):
    triple = np.full(3, signal)
    for forward, back in (
        (transfer.srgb_eotf, transfer.srgb_eotf_inverse),
        (transfer.bt1886_eotf, transfer.bt1886_eotf_inverse),
        (transfer.hlg_oetf_inverse, transfer.hlg_oetf),
        (transfer.hlg_eotf, transfer.hlg_eotf_inverse),
    ):
        np.testing.assert_allclose(back(forward(triple)), triple, atol=1e-7)
    black_of_pq = float(pq_signal_exact(0))
    np.testing.assert_allclose(
        transfer.pq_eotf_inverse(transfer.pq_eotf(triple)), max(signal, black_of_pq), atol=1e-9
    )


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=3), st.floats(200, 4000))
def test_hlg_round_trip_of_colours_on_any_display(rgb_nits, peak_nits):
    signal = transfer.hlg_eotf_inverse(rgb_nits, peak_nits)
    np.testing.assert_allclose(transfer.hlg_eotf(signal, peak_nits), rgb_nits, rtol=1e-6, atol=1e-6)


@given(st.floats(0.01, 0.5), st.floats(-0.2, 1.2))
def test_bt1886_round_trip_with_a_lifted_black(black_nits, signal):
    light = transfer.bt1886_eotf(signal, 100.0, black_nits)
    back = transfer.bt1886_eotf_inverse(light, 100.0, black_nits)
    assert light >= 0
    assert light == 0 or back == pytest.approx(signal, abs=1e-9)


@pytest.mark.parametrize("function", ELEMENTWISE)
@given(values=st.lists(ANY_FINITE, min_size=2, max_size=8))
def test_finite_never_negative_and_monotone_for_any_finite_input(function, values):
    result = function(np.sort(np.array(values)))
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    assert (np.diff(result) >= -1e-12).all()


@pytest.mark.parametrize("function", RGB_FUNCTIONS)
@given(rgb=st.lists(ANY_FINITE, min_size=3, max_size=3), peak_nits=st.floats(1, 10000))
def test_hlg_of_rgb_is_finite_for_any_finite_input(function, rgb, peak_nits):
    assert np.isfinite(function(np.array(rgb), peak_nits)).all()


@pytest.mark.parametrize("function", [*ELEMENTWISE, *RGB_FUNCTIONS])
def test_black_stays_black_and_shape_and_dtype_are_kept(function):
    for dtype in (np.float32, np.float64):
        result = function(np.zeros((2, 4, 3), dtype))
        assert result.shape == (2, 4, 3)
        assert result.dtype == dtype
        assert (result <= 7.4e-7).all(), "only PQ has a residue at black, and it is 7.3e-7"


@pytest.mark.parametrize("function", ELEMENTWISE)
def test_float32_keeps_float32_accuracy(function):
    values = np.linspace(0, 1, 4097)
    exact, single = function(values), function(values.astype(np.float32))
    assert np.abs(single - exact).max() <= 4e-6 * np.abs(exact).max()
