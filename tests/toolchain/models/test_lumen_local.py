"""lumen-local: what its network may say whatever its weights are, and the still against the kernel."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load

from toolchain.gain_grid import GainGrid, slice_grid, stack_luts
from toolchain.kernel import FrameSpec, apply
from toolchain.lut import OutputFormat, bake, exact
from toolchain.models.lumen import Numbers, expand_with
from toolchain.models.lumen_local import (
    STACK_SIZE,
    LumenLocal,
    gain_members,
    image_function,
    small_from_planes,
    values_from_ev,
)
from toolchain.models.networks.lumen_local import GRID_SHAPE, LEAST_CONTRAST, REACH_EV, LumenLocalNetwork
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, ModelSpec
from toolchain.video.facts import ColorInterpretation

BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
SPEC = ModelSpec(
    id="lumen-local", title="t", task="sdr2hdr", source="s", licence="Apache-2.0", pointwise=False, cost_class="light"
)
CURVE = expand_with(
    Numbers(
        contrast=(1.0,) * 10 + (1.3, 1.8, 2.2, 2.4, 2.4, 2.4),
        saturation_ev=(0, 0, 0, 0),
        level_mix=0.5,
        offset_nits=0,
    ),
    1000.0,
)
MEMBERS = gain_members(CURVE, Controls())


def violent_network(seed: int) -> LumenLocalNetwork:
    """A network whose answers are as wild as it can make them."""
    torch.manual_seed(seed)
    network = LumenLocalNetwork().eval()
    with torch.no_grad():
        for parameter in network.decide.parameters():
            parameter.normal_(std=1.0)
        network.gate[-1].bias.fill_(9.0)  # type: ignore[union-attr,operator]
    return network


def gradients(seed: int):
    """(1, 3, 144, 256): smooth colours over the whole range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:144, 0:256] / 200
    waves = [0.5 + 0.5 * np.sin(rng.uniform(3, 9) * x + rng.uniform(2, 7) * y + k) for k in range(3)]
    return torch.tensor(np.stack(waves)[np.newaxis], dtype=torch.float32)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_weights_the_grid_is_bounded_and_falls_no_faster_than_the_flattest_curve_rises(seed):
    with torch.no_grad():
        grid = violent_network(seed).condition(gradients(seed))[0].numpy()
    assert grid.shape == GRID_SHAPE
    assert np.abs(grid).max() <= REACH_EV + 1e-6
    light_ev = 2.4 * np.log2(np.arange(2, GRID_SHAPE[0]) / np.arange(1, GRID_SHAPE[0] - 1))
    fall = -np.diff(grid, axis=0)[1:]
    assert np.all(fall <= LEAST_CONTRAST * light_ev[:, None, None] + 1e-5)
    assert np.ptp(grid) > 0.3  # it was wild


@pytest.mark.parametrize("seed", range(5))
def test_mid_tones_keep_their_mean(seed):
    small = gradients(seed)
    with torch.no_grad():
        grid = violent_network(seed).condition(small)[0].numpy()
    luma = np.tensordot([0.2126, 0.7152, 0.0722], small[0].numpy(), axes=1)
    gain_ev = slice_grid(grid, luma)
    middle = (luma > 0.3) & (luma < 0.6)
    assert abs(gain_ev[middle].mean()) < 0.25


def test_a_new_network_says_nothing():
    with torch.no_grad():
        assert LumenLocalNetwork().eval().condition(gradients(0)).abs().max() < 0.15


def test_a_gate_that_is_not_sure_says_exactly_nothing_but_learns_on():
    network = violent_network(0)
    with torch.no_grad():
        network.gate[-1].weight.zero_()  # type: ignore[union-attr,operator]
        network.gate[-1].bias.zero_()  # type: ignore[union-attr,operator]
        assert network.condition(gradients(0)).abs().max() == 0
        assert network.train().condition(gradients(0)).abs().max() > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_greys_stay_in_order_whatever_the_weights(seed):
    ramp = np.tile(np.linspace(0, 1, 256), (144, 1))
    with torch.no_grad():
        grid = violent_network(seed).condition(gradients(seed))[0].numpy()
    # One column of the grid over the whole picture: the ramp then differs in luma alone.
    values = np.broadcast_to(values_from_ev(grid)[:, 4:5, 8:9], GRID_SHAPE)
    nits = image_function(MEMBERS, lambda picture: np.ascontiguousarray(values))(
        np.repeat(ramp[..., None], 3, 2) ** 2.4
    )
    luma = nits[0, :, 1]
    assert luma[0] < 1e-3 and luma.max() <= 1000.0
    assert np.diff(luma).min() >= -1e-6


def test_no_gain_is_the_curve_itself():
    rgb = np.random.default_rng(0).random((12, 20, 3))
    local = LumenLocal(SPEC, run=lambda inputs: {"numbers": np.zeros((1, *GRID_SHAPE), np.float32)})
    nits = image_function(MEMBERS, lambda picture: local.grid_for(np.zeros((3, 144, 256), np.float32)))(rgb)
    np.testing.assert_allclose(nits, MEMBERS[2](rgb), rtol=1e-6, atol=1e-6)


