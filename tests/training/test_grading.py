import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf
from toolchain.errors import UsageError
from training.data.grading import CURVES, Curve, GradeRecipe, grade

GREYS = np.repeat(np.geomspace(0.01, 1000.0, 400, dtype=np.float32)[:, None], 3, axis=1)
curves = pytest.mark.parametrize("curve", CURVES)


@pytest.mark.parametrize("curve", ["clip", "shoulder"])
@given(rgb=st.tuples(*[st.floats(0.0, 0.58)] * 3))
def test_anchored_curves_keep_mid_tones_of_the_master(curve: Curve, rgb: tuple[float, float, float]) -> None:
    light = np.array(rgb)
    nits = 203.0 * convert(light, "bt709", "bt2020")
    shown = bt1886_eotf(grade(nits, GradeRecipe(curve)))
    assert np.allclose(shown, light, atol=2e-5)


@curves
def test_greys_rise_stay_grey_and_stay_in_range(curve: Curve) -> None:
    signal = grade(GREYS, GradeRecipe(curve))
    assert signal.dtype == np.float32
    assert signal.min() >= 0.0
    assert signal.max() <= 1.0
    assert np.diff(signal[:, 1]).min() >= -1e-6
    assert np.ptp(signal, axis=1).max() < 2e-3


@curves
def test_black_is_black_and_the_peak_is_white(curve: Curve) -> None:
    black, peak = grade(np.array([[0.0] * 3, [1000.0] * 3]), GradeRecipe(curve))
    assert black.max() < 1e-3
    assert peak.min() > 0.995


@curves
@given(rgb=st.tuples(*[st.floats(0.0, 10000.0, width=32)] * 3), saturation=st.floats(0.0, 2.0))
def test_every_colour_gives_a_signal(curve: Curve, rgb: tuple[float, ...], saturation: float) -> None:
    signal = grade(np.array(rgb), GradeRecipe(curve, saturation=saturation))
    assert np.isfinite(signal).all()
    assert signal.min() >= 0.0
    assert signal.max() <= 1.0


def test_shoulder_keeps_highlights_apart_where_clip_does_not() -> None:
    highlights = np.array([[300.0] * 3, [600.0] * 3])
    rolled, clipped = (grade(highlights, GradeRecipe(curve)) for curve in ("shoulder", "clip"))
    assert rolled[1, 0] - rolled[0, 0] > 0.02
    assert clipped[1, 0] == clipped[0, 0] == 1.0


def test_one_stop_doubles_the_light() -> None:
    master = np.array([20.0, 30.0, 25.0])
    shown = [bt1886_eotf(grade(master, GradeRecipe("clip", exposure_ev=ev))) for ev in (0.0, 1.0)]
    assert np.allclose(shown[1], 2.0 * shown[0], rtol=1e-4)


def test_saturation_zero_is_grey_of_the_same_luminance() -> None:
    light = np.array([0.1, 0.4, 0.2])
    nits = 203.0 * convert(light, "bt709", "bt2020")
    shown = bt1886_eotf(grade(nits, GradeRecipe("clip", saturation=0.0)))
    assert np.allclose(shown, light @ [0.2126, 0.7152, 0.0722], atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"curve": "aces"},
        {"knee": 0.0},
        {"knee": 1.0},
        {"peak_nits": 203.0},
        {"peak_nits": float("nan")},
        {"exposure_ev": float("inf")},
        {"saturation": -0.1},
    ],
)
def test_recipes_that_mean_nothing_are_refused(arguments: dict) -> None:
    with pytest.raises(UsageError):
        GradeRecipe(**arguments)
