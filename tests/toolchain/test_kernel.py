"""The compiled kernel against a plain numpy statement of the same definition, and against the exact path."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogue import BUILT_IN
from tests.shared_data import shared_data
from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.errors import InputError, UsageError
from toolchain.kernel import Chroma, FrameSpec, GraphicsMask, apply
from toolchain.lut import DOMAIN_MAX, Lut3d, OutputFormat, bake, exact
from toolchain.models.guards import bind_guarded
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, ShotContext, ShotTone
from toolchain.video.facts import ColorInterpretation

BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
STEPS = {"4:0:0": (1, 1), "4:1:1": (4, 1), "4:2:0": (2, 2), "4:2:2": (2, 1), "4:4:0": (1, 2), "4:4:4": (1, 1)}
PQ = OutputFormat()


def color(**changes) -> ColorInterpretation:
    return BT709.model_copy(update=changes)


def times_203(light):
    return light * 203.0


# --- the definition, in numpy ---------------------------------------------------------------------------------


def rgb_signal(planes, spec: FrameSpec):
    """Decoded planes to R'G'B' at full size, float64 (height, width, 3)."""
    y_offset, y_scale, c_offset, c_scale = code_range(spec.bit_depth, spec.color.range)
    if spec.chroma == "rgb":
        return np.stack([(plane - y_offset) / y_scale for plane in planes], axis=-1)
    luma = (planes[0] - y_offset) / y_scale
    if spec.chroma == "4:0:0":
        return np.repeat(luma[..., None], 3, axis=-1)
    step_x, step_y = STEPS[spec.chroma]
    location = spec.color.chroma_location
    across = interpolation(spec.width, step_x, (step_x - 1) / 2 if location == "center" else 0)
    down = interpolation(spec.height, step_y, 0 if location == "topleft" else (step_y - 1) / 2)
    blue, red = (down @ ((plane - c_offset) / c_scale) @ across.T for plane in planes[1:])
    return np.stack([luma, blue, red], axis=-1) @ ycbcr_to_rgb_matrix(spec.color.matrix).T


