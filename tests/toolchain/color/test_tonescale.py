"""BT.2446 A, B, C, BT.2390 and BT.2408: golden levels, inverses, and finite monotone behaviour."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color import tonescale
from toolchain.color.transfer import hlg_eotf_inverse, pq_eotf_inverse
from toolchain.errors import UsageError

EXPANSIONS = [
    tonescale.bt2446a_expand,
    partial(tonescale.bt2446a_expand, peak_nits=100.0),
    partial(tonescale.bt2446a_expand, peak_nits=4000.0),
    tonescale.bt2446b_expand,
    partial(tonescale.bt2446b_expand, peak_nits=600.0),
    tonescale.bt2446c_expand,
    partial(tonescale.bt2446c_expand, alpha=0.2),
]
COMPRESSIONS = [
    tonescale.bt2446a_compress,
    partial(tonescale.bt2446a_compress, peak_nits=4000.0),
    tonescale.bt2446c_compress,
    partial(tonescale.bt2446c_compress, alpha=0.2),
]
RGB = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def grey(levels):
    return np.repeat(np.asarray(levels, dtype=float)[:, np.newaxis], 3, axis=1)


def test_direct_mapping_puts_white_at_203_nits():
    np.testing.assert_array_equal(tonescale.direct203([0.0, 0.5, 1.0]), [0, 101.5, 203])


def test_method_a_golden_greys():
    nits = tonescale.bt2446a_expand(grey([0, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(nits, grey([0, 76.28, 278.98, 999.52]), atol=0.01)


def test_method_a_chroma_gain_by_hand():
    """0.6, 0.5, 0.4 through Table 3 of the report, step by step."""
    luma = 0.2627 * 0.6 + 0.6780 * 0.5 + 0.0593 * 0.4
    level = 255 * luma
    luma_hdr = level ** (2.8305e-6 * level**2 - 7.4622e-4 * level + 1.2528)
    scale = 1.075 * luma_hdr / luma
    cb, cr = (0.4 - luma) / 1.8814 * scale, (0.6 - luma) / 1.4746 * scale
    signal = np.array([luma_hdr + 1.4746 * cr, luma_hdr - 0.16455 * cb - 0.57135 * cr, luma_hdr + 1.8814 * cb])
    expected = 1000 * (signal / 1000) ** 2.4
    np.testing.assert_allclose(tonescale.bt2446a_expand([0.6, 0.5, 0.4]), expected, rtol=1e-4)


@pytest.mark.parametrize("peak_nits", [200.0, 1000.0, 4000.0])
def test_method_a_and_its_inverse_agree_on_greys_to_one_and_a_half_percent(peak_nits):
    levels = np.linspace(0, 1, 101)
    back = tonescale.bt2446a_compress(tonescale.bt2446a_expand(grey(levels), peak_nits), peak_nits)
    np.testing.assert_allclose(back, grey(levels), atol=0.015)


def test_method_a_exact_inverse_inverts_the_published_compression():
    nits = np.geomspace(0.01, 4000, 200)
    sdr = tonescale.bt2446a_compress(grey(nits), 4000.0)[:, :1]
    luma = tonescale._bt2446a_exact_inverse(sdr, 4000.0)[:, 0]
    np.testing.assert_allclose(4000 * luma**2.4, nits, rtol=4e-3)


def test_method_a_compression_ends_at_white():
    np.testing.assert_allclose(tonescale.bt2446a_compress(grey([1000, 5000])), 1, atol=1e-12)


@pytest.mark.parametrize("peak_nits", [203.0, 999.0, 1001.0, 4000.0])
def test_method_a_follows_the_peak_continuously(peak_nits):
    nits = tonescale.bt2446a_expand(grey([0.5, 1.0]), peak_nits)[:, 0]
    assert nits[1] == pytest.approx(0.9995 * peak_nits, rel=1e-4)
    if abs(peak_nits - 1000) == 1:
        assert nits[0] == pytest.approx(76.28, abs=0.1)


def test_method_b_puts_nine_tenths_at_hlg_reference_white_and_stays_below_300_nits():
    nits = tonescale.bt2446b_expand(grey([0.9, 1.0]))
    assert hlg_eotf_inverse(nits)[0, 0] == pytest.approx(0.75, abs=0.01)
    assert nits[1, 0] == pytest.approx(288.1, abs=0.1)


def test_method_c_golden_greys():
    signal = (np.array([0, 50, 75, 90, 100, 109]) / 100) ** (1 / 2.4)
    nits = tonescale.bt2446c_expand(grey(signal))[:, 0]
    np.testing.assert_allclose(nits[:2], [0, 50 / 0.83802], rtol=1e-12)
    np.testing.assert_array_equal(np.round(nits[2:]), [105, 196, 332, 561])


def test_method_c_compresses_reference_white_to_96_percent():
    assert tonescale.bt2446c_compress(grey([203.0]))[0, 0] == pytest.approx(0.96, abs=0.001)
    assert tonescale.bt2446c_compress(grey([1000.0]))[0, 0] == pytest.approx(1.073, abs=0.001)


@given(RGB, st.floats(0, 0.33))
def test_method_c_is_inverted_exactly_for_any_crosstalk(rgb, alpha):
    back = tonescale.bt2446c_compress(tonescale.bt2446c_expand(rgb, alpha), alpha)
    np.testing.assert_allclose(back, rgb, atol=2e-3)


@pytest.mark.parametrize("function", EXPANSIONS)
def test_expansions_are_monotone_on_every_12_bit_grey_and_keep_grey_grey(function):
    nits = function(grey(np.arange(4096) / 4095))
    assert (np.diff(nits[:, 1]) >= 0).all()
    np.testing.assert_allclose(nits, grey(nits[:, 1]), rtol=1e-9)
    assert (nits[0] == 0).all()


@pytest.mark.parametrize("function", COMPRESSIONS)
def test_compressions_are_monotone_and_keep_black(function):
    signal = function(grey(np.linspace(0, 4000, 4001)))
    assert (np.diff(signal[:, 1]) >= -1e-12).all()
    assert (signal[0] == 0).all()


@pytest.mark.parametrize("function", [*EXPANSIONS, *COMPRESSIONS])
@given(rgb=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_any_finite_colour_gives_finite_light_in_range(function, rgb):
    result = function(np.array(rgb))
    assert np.isfinite(result).all()
    assert ((result >= 0) & (result <= 10000)).all()


@pytest.mark.parametrize("function", [*EXPANSIONS, *COMPRESSIONS, tonescale.direct203])
def test_float32_and_shape_are_kept(function):
    picture = np.random.default_rng(0).uniform(0, 1, (3, 2, 3))
    single = function(picture.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, function(picture), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("peak_nits", [99.0, 10001.0, float("nan")])
@pytest.mark.parametrize("function", [tonescale.bt2446a_expand, tonescale.bt2446b_expand, tonescale.bt2446a_compress])
def test_an_unusable_peak_is_refused(function, peak_nits):
    with pytest.raises(UsageError, match="100 to 10000"):
        function(np.ones(3), peak_nits)


@pytest.mark.parametrize("alpha", [-0.01, 1 / 3])
def test_an_unusable_crosstalk_is_refused(alpha):
    with pytest.raises(UsageError, match="alpha"):
        tonescale.bt2446c_expand(np.ones(3), alpha)


def test_eetf_is_the_identity_up_to_the_knee_and_reaches_the_target_peak():
    mapped = tonescale.bt2390_eetf([0.0, 1.0, 100.0, 4000.0, 9000.0], 4000.0, 1000.0)
    np.testing.assert_allclose(mapped[:3], [0, 1, 100], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mapped[3:], [1000, 1000], rtol=1e-9)


def test_eetf_between_knee_and_peak_by_hand():
    """Section 5.4.1 for 2000 nits of 4000 on a 1000-nit display, in the report's own letters."""
    black, white, target, level = (float(v) for v in pq_eotf_inverse([0, 4000, 1000, 2000]))
    e1, max_lum = (level - black) / (white - black), (target - black) / (white - black)
    ks = 1.5 * max_lum - 0.5
    t = (e1 - ks) / (1 - ks)
    p = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * max_lum
    mapped = tonescale.bt2390_eetf(2000.0, 4000.0, 1000.0)
    assert pq_eotf_inverse(mapped) == pytest.approx(p * (white - black) + black, abs=1e-12)


