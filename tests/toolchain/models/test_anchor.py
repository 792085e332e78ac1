from __future__ import annotations

import numpy as np
import pytest

from toolchain.models.anchor import anchored, native_mid_gain_ev
from toolchain.models.curves import grey_nits


def model(gain_ev: float):
    """Exposure by `gain_ev`, hue untouched: an expanding model whose mid-gain is known by construction."""
    return lambda rgb: 203 * 2.0**gain_ev * rgb


def test_native_gain_is_measured():
    assert native_mid_gain_ev(model(0.8)) == pytest.approx(0.8, abs=1e-12)


def test_mid_tones_move_and_white_stays():
    expand = anchored(model(0.9), 0.0)
    nits = grey_nits(expand, [0.0, 0.2, 0.45, 0.6, 1.0, 1.09])
    assert nits[0] == 0
    np.testing.assert_allclose(nits[1:4], 203 * np.array([0.2, 0.45, 0.6]) ** 2.4, rtol=1e-9)
    np.testing.assert_allclose(nits[4:], 203 * 2**0.9 * np.array([1, 1.09]) ** 2.4, rtol=1e-9)


@pytest.mark.parametrize("gain_ev", [-2.0, -1.0, 0.5, 1.5, 2.0])
def test_curve_stays_monotone_also_where_white_has_to_rise(gain_ev):
    nits = grey_nits(anchored(model(0.0), gain_ev), np.linspace(0, 1.09, 2000))
    assert np.diff(nits).min() > 0
    white = nits[-1] / 1.09**2.4
    assert white >= 203 * 0.99
    assert white == pytest.approx(203, rel=0.01) or gain_ev > 0.5


def test_chromaticity_is_kept():
    rgb = np.random.default_rng(0).random((200, 3))
    out, plain = anchored(model(0.7), -0.3)(rgb), model(0.7)(rgb)
    np.testing.assert_allclose(out / out.sum(1, keepdims=True), plain / plain.sum(1, keepdims=True), rtol=1e-12)


def test_a_model_that_is_already_there_is_not_changed():
    rgb = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(anchored(model(0.25), 0.25)(rgb), model(0.25)(rgb), rtol=1e-12)