def interpolation(size, step, shift):
    """(size, samples): linear interpolation of samples at positions k * step + shift, edges held."""
    samples = -(-size // step)
    at = np.arange(samples) * step + shift
    return np.array([np.interp(np.arange(size), at, unit) for unit in np.eye(samples)]).T


def low_pass(plane, axis):
    """[1 2 1] / 4 at every second sample of an axis, edges repeated."""
    plane = np.moveaxis(plane, axis, 0)
    padded = np.concatenate([plane[:1], plane, plane[-1:]])
    return np.moveaxis((padded[:-2] + 2 * plane + padded[2:])[::2] / 4, 0, axis)


def encoder_planes(codes, spec: FrameSpec):
    """Float codes (height, width, 3) to the three output planes, rounded half up."""
    luma, *chroma = np.moveaxis(codes, -1, 0)
    if spec.output.chroma != "4:4:4":
        chroma = [low_pass(plane, 1) for plane in chroma]
    if spec.output.chroma == "4:2:0":
        chroma = [low_pass(plane, 0) for plane in chroma]
    return [np.floor(plane + 0.5).astype(int) for plane in (luma, *chroma)]


def tetrahedral(rgb, lut: Lut3d):
    """The table at R'G'B' signals: from the cell's corner along its axes, largest fraction first."""
    grid = np.sqrt(np.clip(rgb, 0, DOMAIN_MAX) / DOMAIN_MAX).reshape(-1, 3) * (lut.size - 1)
    cell = np.minimum(grid.astype(int), lut.size - 2)
    fraction = grid - cell
    order = np.argsort(-fraction, axis=1, kind="stable")
    table = lut.table[:, :3].astype(float).reshape(lut.size, lut.size, lut.size, 3)
    corner, codes, at = cell.copy(), table[tuple(cell.T)], table[tuple(cell.T)]
    for rank in range(3):
        corner[np.arange(len(cell)), order[:, rank]] += 1
        following = table[tuple(corner.T)]
        codes = codes + np.take_along_axis(fraction, order[:, rank : rank + 1], 1) * (following - at)
        at = following
    return codes.reshape(rgb.shape)


# --- helpers ----------------------------------------------------------------------------------------------------


def make_spec(
    width=21, height=13, bit_depth=8, chroma: Chroma = "4:2:0", interpretation=BT709, output=PQ
) -> FrameSpec:
    return FrameSpec(width, height, bit_depth, chroma, interpretation, output)


def random_planes(spec: FrameSpec, seed=0):
    """Any code at all, reserved ones included."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if spec.bit_depth == 8 else np.uint16
    return tuple(rng.integers(0, 2**spec.bit_depth, shape).astype(dtype) for shape in spec.input_shapes)


def natural_planes(spec: FrameSpec, seed=0):
    """Smooth colours with a little noise, of moderate saturation, over the whole nominal luma range."""
    rng = np.random.default_rng(seed)
    planes = []
    for index, (rows, columns) in enumerate(spec.input_shapes):
        y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
        wave = np.sin(6 * x + 2 * index) * np.cos(5 * y - index) + rng.normal(0, 0.02, (rows, columns))
        planes.append(np.clip(np.round(128 + (110 if index == 0 else 40) * wave), 16, 235).astype(np.uint8))
    return tuple(planes)


def empty_output(spec: FrameSpec):
    return tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)


def run(planes, spec: FrameSpec, lut: Lut3d, graphics=None):
    out = empty_output(spec)
    apply(planes, out, spec, lut, graphics)
    return out


def assert_same_planes(got, expected):
    """float32 against float64: a value may fall on the other side of a rounding step, seldom and by one."""
    for plane, reference in zip(got, expected, strict=True):
        difference = np.abs(plane.astype(int) - reference)
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 0.02 + 1 / difference.size


LUT = bake(times_203, BT709, PQ, 17)


# --- agreement with the definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("output_chroma", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("chroma", ["4:0:0", "4:2:0", "4:2:2", "4:4:4", "4:1:1", "4:4:0", "rgb"])
def test_every_layout_follows_the_definition(chroma, location, output_chroma):
    spec = make_spec(
        chroma=chroma, interpretation=color(chroma_location=location), output=OutputFormat(chroma=output_chroma)
    )
    planes = random_planes(spec)
    assert_same_planes(run(planes, spec, LUT), encoder_planes(tetrahedral(rgb_signal(planes, spec), LUT), spec))


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize("bit_depth", [8, 9, 10, 12, 16])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020nc", "rgb"])
def test_every_coding_follows_the_definition(matrix, bit_depth, range_):
    chroma = "rgb" if matrix == "rgb" else "4:2:0"
    spec = make_spec(chroma=chroma, bit_depth=bit_depth, interpretation=color(matrix=matrix, range=range_))
    planes = random_planes(spec)
    assert_same_planes(run(planes, spec, LUT), encoder_planes(tetrahedral(rgb_signal(planes, spec), LUT), spec))


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 12),
    chroma=st.sampled_from(["4:2:0", "4:2:2", "4:1:1", "4:4:0", "4:4:4"]),
    output_chroma=st.sampled_from(["4:2:0", "4:2:2", "4:4:4"]),
    seed=st.integers(0, 1000),
)
def test_any_size_follows_the_definition(width, height, chroma, output_chroma, seed):
    spec = make_spec(width, height, chroma=chroma, output=OutputFormat(chroma=output_chroma))
    planes = random_planes(spec, seed)
    assert_same_planes(run(planes, spec, LUT), encoder_planes(tetrahedral(rgb_signal(planes, spec), LUT), spec))


@pytest.mark.parametrize("width", [255, 256, 257, 513])
def test_rows_longer_than_a_chunk(width):
    spec = make_spec(width, 3)
    planes = random_planes(spec)
    assert_same_planes(run(planes, spec, LUT), encoder_planes(tetrahedral(rgb_signal(planes, spec), LUT), spec))


def test_twelve_bit_output():
    output = OutputFormat(bit_depth=12, transfer="hlg")
    lut = bake(times_203, BT709, output, 17)
    spec = make_spec(output=output)
    planes = random_planes(spec)
    assert_same_planes(run(planes, spec, lut), encoder_planes(tetrahedral(rgb_signal(planes, spec), lut), spec))


def test_a_rgb_matrix_on_444_planes_is_planar_gbr():
    red, green, blue = random_planes(make_spec(chroma="rgb"))
    tagged = run((green, blue, red), make_spec(chroma="4:4:4", interpretation=color(matrix="rgb")), LUT)
    for plane, reference in zip(tagged, run((red, green, blue), make_spec(chroma="rgb"), LUT), strict=True):
        np.testing.assert_array_equal(plane, reference)


# --- properties -------------------------------------------------------------------------------------------------


def test_a_grey_ramp_stays_grey_and_rises():
    spec = make_spec(256, 4, chroma="4:2:0")
    luma = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    planes = (luma, np.full((2, 128), 128, np.uint8), np.full((2, 128), 128, np.uint8))
    y, blue, red = run(planes, spec, bake(times_203, BT709, PQ, 33))
    assert np.all(blue == 512) and np.all(red == 512)
    assert np.all(np.diff(y[0].astype(int)) >= 0)
    assert np.all(y[0, :17] == 64)  # at and below black
    assert len(np.unique(y[0, 16:])) >= 238  # nearly every step of the source survives, super-white too
    signals = (np.arange(256)[:, None].repeat(3, 1) - 16) / 219
    assert np.abs(y[0] - exact(signals, times_203, BT709, PQ)[:, 0]).max() <= 1


def test_output_is_legal_whatever_comes_in():
    violent = bake(lambda light: np.where(light > 0.2, 1e5, 0.0), BT709, PQ, 9)
    for plane in run(random_planes(make_spec(64, 64)), make_spec(64, 64), violent):
        assert plane.min() >= 4 and plane.max() <= 1019


def test_strides_are_respected_and_padding_is_untouched():
    spec = make_spec(21, 13)
    planes = random_planes(spec)
    wide = [np.pad(plane, ((0, 0), (0, 11)), constant_values=77)[:, : plane.shape[1]] for plane in planes]
    for plane in wide:
        plane.flags.writeable = False
    backing = [np.full((rows + 1, columns + 9), 5, np.uint16) for rows, columns in spec.output_shapes]
    views = tuple(full[: shape[0], : shape[1]] for full, shape in zip(backing, spec.output_shapes, strict=True))
    apply(tuple(wide), views, spec, LUT)
    for full, view, reference in zip(backing, views, run(planes, spec, LUT), strict=True):
        np.testing.assert_array_equal(view, reference)
        assert np.all(full[-1] == 5) and np.all(full[:, view.shape[1] :] == 5)


def test_input_of_an_awkward_layout_is_read_right():
    spec = make_spec(21, 13)
    planes = random_planes(spec)
    expected = run(planes, spec, LUT)
    flipped = tuple(np.ascontiguousarray(plane[::-1])[::-1] for plane in planes)
    by_column = tuple(np.asfortranarray(plane) for plane in planes)
    for awkward in (flipped, by_column):
        for plane, reference in zip(run(awkward, spec, LUT), expected, strict=True):
            np.testing.assert_array_equal(plane, reference)


def test_frames_in_parallel_are_the_same_as_one_by_one():
    spec = make_spec(130, 40)
    frames = [random_planes(spec, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda planes: run(planes, spec, LUT), frames))
    for planes, got in zip(frames, together, strict=True):
        for plane, reference in zip(got, run(planes, spec, LUT), strict=True):
            np.testing.assert_array_equal(plane, reference)


# --- the graphics mask --------------------------------------------------------------------------------------------


def bilinear_mask(weights, height, width):
    down = interpolation(height, 16, 7.5)
    across = interpolation(width, 16, 7.5)
    return down @ weights @ across.T


@pytest.mark.parametrize("output_chroma", ["4:2:0", "4:4:4"])
def test_mask_blends_the_two_tables(output_chroma):
    spec = make_spec(531, 40, chroma="4:4:4", output=OutputFormat(chroma=output_chroma))
    bright = bake(lambda light: light * 800.0, BT709, PQ, 17)
    weights = np.zeros((3, 34), np.float32)
    weights[1, 3], weights[2, 20:], weights[0, 0] = 1.0, 0.25, 0.5
    planes = random_planes(spec)
    rgb = rgb_signal(planes, spec)
    share = bilinear_mask(weights, 40, 531)[..., None]
    codes = (1 - share) * tetrahedral(rgb, bright) + share * tetrahedral(rgb, LUT)
    assert_same_planes(run(planes, spec, bright, GraphicsMask(weights, LUT)), encoder_planes(codes, spec))


def test_a_mask_of_zeros_changes_nothing_and_one_of_ones_takes_the_other_table():
    spec = make_spec(40, 40)
    bright = bake(lambda light: light * 800.0, BT709, PQ, 17)
    planes = random_planes(spec)
    for weight, expected in ((0.0, bright), (1.0, LUT)):
        mask = GraphicsMask(np.full((3, 3), weight, np.float32), LUT)
        for plane, reference in zip(run(planes, spec, bright, mask), run(planes, spec, expected), strict=True):
            assert np.abs(plane.astype(int) - reference).max() <= (0 if weight == 0 else 1)


# --- accuracy against the exact path ------------------------------------------------------------------------------


def code_errors(planes, spec: FrameSpec, model, size):
    """|kernel - exact| in output codes, both rounded, over all three planes."""
    got = run(planes, spec, bake(model, spec.color, spec.output, size))
    wanted = encoder_planes(exact(rgb_signal(planes, spec), model, spec.color, spec.output), spec)
    return np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(got, wanted, strict=True)])


def catalogue_model(model_id, planes):
    """The model as the pipeline binds it: guarded, and given the picture's own histogram."""
    counts, _ = np.histogram(np.clip((planes[0] - 16.0) / 219, 0, 1), bins=256, range=(0, 1))
    return bind_guarded(model_id, ShotContext(ShotTone(histogram=tuple(counts / counts.sum()))), Controls())


def decoded_frame(clip):
    """A corner of a real frame: planes with strides, and their spec."""
    with av.open(str(shared_data("clips", clip))) as container:
        frame = next(frame for index, frame in enumerate(container.decode(video=0)) if index == 20)
    spec = make_spec(frame.width // 2, frame.height // 2)
    planes = (np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes)
    return tuple(
        plane[:rows, :columns] for plane, (rows, columns) in zip(planes, spec.input_shapes, strict=True)
    ), spec


@pytest.mark.parametrize("model_id", [model_id for model_id in BUILT_IN if get_spec(model_id).pointwise])
@pytest.mark.parametrize(
    "clip", [None, "internal_emulator_transformer_output.mp4", "sample.mp4", "bbb_960x540_60fps_vp8.webm"]
)
def test_within_one_code_of_the_exact_path(clip, model_id):
    planes, spec = decoded_frame(clip) if clip else (natural_planes(make_spec(320, 180)), make_spec(320, 180))
    errors = code_errors(planes, spec, catalogue_model(model_id, planes), 65)
    assert np.percentile(errors, 99) <= 1
    assert errors.mean() <= 0.1


def test_size_33_is_enough_for_a_smooth_model():
    spec = make_spec(320, 180)
    errors = code_errors(natural_planes(spec), spec, times_203, 33)
    assert errors.max() <= 1 and errors.mean() <= 0.05


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "value"), [("width", 0), ("bit_depth", 7), ("bit_depth", 32), ("chroma", "4:1:0")])
def test_impossible_pictures_are_refused(field, value):
    with pytest.raises(InputError):
        replace(make_spec(), **{field: value})


