"""The curve of lumen-fixed and lumen-shot: its promises for any numbers, and what the network may change."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load

from toolchain.errors import AgentError
from toolchain.models import lumen
from toolchain.models.anchor import anchored, native_mid_gain_ev
from toolchain.models.curves import grey_nits
from toolchain.models.guards import bind_guarded, guarded
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, ModelSpec, ShotContext, ShotTone
from toolchain.models.weights import read_weights

SPEC = ModelSpec(
    id="lumen-shot", title="t", task="sdr2hdr", source="s", licence="Apache-2.0", pointwise=True, cost_class="light"
)
FLAT = ShotTone(histogram=(1.0 / 256,) * 256)
NEUTRAL = lumen.Numbers(contrast=(1.0,) * 16, saturation_ev=(0, 0, 0, 0), level_mix=0.5, offset_nits=0)
LOW, HIGH = lumen.vector_limits()
any_vector = arrays(np.float64, lumen.VECTOR_SIZE, elements=st.floats(0, 1)).map(lambda u: LOW + u * (HIGH - LOW))
SIGNALS = np.linspace(0, 1, 877)


def test_contrast_of_one_everywhere_is_the_sdr_picture_at_203_nits():
    rgb = np.random.default_rng(1).random((200, 3))
    np.testing.assert_allclose(lumen.expand_with(NEUTRAL, 1000.0)(rgb), 203 * rgb, rtol=1e-9)


@settings(max_examples=80, deadline=None)
@given(vector=any_vector, peak_nits=st.floats(203, 10000))
def test_any_numbers_make_a_rising_anchored_curve_from_black_to_a_white_within_the_peak(vector, peak_nits):
    expand = lumen.expand_with(lumen.Numbers.from_vector(vector), peak_nits)
    nits = grey_nits(expand, SIGNALS)
    assert nits[0] == 0
    assert np.diff(nits).min() >= 0
    # Highlights add nothing above the peak. Mid-tones that rise above it by themselves are the guard's matter.
    without = np.minimum(vector, np.where(np.arange(vector.size) >= lumen.HIGHLIGHT_KNOT, 0, np.inf))
    without[16:] = vector[16:]
    own_white = grey_nits(lumen.expand_with(lumen.Numbers.from_vector(without), peak_nits), [1.0])[0]
    assert nits[-1] <= max(peak_nits, own_white) * 1.0001 + 0.5
    assert nits[-1] >= 203 - 0.5
    assert abs(native_mid_gain_ev(expand)) < 0.03 or abs(vector[-1]) > 0.1


@settings(max_examples=40, deadline=None)
@given(vector=any_vector, peak_nits=st.floats(203, 4000), rgb=arrays(np.float64, (9, 3), elements=st.floats(0, 1.3)))
def test_any_numbers_behind_the_guards_stay_in_the_peak_and_keep_grey_grey(vector, peak_nits, rgb):
    expand = lumen.expand_with(lumen.Numbers.from_vector(vector), peak_nits)
    final = guarded(anchored(expand, 0.0), Controls(peak_nits=peak_nits))
    nits = final(rgb)
    assert np.isfinite(nits).all() and nits.min() >= 0 and nits.max() <= peak_nits
    grey = final(np.repeat(rgb[:, :1], 3, axis=1))
    assert np.ptp(grey, axis=1).max() <= 1e-6 * peak_nits


def test_white_follows_the_peak_and_mid_tones_do_not():
    numbers = NEUTRAL.model_copy(update={"contrast": (1.0,) * 11 + (2.5, 4.0, 5.0, 5.0, 5.0)})
    whites, mids = zip(
        *(grey_nits(lumen.expand_with(numbers, peak), [1.0, 0.5]) for peak in (203.0, 500.0, 1000.0, 4000.0)),
        strict=True,
    )
    assert np.all(np.diff(whites) > 50)
    np.testing.assert_allclose(whites[0], 203, rtol=1e-9)
    np.testing.assert_allclose(mids, mids[0], rtol=1e-12)


def test_vector_and_numbers_are_inverse_and_limits_hold():
    vector = LOW + 0.3 * (HIGH - LOW)
    np.testing.assert_allclose(lumen.Numbers.from_vector(vector).vector(), vector, atol=1e-12)
    np.testing.assert_allclose(lumen.Numbers.from_vector(HIGH + 5).vector(), HIGH, atol=1e-12)


def picture(value: float) -> np.ndarray:
    return np.full((100, 180, 3), value, dtype=np.float32)


def constant_network(vectors: dict[int, np.ndarray]):
    """Answers by the brightness of what it sees, rounded to tenths."""

    def run(inputs):
        small, controls = inputs["small"], inputs["controls"]
        assert small.shape == (1, 3, 144, 256) and small.dtype == np.float32
        assert controls.shape == (1, 2) and controls.dtype == np.float32
        return {"numbers": vectors[round(10 * float(small.mean()))][np.newaxis].astype(np.float32)}

    return run


def test_the_network_s_numbers_are_averaged_over_the_key_frames():
    dark, bright = NEUTRAL.vector(), NEUTRAL.vector() + 0.2
    model = lumen.LumenShot(SPEC, constant_network({5: dark, 10: bright}))
    shot = ShotContext(FLAT, (picture(0.5**2.4), picture(1.0)))
    numbers = model.numbers(shot.pictures, Controls())
    np.testing.assert_allclose(numbers.vector(), NEUTRAL.vector() + 0.1, atol=1e-6)
    rgb = np.random.default_rng(2).random((50, 3))
    expected = lumen.expand_with(numbers, 1000.0)(rgb)
    np.testing.assert_array_equal(model.bind(shot, Controls())(rgb), expected)


@pytest.mark.parametrize("shot", [None, ShotContext(FLAT)], ids=["no shot", "no pictures"])
def test_without_key_frames_lumen_shot_is_lumen_fixed(shot):
    def never(_):
        raise AssertionError("the network needs a picture")

    rgb = np.random.default_rng(3).random((50, 3))
    fixed = lumen.LumenFixed(SPEC).bind(shot, Controls(peak_nits=700))(rgb)
    np.testing.assert_array_equal(lumen.LumenShot(SPEC, never).bind(shot, Controls(peak_nits=700))(rgb), fixed)


def test_small_pictures_are_bt709_signal():
    grey = lumen.small_picture(picture(0.5**2.4))
    np.testing.assert_allclose(grey, 0.5, atol=1e-5)
    # Pure BT.2020 green lies outside BT.709 and is clipped there.
    green = lumen.small_picture(np.broadcast_to(np.array([0, 1, 0], np.float32), (20, 30, 3)))
    np.testing.assert_allclose(green[:, 0, 0], [0, 1, 0], atol=1e-6)


def test_broken_numbers_are_an_error_that_names_the_file():
    with pytest.raises(AgentError, match=r"nothing\.json cannot be used"):
        lumen.shipped_numbers("nothing.json")


def test_the_shipped_network_is_a_change_of_the_shipped_numbers_and_has_its_card():
    spec = get_spec("lumen-shot")
    assert spec.weights is not None and spec.weights.size_bytes < 8e6
    weights = read_weights(spec)  # checks size and SHA-256
    np.testing.assert_allclose(load(weights)["base"], lumen.shipped_numbers().vector(), atol=1e-4)
    for model_id in ("lumen-fixed", "lumen-shot"):
        card = (files("toolchain.models.shipped") / f"{model_id}.md").read_text(encoding="utf-8")
        assert all(part in card for part in ("**Data.**", "**Figures**", "**Limits.**", "CC BY 4.0", "Apache-2.0"))


@pytest.mark.parametrize("peak_nits", [203.0, 1000.0, 4000.0])
def test_the_shipped_network_keeps_every_promise_on_odd_pictures(peak_nits):
    rng = np.random.default_rng(4)
    pictures = (picture(0.0), picture(1.0), rng.random((480, 270, 3)).astype(np.float32), picture(1e-4))
    for shown in pictures:
        controls = Controls(peak_nits=peak_nits, runtime="torch")
        shot = ShotContext(FLAT, (shown,))
        nits = grey_nits(bind_guarded("lumen-shot", shot, controls), SIGNALS)
        assert nits[0] == 0
        assert np.diff(nits).min() >= -1e-6 * peak_nits
        assert 0.99 * 203 <= nits[-1] <= peak_nits
        middle = nits[(SIGNALS >= 0.3) & (SIGNALS <= 0.6)] / (
            203 * SIGNALS[(SIGNALS >= 0.3) & (SIGNALS <= 0.6)] ** 2.4
        )
        assert abs(np.log2(middle).mean()) < 0.05, "mid-tones stay"