def test_eetf_lifts_black_to_the_displays_and_leaves_a_larger_display_alone():
    assert tonescale.bt2390_eetf(0.0, 1000.0, 100.0, 0.0, 0.05) == pytest.approx(0.05, rel=1e-9)
    np.testing.assert_allclose(tonescale.bt2390_eetf([0, 1, 500], 1000.0, 4000.0), [0, 1, 500], atol=1e-9)


@given(st.floats(1, 10000), st.floats(1, 10000), st.floats(0, 0.9), st.floats(0, 0.9))
def test_eetf_is_monotone_and_inside_the_target_for_any_pair_of_displays(source, target, source_black, target_black):
    nits = np.concatenate([[-1.0, 0.0], np.geomspace(1e-4, 1e4, 300), [1e300]])
    mapped = tonescale.bt2390_eetf(nits, source, target, source_black, target_black)
    assert (np.diff(mapped) >= -1e-9).all()
    assert mapped.max() <= target * (1 + 1e-9)
    assert mapped.min() >= min(source_black, target_black) - 1e-9


@pytest.mark.parametrize(("peak", "black"), [(0.0, 0.0), (100.0, 100.0), (20000.0, 0.0), (100.0, -1.0)])
def test_eetf_refuses_an_impossible_display(peak, black):
    with pytest.raises(UsageError, match="black < peak"):
        tonescale.bt2390_eetf(1.0, 1000.0, peak, 0.0, black)
