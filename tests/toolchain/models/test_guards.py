"""Each guard on a model that is broken in exactly the way the guard is for."""

from __future__ import annotations

import numpy as np
import pytest

from tests.catalogue import BUILT_IN
from toolchain.color.ictcp import ictcp_from_nits, nits_from_ictcp
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.models.curves import grey_nits
from toolchain.models.guards import bind_guarded, bind_unguarded, gamut_clip_share, guarded, monotone_grey
from toolchain.models.spec import Controls, FloatArray

PEAK = Controls(peak_nits=1000.0)
SIGNALS = np.linspace(0, 1.09, 500)

SKIN_SRGB = np.array(
    [
        (115, 82, 68), (194, 150, 130),  # ColorChecker dark and light skin
        (246, 237, 228), (234, 218, 186), (215, 189, 150), (160, 126, 86), (130, 92, 67), (96, 65, 52), (58, 49, 42),
    ]
)  # fmt: skip
"""The latter seven are tones of the Monk scale."""


def skin_linear() -> FloatArray:
    return (SKIN_SRGB / 255) ** 2.4 @ conversion_matrix("bt709", "bt2020").T


def hue_deg(nits: FloatArray) -> FloatArray:
    ictcp = ictcp_from_nits(nits)
    return np.degrees(np.arctan2(ictcp[..., 2], ictcp[..., 1]))