def test_colours_without_a_picture_get_no_gain():
    colours = np.random.default_rng(0).random((40, 3))
    values = values_from_ev(np.full(GRID_SHAPE, 1.0))
    np.testing.assert_array_equal(image_function(MEMBERS, lambda picture: values)(colours), MEMBERS[2](colours))


def test_a_constant_gain_is_that_gain():
    rgb = np.random.default_rng(0).random((12, 20, 3)) * 0.2
    values = values_from_ev(np.full(GRID_SHAPE, 0.75))
    nits = image_function(MEMBERS, lambda picture: values)(rgb)
    np.testing.assert_allclose(nits, MEMBERS[3](rgb), rtol=1e-5)
    np.testing.assert_allclose(nits, 2**0.75 * MEMBERS[2](rgb), rtol=0.02)


def test_grids_in_ev_become_places_in_the_stack():
    assert values_from_ev(np.array([-9.0, -1.5, 0.0, 1.5, 9.0, np.nan])).tolist() == [0, 0, 2, 4, 4, 2]


def test_the_kernel_makes_the_still():
    y, x = np.mgrid[0:90, 0:160] / 160
    luma = np.clip(np.round(120 + 65 * np.sin(7 * x + 3 * y)), 16, 235).astype(np.uint8)
    blue = np.clip(np.round(128 + 16 * np.cos(5 * x)), 16, 240).astype(np.uint8)
    red = np.clip(np.round(128 + 16 * np.sin(6 * y)), 16, 240).astype(np.uint8)
    output = OutputFormat(chroma="4:4:4")
    spec = FrameSpec(160, 90, 8, "4:4:4", BT709, output)
    tables = tuple(bake(member, BT709, output, STACK_SIZE) for member in MEMBERS)
    rng = np.random.default_rng(0)
    values = values_from_ev(np.cumsum(rng.uniform(0, 0.3, GRID_SHAPE), axis=0) - 1)
    out = tuple(np.zeros((90, 160), np.uint16) for _ in range(3))
    apply((luma, blue, red), out, spec, tables[2], gain=GainGrid(values, stack_luts(tables)))
    signal_luma, cb, cr = (luma - 16.0) / 219, (blue - 128.0) / 224, (red - 128.0) / 224
    green = signal_luma - (0.2126 * 1.5748 * cr + 0.0722 * 1.8556 * cb) / 0.7152
    signal = np.stack([signal_luma + 1.5748 * cr, green, signal_luma + 1.8556 * cb], axis=-1)
    assert signal.min() >= 0 and signal.max() <= 1
    still = exact(signal, image_function(MEMBERS, lambda picture: values), BT709, output)
    error = np.abs(np.stack(out, axis=-1) - np.floor(still + 0.5))
    assert np.percentile(error, 99) <= 2 and error.mean() < 0.3


@pytest.mark.parametrize("chroma", ["4:2:0", "4:2:2", "4:4:4", "4:0:0", "rgb"])
def test_planes_and_pictures_make_the_same_small_picture(chroma):
    spec = FrameSpec(1280, 720, 8, chroma, BT709, OutputFormat())
    rng = np.random.default_rng(0)
    codes = (120, 128 - 20, 128 + 20) if chroma != "rgb" else (60, 120, 180)
    planes = tuple(
        np.clip(rng.normal(code, 10, shape), 0, 255).astype(np.uint8)
        for code, shape in zip(codes, spec.input_shapes, strict=False)
    )
    small = small_from_planes(planes, spec)
    assert small.shape == (3, 144, 256) and small.dtype == np.float32
    first = (np.mean(planes[0], dtype=float) - 16) / 219
    if chroma == "rgb":
        expected = [(np.mean(plane, dtype=float) - 16) / 219 for plane in planes]
    elif chroma == "4:0:0":
        expected = [first] * 3
    else:
        blue, red = ((np.mean(plane, dtype=float) - 128) / 224 for plane in planes[1:])
        expected = [first + 1.5748 * red, first - 0.1873 * blue - 0.4681 * red, first + 1.8556 * blue]
    np.testing.assert_allclose(small.mean(axis=(1, 2)), expected, atol=2e-3)


def test_the_shipped_weights_are_those_of_the_data_sheet():
    sheet = yaml.safe_load((files("configs") / "models" / "lumen-local.yaml").read_text(encoding="utf-8"))
    spec = ModelSpec.model_validate(sheet)
    assert spec.weights is not None and spec.weights.shipped
    data = (files("toolchain.models.shipped") / spec.weights.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == spec.weights.sha256 and len(data) == spec.weights.size_bytes
    network = LumenLocalNetwork().eval()
    network.load_state_dict(load(data), strict=True)
    with torch.no_grad():
        assert network.condition(torch.zeros(1, 3, 144, 256)).abs().max() == 0  # a black frame is left alone


def test_the_grid_is_computed_where_the_controls_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def session_run(model_id: str, runtime: str | None):
        asked.append((model_id, runtime))
        return lambda inputs: {"numbers": np.zeros((1, *GRID_SHAPE), np.float32)}

    monkeypatch.setattr("toolchain.models.lumen_local.session_run", session_run)
    expand = LumenLocal(get_spec("lumen-local")).bind_image(None, Controls(runtime="onnxruntime"))
    expand(np.full((18, 32, 3), 0.2))
    assert asked == [("lumen-local", "onnxruntime")]
