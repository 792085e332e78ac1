"""What a graded master is expected to be, and the gate and the gain that go by it."""

import warnings

import numpy as np
import pytest

from analysis.vqa.expectation import (
    SIGNATURE_SIZE,
    TONES,
    TrainedExpectation,
    read_expectation,
    shipped_expectation,
    source_tones,
)
from analysis.vqa.expected import HarmGate, expected_gain_db
from analysis.vqa.spec import FramePair, JudgeControls
from analysis.vqa.view import SourceView, View
from tests.catalogue import BUILT_IN
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from training.data.grading import grade
from training.data.scenes import SCENES
from training.data.vqa_media import SDR


def scene(number=0, seed=977):
    """A procedural shot's source in nits and its master; no training draws this seed."""
    master = SCENES[number](seed).render(0.5, 240, 135)
    return SDR.light(np.rint(grade(master) * 255).astype(np.float32)[None] / 255)[0], np.minimum(master, 1000)


def view(source, output, **controls):
    pair = FramePair(0, 0, 0, source, np.asarray(output, np.float32), np.zeros(source.shape[:2], np.float32))
    return View(pair, None, JudgeControls(**controls))


def harm(*views):
    gate = HarmGate(limit=20.0)
    for each in views:
        gate.add(each)
    return gate.result()


def test_every_tone_of_a_source_is_counted_once():
    tones = source_tones(SourceView(scene()[0]))
    assert tones.signature.shape == (SIGNATURE_SIZE,)
    assert tones.count.sum() == 120 * 67
    assert tones.share.sum() == pytest.approx(1)


def test_a_picture_and_the_same_picture_larger_have_the_same_signature():
    small = np.repeat(np.repeat(np.random.default_rng(0).uniform(0, 203, (18, 32, 3)), 4, 0), 4, 1).astype(np.float32)
    large = np.repeat(np.repeat(small, 5, 0), 5, 1)
    signatures = [source_tones(SourceView(picture)).signature for picture in (small, large)]
    assert signatures[1] == pytest.approx(signatures[0], abs=1e-4)


def test_the_shipped_errors_go_together_as_anchored_mid_tones_make_them():
    together = shipped_expectation().together
    assert together.shape == (TONES, TONES)
    assert np.allclose(np.diag(together), 1, atol=1e-5)
    assert np.linalg.eigvalsh(together.astype(np.float64)).min() > 0
    assert together[6, 10] > 0.3
    assert together[24, 28] > 0.3
    assert together[6, 24] < 0


def test_the_shipped_expectation_is_finite_and_unsure_of_what_it_has_never_seen():
    tones = source_tones(SourceView(scene()[0]))
    mean, spread = shipped_expectation()(tones.signature, tones.signature)
    assert mean.shape == spread.shape == (TONES,)
    assert np.isfinite(mean).all()
    assert (spread > 0).all()


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_masters_are_expected_to_be_brighter_in_highlights_than_the_sdr_picture(number):
    source, _ = scene(number)
    tones = source_tones(SourceView(source))
    mean, _ = shipped_expectation()(tones.signature, tones.signature)
    assert mean[-1] > 10


def test_doing_nothing_gains_nothing_and_does_no_harm():
    source, _ = scene()
    assert expected_gain_db(view(source, source)) == pytest.approx(0, abs=1e-9)
    assert harm(view(source, source)).value < 20


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_glare_everywhere_is_harm_and_a_loss(number):
    source, _ = scene(number)
    glare = view(source, np.minimum(source * 8, 1000))
    assert expected_gain_db(glare) < -3
    result = harm(glare)
    assert result.state == "failed"
    assert "further from a graded master" in result.detail


def test_a_mild_expansion_is_expected_to_gain_on_a_clipped_picture():
    source, _ = scene()
    expand = bind_guarded("spline", None, Controls(peak_nits=1000, mid_gain_ev=0.0))
    assert "spline" in BUILT_IN
    output = expand(source.astype(np.float64) / 203)
    assert expected_gain_db(view(source, output)) > 0


def test_an_exposure_that_was_asked_for_is_no_harm():
    source, _ = scene()
    asked = view(source, source, mid_gain_ev=0.93)
    assert harm(view(source, asked.reference.rgb, mid_gain_ev=0.93)).value < 20


def test_the_order_of_shots_changes_nothing():
    views = [view(scene(n)[0], np.minimum(scene(n)[0] * 2, 1000)) for n in range(2)]
    for number, each in enumerate(views):
        each.shot = number
    assert harm(*views) == harm(*reversed(views))


@pytest.mark.parametrize("nits", [0.0, 203.0, np.nan])
def test_flat_and_broken_pictures_get_finite_numbers(nits):
    flat = np.full((20, 30, 3), nits, np.float32)
    assert np.isfinite(expected_gain_db(view(flat, flat)))
    assert harm(view(flat, flat)).state == "passed"


def test_a_network_is_read_from_safetensors_and_runs_its_layers():
    from safetensors.numpy import save

    inputs = 2 * SIGNATURE_SIZE
    tensors = {
        "centre": np.zeros(inputs, np.float32),
        "scale": np.ones(inputs, np.float32),
        "together": np.eye(TONES, dtype=np.float32),
        "weight0": np.zeros((2 * TONES, inputs), np.float32),
        "bias0": np.concatenate([np.full(TONES, 0.5), np.zeros(TONES)]).astype(np.float32),
    }
    network = read_expectation(save(tensors))
    assert isinstance(network, TrainedExpectation)
    mean, spread = network(np.ones(SIGNATURE_SIZE, np.float32), np.ones(SIGNATURE_SIZE, np.float32))
    assert np.allclose(mean, 50)
    assert np.allclose(spread, 100)


def test_a_picture_unlike_any_other_overflows_nothing():
    far = np.full(SIGNATURE_SIZE, 1e4, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, spread = shipped_expectation()(far, -far)
    assert np.isfinite(mean).all()
    assert np.isfinite(spread).all()
