from __future__ import annotations

import numpy as np
import pytest

from toolchain.models.curves import scaled_highlights, smoothstep


@pytest.mark.parametrize("target_nits", [203.0, 240.0, 600.0, 1000.0, 4000.0, 10000.0])
@pytest.mark.parametrize("knee_nits", [30.0, 131.0, 190.0])
def test_white_lands_on_the_target_and_the_curve_never_turns_back(knee_nits, target_nits):
    nits = np.geomspace(0.01, 3000, 3000)
    curve = scaled_highlights(nits, knee_nits, 1000.0, target_nits)
    assert np.diff(curve).min() >= -1e-9
    assert scaled_highlights(np.array([1000.0]), knee_nits, 1000.0, target_nits)[0] == pytest.approx(target_nits)


def test_below_the_knee_nothing_changes_and_the_knee_is_smooth():
    nits = np.linspace(1, 300, 3000)
    curve = scaled_highlights(nits, 131.0, 300.0, 800.0)
    np.testing.assert_array_equal(curve[nits < 130.9], nits[nits < 130.9])
    assert np.abs(np.diff(curve, 2)).max() < 1e-3


def test_target_equal_to_white_is_no_change():
    nits = np.linspace(0, 500, 500)
    np.testing.assert_allclose(scaled_highlights(nits, 60.0, 300.0, 300.0), nits, rtol=1e-9)


def test_smoothstep_ends_and_middle():
    np.testing.assert_allclose(
        smoothstep(0.2, 0.6, np.array([0.0, 0.2, 0.4, 0.6, 1.0])), [0, 0, 0.5, 1, 1], atol=1e-15
    )
