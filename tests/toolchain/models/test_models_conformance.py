"""Every expanding model of the catalogue, bound as the pipeline binds it, keeps the same promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.catalogue import BUILT_IN
from toolchain.color.ictcp import delta_e_itp
from toolchain.color.primaries import luminance_coefficients
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, PixelFunction, ShotContext, ShotTone

EXPAND = BUILT_IN
PEAKS = (203.0, 400.0, 1000.0, 4000.0)
TEN_BIT_SIGNALS = (np.arange(64, 1020) - 64) / 876


def shot_tone(mean: float, spread: float) -> ShotContext:
    centres = (np.arange(256) + 0.5) / 256
    shares = np.exp(-(((centres - mean) / spread) ** 2))
    return ShotContext(ShotTone(histogram=tuple(shares / shares.sum())))


TONES = {"none": None, "dark": shot_tone(0.15, 0.1), "mid": shot_tone(0.45, 0.2), "bright": shot_tone(0.85, 0.1)}


def greys(signals: np.ndarray) -> np.ndarray:
    return np.repeat(signals[:, np.newaxis] ** 2.4, 3, axis=1)


def mean_mid_gain_ev(expand: PixelFunction) -> float:
    """Measured here from first principles: greys of signal 0.3 to 0.6 against 203 nits times their light."""
    signals = np.linspace(0.3, 0.6, 31)
    nits = expand(greys(signals)) @ luminance_coefficients("bt2020")
    return float(np.mean(np.log2(nits / (203 * signals**2.4))))


@pytest.mark.parametrize("tone", TONES.values(), ids=TONES.keys())
@pytest.mark.parametrize("mid_gain_ev", [None, -0.5, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("peak_nits", PEAKS)
@pytest.mark.parametrize("model_id", EXPAND)
def test_grey_axis_starts_at_black_rises_and_ends_within_the_peak(model_id, peak_nits, mid_gain_ev, tone):
    expand = bind_guarded(model_id, tone, Controls(peak_nits=peak_nits, mid_gain_ev=mid_gain_ev))
    nits = expand(greys(TEN_BIT_SIGNALS))
    assert nits.shape == (TEN_BIT_SIGNALS.size, 3)
    assert nits.dtype == np.float64
    assert np.all(nits[0] == 0)
    assert np.ptp(nits, axis=1).max() <= 1e-6 * peak_nits, "grey stays grey"
    assert np.diff(nits[:, 1]).min() >= -1e-6 * peak_nits
    assert nits.max() <= peak_nits
    if mid_gain_ev is not None and mid_gain_ev >= 0:
        assert nits[876, 1] >= 0.99 * 203, "white is never darker than doing nothing"


@pytest.mark.parametrize("mid_gain_ev", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("peak_nits", PEAKS[1:])
@pytest.mark.parametrize("model_id", [i for i in EXPAND if "mid_gain_ev" in get_spec(i).parameters])
def test_anchored_mid_tones_have_the_gain_asked_for(model_id, peak_nits, mid_gain_ev):
    for tone in TONES.values():
        expand = bind_guarded(model_id, tone, Controls(peak_nits=peak_nits, mid_gain_ev=mid_gain_ev))
        assert mean_mid_gain_ev(expand) == pytest.approx(mid_gain_ev, abs=0.05)


@pytest.mark.parametrize("model_id", EXPAND)
def test_saturation_of_one_changes_nothing_and_zero_gives_grey(model_id):
    rgb = np.random.default_rng(5).random((500, 3)) ** 2.4
    default = bind_guarded(model_id, None, Controls())(rgb)
    assert np.array_equal(bind_guarded(model_id, None, Controls(saturation=1.0))(rgb), default)
    if "saturation" in get_spec(model_id).parameters:
        grey = bind_guarded(model_id, None, Controls(saturation=0.0))(rgb)
        assert np.ptp(grey, axis=1).max() < 1e-6
        assert not np.allclose(grey, default, rtol=0.01)


@pytest.mark.parametrize("model_id", EXPAND)
@settings(max_examples=40, deadline=None)
@given(
    rgb=arrays(np.float64, (17, 3), elements=st.floats(0, 1.3)),
    peak_nits=st.floats(203, 10000),
    mid_gain_ev=st.none() | st.floats(-2, 2),
    saturation=st.floats(0, 2),
    tone=st.sampled_from(list(TONES.values())),
)
def test_any_picture_stays_finite_and_within_zero_and_peak(model_id, rgb, peak_nits, mid_gain_ev, saturation, tone):
    controls = Controls(peak_nits=peak_nits, mid_gain_ev=mid_gain_ev, saturation=saturation)
    nits = bind_guarded(model_id, tone, controls)(rgb)
    assert np.isfinite(nits).all()
    assert nits.min() >= 0
    assert nits.max() <= peak_nits
    if get_spec(model_id).pointwise:
        again = bind_guarded(model_id, tone, controls)(rgb.reshape(1, 17, 3))
        np.testing.assert_allclose(again[0], nits, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("model_id", EXPAND)
def test_a_small_step_of_input_never_jumps_in_output(model_id):
    """Along lines through the colour cube no 10-bit step of signal moves the output by more than 2 dE-ITP.

    Not in PQ of R, G and B by themselves: a component that leaves zero beside a bright one jumps there unseen.
    """
    steps = np.linspace(0, 1, 877)[:, np.newaxis]
    expand = bind_guarded(model_id, None, Controls())
    rng = np.random.default_rng(11)
    for start, end in rng.random((20, 2, 3)):
        nits = expand(np.maximum(start + (end - start) * steps, 0.02) ** 2.4)
        assert delta_e_itp(nits[1:], nits[:-1]).max() < 2
