"""The gain grid: the compiled kernel against its numpy definition, and what must hold whatever the grid says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolchain.test_kernel import (
    BT709,
    PQ,
    empty_output,
    encoder_planes,
    make_spec,
    random_planes,
    rgb_signal,
    tetrahedral,
)
from toolchain.errors import UsageError
from toolchain.gain_grid import GainGrid, guide_signal, slice_grid, stack_luts
from toolchain.kernel import GraphicsMask, apply
from toolchain.lut import OutputFormat, bake

TABLES = tuple(
    bake(lambda light, g=gain: np.minimum(light * 203.0 * g, 1000.0), BT709, PQ, 17) for gain in (0.5, 1, 2)
)
STACK = stack_luts(TABLES)


def run(planes, spec, lut, graphics=None, gain=None):
    out = empty_output(spec)
    apply(planes, out, spec, lut, graphics, gain)
    return out


def grid(values) -> GainGrid:
    return GainGrid(np.ascontiguousarray(values, dtype=np.float32), STACK)


def random_grid(shape=(8, 9, 16), seed=0) -> GainGrid:
    return grid(np.random.default_rng(seed).random(shape) * (STACK.depth - 1))


def expected_planes(planes, spec, gain: GainGrid):
    """The definition: every table's codes, mixed of the two that the sliced grid lies between."""
    rgb = rgb_signal(planes, spec)
    value = slice_grid(gain.values, guide_signal(rgb))
    codes = np.stack([tetrahedral(rgb, lut) for lut in TABLES])
    lower = np.minimum(value.astype(int), len(TABLES) - 2)
    share = (value - lower)[..., None]
    rows, columns = np.indices(value.shape)
    mixed = (1 - share) * codes[lower, rows, columns] + share * codes[lower + 1, rows, columns]
    return encoder_planes(mixed, spec)


def assert_close(got, expected):
    for plane, reference in zip(got, expected, strict=True):
        difference = np.abs(plane.astype(int) - reference)
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 0.03 + 1 / difference.size


@pytest.mark.parametrize("output_chroma", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("chroma", ["4:0:0", "4:2:0", "4:2:2", "4:4:4", "4:1:1", "4:4:0", "rgb"])
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_every_layout_follows_the_definition(chroma, bit_depth, output_chroma):
    spec = make_spec(53, 21, bit_depth, chroma, output=OutputFormat(chroma=output_chroma))
    planes = random_planes(spec)
    assert_close(run(planes, spec, TABLES[1], gain=random_grid()), expected_planes(planes, spec, random_grid()))


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 12),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 20)),
    seed=st.integers(0, 1000),
)
def test_any_size_and_any_grid_follow_the_definition(width, height, shape, seed):
    spec = make_spec(width, height)
    planes, gain = random_planes(spec, seed), random_grid(shape, seed)
    assert_close(run(planes, spec, TABLES[1], gain=gain), expected_planes(planes, spec, gain))


@pytest.mark.parametrize("width", [511, 512, 513, 1300])
def test_rows_longer_than_a_chunk(width):
    spec = make_spec(width, 3)
    planes = random_planes(spec)
    assert_close(run(planes, spec, TABLES[1], gain=random_grid()), expected_planes(planes, spec, random_grid()))


@pytest.mark.parametrize("index", range(len(TABLES)))
def test_a_constant_grid_is_the_table_itself(index):
    spec = make_spec(531, 40)
    planes = random_planes(spec)
    constant = run(planes, spec, TABLES[1], gain=grid(np.full((8, 9, 16), index)))
    for plane, reference in zip(constant, run(planes, spec, TABLES[index]), strict=True):
        np.testing.assert_array_equal(plane, reference)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), width=st.integers(2, 60))
def test_the_result_lies_between_the_tables(seed, width):
    spec = make_spec(width, 16, chroma="4:4:4", output=OutputFormat(chroma="4:4:4"))
    planes = random_planes(spec, seed)
    gain = random_grid((4, 3, 5), seed)
    every = np.stack([np.stack(run(planes, spec, lut)).astype(int) for lut in TABLES])
    got = np.stack(run(planes, spec, TABLES[1], gain=gain)).astype(int)
    assert np.all(got >= every.min(axis=0) - 1) and np.all(got <= every.max(axis=0) + 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_grid_that_rises_with_the_guide_keeps_greys_in_order(seed):
    spec = make_spec(220, 1, chroma="4:0:0", output=OutputFormat(chroma="4:4:4"))
    column = np.sort(np.random.default_rng(seed).random(8)) * (STACK.depth - 1)
    ramp = (np.arange(16, 236, dtype=np.uint8)[None],)
    luma = run(ramp, spec, TABLES[1], gain=grid(np.broadcast_to(column[:, None, None], (8, 9, 16))))[0]
    assert np.all(np.diff(luma[0].astype(int)) >= 0)
    assert luma[0, 0] == 64


def test_a_brighter_grid_is_nowhere_darker():
    spec = make_spec(64, 36)
    planes, base = random_planes(spec), random_grid().values
    lumas = [
        run(planes, spec, TABLES[1], gain=grid(np.clip(base + more, 0, STACK.depth - 1)))[0].astype(int)
        for more in (-0.5, 0.0, 0.5)
    ]
    for darker, brighter in pairwise(lumas):
        assert np.all(brighter >= darker)


def test_graphics_lie_on_top_of_the_gain():
    spec = make_spec(40, 40)
    planes = random_planes(spec)
    white = bake(lambda light: light * 203.0, BT709, PQ, 17)
    weights = np.zeros((3, 3), np.float32)
    weights[:, 0] = 1.0
    masked = run(planes, spec, TABLES[1], GraphicsMask(weights, white), random_grid())
    gained, plain = run(planes, spec, TABLES[1], gain=random_grid()), run(planes, spec, white)
    assert np.abs(masked[0][:, :6].astype(int) - plain[0][:, :6]).max() <= 1
    assert np.abs(masked[0][:, 26:].astype(int) - gained[0][:, 26:]).max() <= 1


def test_slicing_hits_the_nodes():
    values = np.random.default_rng(0).random((8, 9, 16))
    for k in range(8):
        np.testing.assert_allclose(slice_grid(values, np.full((9, 16), k / 7)), values[k], atol=1e-12)


def test_what_does_not_fit_is_refused():
    spec = make_spec()
    with pytest.raises(UsageError, match="two or more"):
        stack_luts(TABLES[:1])
    with pytest.raises(UsageError, match="kinds"):
        stack_luts((TABLES[0], bake(lambda light: light, BT709, PQ, 9)))
    for bad in (-0.1, STACK.depth - 0.9, np.nan):
        with pytest.raises(UsageError, match="leaves"):
            grid(np.full((8, 9, 16), bad))
    with pytest.raises(UsageError, match="3-D"):
        grid(np.zeros((9, 16)))
    with pytest.raises(UsageError, match="gain stack of size 17"):
        apply(
            random_planes(spec),
            empty_output(spec),
            spec,
            bake(lambda x: x, BT709, PQ, 9),
            gain=random_grid((2, 2, 2)),
        )
