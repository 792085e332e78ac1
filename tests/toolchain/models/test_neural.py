"""How networks become models: padding, tiles, flat fields and chunks change nothing of what the network says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.color.transfer import bt1886_eotf, pq_eotf_inverse
from toolchain.models import neural
from toolchain.models.networks import hazards
from toolchain.models.networks.registry import build_network
from toolchain.models.neural import NeuralModel
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, ModelSpec, ShotContext, ShotTone

TONE = ShotTone(histogram=(1.0,) * 256)


class BoxBlur:
    """A stand-in whose answer is known: half the mean of the 3x3 around each pixel, plus the first number."""

    runtime, provider = "torch", "test"

    def __init__(self, multiple: int = 1):
        self.multiple = multiple
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs):
        if "small" in inputs:
            return {"numbers": np.array([[inputs["small"].mean()]], np.float32)}
        rgb, numbers = inputs["rgb"], inputs["numbers"]
        assert rgb.flags.c_contiguous and rgb.dtype == np.float32 and len(numbers) == len(rgb)
        assert rgb.shape[2] % self.multiple == 0 and rgb.shape[3] % self.multiple == 0
        self.shapes.append(rgb.shape)
        padded = np.pad(rgb, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        rows, columns = rgb.shape[2:]
        blurred = sum(padded[:, :, y : y + rows, x : x + columns] for y in range(3) for x in range(3)) / 9
        return {"pq": (blurred / 2 + numbers[:, :1, None, None]).astype(np.float32)}


def spec_of(**changes) -> ModelSpec:
    return get_spec("agcm").model_copy(update={"pointwise": False, "overlap_px": 2, **changes})


@pytest.mark.parametrize(("height", "width"), [(40, 56), (37, 51), (5, 3)])
def test_padding_is_cropped_again(height: int, width: int) -> None:
    session = BoxBlur(multiple=8)
    signal = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    numbers = np.zeros((1, 1), np.float32)
    pq = neural._render_picture(session, signal, numbers, spec_of(size_multiple=8))
    assert pq.shape == signal.shape
    inside = BoxBlur().run({"rgb": neural._planar(signal), "numbers": numbers})["pq"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(pq[:-1, :-1], inside[:-1, :-1], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(60, 150), st.integers(60, 150), st.sampled_from([1, 4, 8]))
def test_tiles_give_the_same_picture_as_the_whole(height: int, width: int, multiple: int) -> None:
    signal = np.random.default_rng(1).random((height, width, 3)).astype(np.float32)
    numbers = np.full((1, 1), 0.1, np.float32)
    whole = neural._render_picture(BoxBlur(multiple), signal, numbers, spec_of(size_multiple=multiple, tiling=False))
    session = BoxBlur(multiple)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neural, "TILE_SIDE", 48)
        tiled = neural._render_picture(session, signal, numbers, spec_of(size_multiple=multiple))
    assert len(session.shapes) > 1
    assert len(set(session.shapes)) == 1  # a runtime compiles, or builds an engine, for each shape
    np.testing.assert_array_equal(tiled, whole)


def test_a_model_that_may_not_be_tiled_is_shown_the_whole_picture() -> None:
    session = BoxBlur()
    signal = np.zeros((100, 120, 3), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neural, "TILE_SIDE", 48)
        neural._render_picture(session, signal, np.zeros((1, 1), np.float32), spec_of(tiling=False))
    assert session.shapes == [(1, 3, 100, 120)]


def test_colours_are_seen_as_flat_fields() -> None:
    signal = np.random.default_rng(2).random((150, 3)).astype(np.float32)
    signal[7] = signal[3]
    answers = neural._render_flat(BoxBlur(), signal, np.full((1, 1), 0.25, np.float32))
    np.testing.assert_allclose(answers, signal / 2 + 0.25, atol=1e-6)


def test_numbers_are_held_over_the_shot_and_averaged_over_its_key_frames() -> None:
    session = BoxBlur()
    model = NeuralModel(spec_of(id="agcm"), lambda *_: session)
    dark, bright = (np.full((64, 96, 3), level, np.float32) for level in (0.01, 0.6))
    shot = ShotContext(TONE, (dark, bright), (64, 96))
    expand = model.bind(shot, Controls(mid_gain_ev=None))
    mean_signal = np.mean([0.01 ** (1 / 2.4), 0.6 ** (1 / 2.4)])
    grey = np.full((20, 20, 3), bt1886_eotf(np.float64(0.5)))
    expected = (0.25 + mean_signal) * neural.white_scale("agcm")
    np.testing.assert_allclose(pq_eotf_inverse(expand(grey)), min(expected, 1.0), atol=2e-4)


def test_the_conditioner_sees_a_small_picture_of_the_frame() -> None:
    """From a key frame of 480x270 a frame of 1920x1080 gives a quarter: 480x270; of 960x540: 240x135."""
    model = NeuralModel(get_spec("agcm"), lambda *_: BoxBlur())
    picture = np.full((270, 480, 3), 0.2, np.float32)
    assert model._small(picture, (1080, 1920)).shape == (1, 3, 270, 480)
    assert model._small(picture, (540, 960)).shape == (1, 3, 135, 240)
    assert model._small(picture, (2160, 3840)).shape == (1, 3, 270, 480)
    np.testing.assert_allclose(model._small(picture, (540, 960)), 0.2 ** (1 / 2.4), rtol=1e-5)


def test_pixels_keep_their_order_over_chunks() -> None:
    class Pointwise(BoxBlur):
        def run(self, inputs):
            return {"pq": inputs["rgb"] * 0.5}

    signal = np.random.default_rng(3).random((3, 70000, 3)).astype(np.float32)
    pq = neural._render_pixels(Pointwise(), signal, np.zeros((1, 1), np.float32))
    np.testing.assert_array_equal(pq, signal * 0.5)


def test_signals_that_nothing_trained_are_stepped_over() -> None:
    codes = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_array_equal(hazards.trained_signal("itmlut-tv1k", codes), codes)
    between = np.array([0.4985, 0.4999, 0.5001, 0.501], np.float32)
    np.testing.assert_array_equal(hazards.trained_signal("itmlut-tv1k", between), codes[[127, 127, 128, 128]])
    np.testing.assert_array_equal(hazards.trained_signal("lsn", between), between)


@pytest.mark.parametrize("model_id", ["agcm", "hdrtvnetpp", "lsn", "itmlut-tv1k"])
@pytest.mark.parametrize("size", [(1, 1), (12, 200), (100, 1920), (1080, 60)])
def test_pictures_smaller_than_a_network_takes_are_continued(model_id: str, size: tuple[int, int]) -> None:
    network = build_network(model_id)
    assert all(graph.least_size <= neural.LEAST_SIDE for graph in network.graphs)
    multiple = get_spec(model_id).size_multiple
    session = BoxBlur(multiple)
    model = NeuralModel(get_spec(model_id), lambda *_: session)
    share = min(1, 480 / max(size))
    key_frame = np.full((*(max(1, round(side * share)) for side in size), 3), 0.2, np.float32)
    small = model._small(key_frame, size)
    assert min(small.shape[2:]) >= neural.LEAST_SIDE
    np.testing.assert_allclose(small, 0.2 ** (1 / 2.4), rtol=1e-5)
    picture = np.random.default_rng(5).random((*size, 3)).astype(np.float32)
    answer = neural._render_picture(session, picture, np.zeros((1, 1), np.float32), get_spec(model_id))
    assert answer.shape == picture.shape
    assert all(min(shape[2:]) >= neural.LEAST_SIDE for shape in session.shapes)
    if not model.spec.pointwise:
        assert {shape[2:] for shape in session.shapes} == {model._render_shape(ShotContext(TONE, (), size))}


def test_greys_between_those_rendered_are_interpolated_closely() -> None:
    """A network that turns hard beside black and white, as some published ones do, within a few ten-bit codes."""

    class Turning(BoxBlur):
        def run(self, inputs):
            x = inputs["rgb"].astype(np.float64)
            return {"pq": (0.2 * (1 - np.exp(-200 * x)) + 0.6 * x + 0.1 * np.exp(-200 * (1 - x))).astype(np.float32)}

    numbers = np.zeros((1, 1), np.float32)
    rendered = neural._render_flat(Turning(), neural.GREY_RAMP, numbers)
    greys = np.repeat(np.linspace(0, 1, 2001, dtype=np.float32)[:, np.newaxis], 3, axis=1)
    answers = neural._flat_colours(Turning(), greys, numbers, rendered)
    wanted = Turning().run({"rgb": greys})["pq"]
    np.testing.assert_allclose(answers, wanted, atol=2.5 / 1023)
