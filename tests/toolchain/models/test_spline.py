from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import UsageError
from toolchain.models.curves import grey_nits
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import get_model
from toolchain.models.spec import Controls, ShotContext, ShotTone

CENTRES = (np.arange(256) + 0.5) / 256


def mixture(*parts: tuple[float, float, float]) -> ShotTone:
    """(share, mean Y', spread) of each part of the picture."""
    shares = np.zeros(256)
    for share, mean, spread in parts:
        bump = np.exp(-(((CENTRES - mean) / spread) ** 2))
        shares += share * bump / bump.sum()
    return ShotTone(histogram=tuple(shares / shares.sum()))


INTERIOR_WITH_LAMP = mixture((0.7, 0.3, 0.12), (0.295, 0.5, 0.1), (0.005, 0.99, 0.01))
SNOW = mixture((0.15, 0.4, 0.1), (0.85, 0.9, 0.06))
WHITE_PAGE = mixture((0.1, 0.1, 0.05), (0.9, 1.0, 0.01))
NIGHT = mixture((0.95, 0.08, 0.05), (0.05, 0.6, 0.2))


def nits(tone: ShotTone | None, signals, peak_nits: float = 1000.0, **extra: float) -> np.ndarray:
    controls = Controls(peak_nits=peak_nits, mid_gain_ev=None, extra=extra)
    return grey_nits(get_model("spline").bind(ShotContext(tone) if tone else None, controls), signals)


@pytest.mark.parametrize("tone", [None, INTERIOR_WITH_LAMP, SNOW, WHITE_PAGE, NIGHT])
def test_mid_tones_are_the_sdr_picture_at_203_nits(tone):
    signals = np.linspace(0.25, 0.6, 36)
    np.testing.assert_allclose(nits(tone, signals), 203 * signals**2.4, rtol=1e-9)


@pytest.mark.parametrize("peak_nits", [400.0, 1000.0, 4000.0])
def test_a_small_lamp_reaches_the_peak(peak_nits):
    assert nits(INTERIOR_WITH_LAMP, [1.0], peak_nits)[0] > 0.85 * peak_nits
    assert nits(None, [1.0], peak_nits)[0] == pytest.approx(peak_nits)


def test_snow_and_a_white_page_stay_near_reference_white():
    assert nits(SNOW, [1.0])[0] < 260
    assert nits(WHITE_PAGE, [1.0])[0] < 210
    assert nits(WHITE_PAGE, [1.0], 10000.0)[0] < 220


def test_more_bright_area_never_means_more_light():
    whites = [nits(mixture((1 - share, 0.3, 0.1), (share, 0.97, 0.02)), [1.0])[0] for share in np.linspace(0, 1, 41)]
    assert np.diff(whites).max() <= 1e-9
    assert whites[0] > 950
    assert whites[-1] < 210


def test_the_curve_follows_the_histogram_smoothly():
    """Blending one shot into a very different one: no grey moves more than 3 % in a step of 1/400, and a step half
    as long moves it half as far, so there is no jump to be found at any scale."""
    signals = np.linspace(0.02, 1.0, 50)
    lamp, snow = np.array(INTERIOR_WITH_LAMP.histogram), np.array(SNOW.histogram)

    def largest_step(count: int) -> float:
        blends = [ShotTone(histogram=tuple((1 - t) * lamp + t * snow)) for t in np.linspace(0, 1, count + 1)]
        return float(np.abs(np.diff(np.log([nits(tone, signals) for tone in blends]), axis=0)).max())

    assert largest_step(400) < 0.03
    assert largest_step(800) == pytest.approx(largest_step(400) / 2, rel=0.1)


def test_noise_in_the_histogram_hardly_matters():
    rng = np.random.default_rng(8)
    noisy = np.array(INTERIOR_WITH_LAMP.histogram) * rng.uniform(0.9, 1.1, 256)
    signals = np.linspace(0.02, 1.0, 50)
    ratio = nits(ShotTone(histogram=tuple(noisy)), signals) / nits(INTERIOR_WITH_LAMP, signals)
    np.testing.assert_allclose(ratio, 1, atol=0.02)


def test_shadows_deepen_gently_and_dark_shots_keep_theirs():
    deep = nits(INTERIOR_WITH_LAMP, [0.02])[0] / (203 * 0.02**2.4)
    assert 2**-0.15 < deep < 0.96
    assert nits(INTERIOR_WITH_LAMP, [0.02], shadow_depth_ev=0.0)[0] == pytest.approx(203 * 0.02**2.4)
    night = nits(NIGHT, [0.02])[0] / (203 * 0.02**2.4)
    assert deep < night < 1


def test_strength_zero_is_doing_nothing_in_highlights():
    signals = np.linspace(0.25, 1.09, 50)
    np.testing.assert_allclose(nits(INTERIOR_WITH_LAMP, signals, strength=0.0), 203 * signals**2.4, rtol=1e-12)


def test_knee_shift_moves_the_start_of_the_highlights():
    low, middle, high = (nits(None, [0.8], knee_shift=shift)[0] for shift in (-0.1, 0.0, 0.1))
    assert low > 1.05 * middle > 1.05 * high


def test_colour_ratio_is_kept_and_a_red_lamp_brightens():
    rgb = np.array([[1.0, 0.1, 0.05], [0.9, 0.8, 0.7], [0.05, 0.1, 1.0]])
    out = get_model("spline").bind(None, Controls(mid_gain_ev=None))(rgb)
    np.testing.assert_allclose(out / out[:, :1], rgb / rgb[:, :1], rtol=1e-12)
    assert out[0, 0] > 210
    assert (out <= 1000).all()


@pytest.mark.parametrize("histogram", [(0.0,) * 256, (float("nan"),) * 256, (-1.0, 2.0), ()])
def test_a_broken_histogram_is_refused(histogram):
    with pytest.raises(UsageError, match="histogram"):
        nits(ShotTone(histogram=histogram), [0.5])


def test_unknown_parameter_is_refused():
    with pytest.raises(UsageError, match="no parameter 'gamma'"):
        bind_guarded("spline", None, Controls(extra={"gamma": 1.0}))