def hue_turned_by(degrees: float):
    """A model that shows the SDR picture at twice the light with every hue turned."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def expand(rgb: FloatArray) -> FloatArray:
        i, ct, cp = np.moveaxis(ictcp_from_nits(406 * rgb), -1, 0)
        return nits_from_ictcp(np.stack([i, cos * ct - sin * cp, sin * ct + cos * cp], axis=-1))

    return expand


@pytest.mark.parametrize("degrees", [-25, -8, 8, 25])
def test_skin_hue_is_turned_back(degrees):
    broken = hue_turned_by(degrees)
    source = skin_linear()
    assert np.abs(hue_deg(broken(source)) - hue_deg(203 * source)).min() > 5
    out = guarded(broken, PEAK)(source)
    np.testing.assert_allclose(hue_deg(out), hue_deg(203 * source), atol=1.0)


def test_skin_lock_keeps_lightness_and_chroma():
    source = skin_linear()
    before, after = (ictcp_from_nits(f(source)) for f in (hue_turned_by(15), guarded(hue_turned_by(15), PEAK)))
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    np.testing.assert_allclose(np.hypot(*after[:, 1:].T), np.hypot(*before[:, 1:].T), atol=1e-6)


def test_other_hues_are_the_models_own():
    green_and_blue = np.array([[0.1, 0.4, 0.1], [0.1, 0.2, 0.6], [0.3, 0.2, 0.5]])
    broken = hue_turned_by(10)
    np.testing.assert_allclose(guarded(broken, PEAK)(green_and_blue), broken(green_and_blue), rtol=1e-9)


@pytest.mark.parametrize("model_id", BUILT_IN)
@pytest.mark.parametrize("mid_gain_ev", [None, 0.0, 0.5])
def test_catalogue_models_keep_the_hue_of_skin(model_id, mid_gain_ev):
    source = skin_linear()
    out = bind_guarded(model_id, None, Controls(mid_gain_ev=mid_gain_ev))(source)
    np.testing.assert_allclose(hue_deg(out), hue_deg(203 * source), atol=1.5)


def test_a_grey_axis_that_turns_back_is_made_monotone():
    def wobbling(rgb: FloatArray) -> FloatArray:
        return 203 * rgb * (1 + 0.8 * np.sin(12 * rgb.max(axis=-1, keepdims=True)))

    assert np.diff(grey_nits(wobbling, SIGNALS)).min() < -1
    repaired = grey_nits(guarded(wobbling, PEAK), SIGNALS)
    assert np.diff(repaired).min() > -0.05
    assert np.all(repaired >= np.minimum(grey_nits(wobbling, SIGNALS), 980) - 0.05)


def test_a_monotone_model_is_returned_itself():
    def expand(rgb: FloatArray) -> FloatArray:
        return 203 * rgb

    assert monotone_grey(expand) is expand


def test_light_far_above_the_peak_rolls_off_and_keeps_its_order_and_colour():
    def too_bright(rgb: FloatArray) -> FloatArray:
        return 4000 * rgb

    out = guarded(too_bright, PEAK)
    nits = grey_nits(out, np.linspace(0, 1.0, 300))
    assert nits.max() <= 1000
    assert nits[-1] > 980
    assert np.diff(nits).min() >= 0
    assert len(np.unique(nits[nits > 600].round(2))) > 50, "highlights stay apart"
    low = np.linspace(0, 0.3, 50)
    np.testing.assert_allclose(grey_nits(out, low), 4000 * low**2.4, rtol=1e-6)
    rgb = np.array([[0.9, 0.5, 0.2]])
    np.testing.assert_allclose(out(rgb) / out(rgb).max(), rgb / rgb.max(), rtol=0.05)


@pytest.mark.parametrize("share", [0.1, 0.9, 0.99, 1.0])
def test_values_up_to_the_peak_pass_the_cap_within_half_a_per_cent(share):
    def expand(rgb: FloatArray) -> FloatArray:
        return 1000 * rgb

    nits = guarded(expand, PEAK)(np.full((1, 3), share))[0, 0]
    assert nits == pytest.approx(1000 * share, rel=1e-12 if share <= 0.99 else 0.004)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_become_the_sdr_picture(bad):
    def broken(rgb: FloatArray) -> FloatArray:
        nits = 300 * rgb
        nits[..., 1] = np.where(rgb[..., 0] > 0.5, bad, nits[..., 1])
        return nits

    rgb = np.array([[0.2, 0.4, 0.6], [0.8, 0.4, 0.1]])
    out = guarded(broken, PEAK)(rgb)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[1], 203 * rgb[1], rtol=1e-6)
    np.testing.assert_allclose(out[0], 300 * rgb[0], rtol=1e-6)


def test_negative_components_move_towards_grey_of_the_same_luminance():
    def oversaturated(rgb: FloatArray) -> FloatArray:
        grey = rgb @ luminance_coefficients("bt2020")
        return 203 * (grey[..., np.newaxis] + 3 * (rgb - grey[..., np.newaxis]))

    rgb = np.array([[0.1, 0.6, 0.3]])
    raw, out = oversaturated(rgb), guarded(oversaturated, PEAK)(rgb)
    weights = luminance_coefficients("bt2020")
    assert raw.min() < -1
    assert out.min() >= 0
    assert out @ weights == pytest.approx(raw @ weights, rel=1e-9)


def test_gamut_clip_share_counts_what_is_outside():
    def expand(rgb: FloatArray) -> FloatArray:
        return 1000 * rgb

    samples = np.array([[0.5, 0.5, 0.5], [1.0, 1.0, 1.0], [-0.1, 0.5, 0.5], [0.5, 1.2, 0.5], [np.nan, 0, 0]])
    assert gamut_clip_share(expand(samples), 1000.0) == pytest.approx(3 / 5)
    assert gamut_clip_share(expand(samples), 1300.0) == pytest.approx(2 / 5)


@pytest.mark.parametrize("model_id", BUILT_IN)
def test_catalogue_models_rarely_leave_the_gamut(model_id):
    rgb709 = np.random.default_rng(2).random((3000, 3)) ** 2.4
    rgb = rgb709 @ conversion_matrix("bt709", "bt2020").T
    nits = bind_guarded(model_id, None, Controls())
    assert gamut_clip_share(nits(rgb), 1000.0) == 0


def test_the_share_the_guards_bring_back_is_counted_before_them():
    """Twice the saturation pushes what is saturated already out of BT.2020; greys stay, and so does doing nothing."""
    primaries = np.eye(3)[np.newaxis] @ conversion_matrix("bt709", "bt2020").T
    grey = np.linspace(0, 1, 3)[:, np.newaxis] * np.ones(3)
    controls = Controls(peak_nits=1000.0, saturation=2.0)
    raw = bind_unguarded("bt2446c", None, controls)
    assert gamut_clip_share(raw(primaries), 1000.0) == 1
    assert gamut_clip_share(raw(grey), 1000.0) == 0
    assert gamut_clip_share(bind_unguarded("direct203", None, controls)(primaries), 1000.0) == 0
    assert gamut_clip_share(bind_guarded("bt2446c", None, controls)(primaries), 1000.0) == 0