def test_a_rgb_matrix_on_subsampled_planes_is_refused():
    with pytest.raises(InputError, match="4:2:0"):
        make_spec(interpretation=color(matrix="rgb"))


def test_planes_that_do_not_fit_are_refused():
    spec = make_spec()
    planes, out = random_planes(spec), empty_output(spec)
    with pytest.raises(UsageError, match="uint16"):
        apply(tuple(plane.astype(np.uint16) for plane in planes), out, spec, LUT)
    with pytest.raises(UsageError, match="does not fit"):
        apply((planes[0][:-1], *planes[1:]), out, spec, LUT)
    with pytest.raises(UsageError, match="3 output planes"):
        apply(planes[:2], out, spec, LUT)
    with pytest.raises(UsageError, match="row-major"):
        apply(planes, (np.asfortranarray(out[0]), *out[1:]), spec, LUT)


def test_tables_that_do_not_fit_are_refused():
    spec = make_spec()
    planes, out = random_planes(spec), empty_output(spec)
    with pytest.raises(UsageError, match="12-bit"):
        apply(planes, out, spec, bake(times_203, BT709, OutputFormat(bit_depth=12), 5))
    with pytest.raises(UsageError, match="size 17"):
        apply(planes, out, spec, LUT, GraphicsMask(np.ones((1, 2), np.float32), bake(times_203, BT709, PQ, 9)))
    with pytest.raises(UsageError, match=r"shape \(1, 2\)"):
        apply(planes, out, spec, LUT, GraphicsMask(np.ones((1, 1), np.float32), LUT))


def test_the_table_and_the_colour_half_need_no_compiler():
    check = "import sys, toolchain.lut; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
