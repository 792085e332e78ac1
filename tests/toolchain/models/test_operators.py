"""Native models against the published numbers (Report ITU-R BT.2446-1, BT.2408-7)."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.color.tonescale import bt2446a_expand
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import get_model
from toolchain.models.spec import Controls

NATIVE = Controls(mid_gain_ev=None)


def grey(signal: float) -> np.ndarray:
    return np.full((1, 3), signal**2.4)


@pytest.mark.parametrize(("signal", "nits"), [(0.5, 76.28), (0.75, 278.98), (1.0, 999.52)])
def test_method_a_native_is_as_published_through_the_guards(signal, nits):
    out = bind_guarded("bt2446a", None, NATIVE)(grey(signal))
    np.testing.assert_allclose(out, nits, rtol=0.005)
    np.testing.assert_allclose(get_model("bt2446a").bind(None, NATIVE)(grey(signal)), nits, rtol=1e-4)


def test_guards_leave_method_a_alone_below_one_per_cent_of_the_peak():
    """On colours without a skin hue the guarded model is the standard's own formula."""
    rng = np.random.default_rng(3)
    signal = rng.random((2000, 3)) * [0.5, 0.9, 0.9] + [0.0, 0.1, 0.1]  # greens, blues, cyans and darks
    signal = signal[signal[:, 0] < np.minimum(signal[:, 1], signal[:, 2]) - 0.05]
    standard = bt2446a_expand(signal, 1000.0)
    assert len(signal) > 300
    np.testing.assert_allclose(bind_guarded("bt2446a", None, NATIVE)(signal**2.4), standard, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("sdr_nits", "hdr_nits"), [(75, 105), (90, 197), (100, 333), (109, 561)])
def test_method_c_native_is_as_published(sdr_nits, hdr_nits):
    out = bind_guarded("bt2446c", None, NATIVE)(np.full((1, 3), sdr_nits / 100))
    np.testing.assert_allclose(out, hdr_nits, rtol=0.005)


def test_method_b_native_puts_ninety_per_cent_at_reference_white():
    out = bind_guarded("bt2446b", None, NATIVE)(grey(0.9))
    assert out[0, 0] == pytest.approx(203, rel=0.06)  # HLG 0.757 against 0.75
    assert bind_guarded("bt2446b", None, NATIVE)(grey(1.0))[0, 0] == pytest.approx(288, rel=0.005)


@pytest.mark.parametrize("controls", [Controls(), Controls(mid_gain_ev=1.5, saturation=0.3, peak_nits=600)])
def test_direct203_does_nothing_under_any_control(controls):
    rgb = np.random.default_rng(1).random((300, 3)) * 1.2
    np.testing.assert_allclose(bind_guarded("direct203", None, controls)(rgb), 203 * rgb, rtol=1e-12)


@pytest.mark.parametrize("peak_nits", [400.0, 1000.0, 4000.0])
def test_white_of_method_a_reaches_the_peak_anchored_or_not(peak_nits):
    for mid_gain_ev in (None, 0.0):
        out = bind_guarded("bt2446a", None, Controls(peak_nits=peak_nits, mid_gain_ev=mid_gain_ev))(grey(1.0))
        np.testing.assert_allclose(out, peak_nits, rtol=0.005)


@pytest.mark.parametrize(("model_id", "white_nits"), [("bt2446b", 288.1), ("bt2446c", 332.38)])
@pytest.mark.parametrize("peak_nits", [203.0, 400.0, 4000.0])
def test_methods_b_and_c_scale_their_highlights_to_the_headroom(model_id, white_nits, peak_nits):
    native = get_model(model_id).bind(None, Controls(peak_nits=peak_nits, mid_gain_ev=None))
    published = get_model(model_id).bind(None, NATIVE)
    expected = 203 + (white_nits - 203) * (peak_nits - 203) / 797
    assert native(grey(1.0))[0, 1] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(native(grey(0.55)), published(grey(0.55)), rtol=1e-6)
