"""The torch version of the fused LUT beside the compiled kernel, on the CPU; none of it ran on a GPU."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UsageError
from toolchain.gain_grid import GainGrid, stack_luts
from toolchain.gpu.lut import TorchLut
from toolchain.kernel import Chroma, FrameSpec, GraphicsMask, apply
from toolchain.lut import Lut3d, OutputFormat, bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation

SIZE = 17


def color(**changes: Any) -> ColorInterpretation:
    return ColorInterpretation.model_validate(
        {"primaries": "bt709", "matrix": "bt709", "range": "limited", "chroma_location": "left"} | changes
    )


@cache
def table(model_id: str, bit_depth: Any = 10) -> Lut3d:
    expand = bind_guarded(model_id, None, Controls())
    return bake(expand, color(), OutputFormat(bit_depth=bit_depth), SIZE)


def planes(spec: FrameSpec, seed: int) -> tuple[np.ndarray, ...]:
    """Every code, in noise: the hardest picture for filters and cells alike."""
    random = np.random.default_rng(seed)
    dtype = np.uint8 if spec.bit_depth == 8 else np.uint16
    return tuple(random.integers(0, 2**spec.bit_depth, shape).astype(dtype) for shape in spec.input_shapes)


def differences(spec: FrameSpec, seed: int, mask: GraphicsMask | None = None) -> list[np.ndarray]:
    lut = table("bt2446a", spec.output.bit_depth)
    given_planes = planes(spec, seed)
    wanted = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(given_planes, wanted, spec, lut, mask)
    torch_lut = TorchLut(spec, lut, "cpu", mask.lut if mask else None)
    tensors = tuple(torch.from_numpy(plane) for plane in given_planes)
    found = torch_lut.apply(tensors, torch.from_numpy(mask.weights) if mask else None)
    assert all(plane.dtype == torch.uint16 for plane in found)
    return [np.abs(a.numpy().astype(int) - b) for a, b in zip(found, wanted, strict=True)]


def assert_same(found: list[np.ndarray]) -> None:
    """Within one code, and that only where rounding falls on the other side: one sample in a thousand."""
    assert max(int(plane.max()) for plane in found) <= 1
    samples = np.concatenate([plane.ravel() for plane in found])
    expected = 0.001 * samples.size
    assert samples.sum() <= expected + 5 * np.sqrt(expected) + 1  # as far as so few samples can tell


@pytest.mark.parametrize("chroma", get_args(Chroma))
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_every_chroma_and_depth_agrees_with_the_kernel(chroma: Any, bit_depth: int) -> None:
    assert_same(differences(FrameSpec(70, 53, bit_depth, chroma, color(), OutputFormat()), 1))


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("output", ["4:2:0", "4:2:2", "4:4:4"])
def test_chroma_locations_and_outputs_agree(location: str, output: Any) -> None:
    spec = FrameSpec(64, 36, 8, "4:2:0", color(chroma_location=location), OutputFormat(chroma=output))
    assert_same(differences(spec, 2))


@pytest.mark.parametrize("changes", [{"range": "full"}, {"matrix": "bt601"}, {"matrix": "bt2020nc"}])
def test_ranges_and_matrices_agree(changes: dict[str, str]) -> None:
    assert_same(differences(FrameSpec(48, 32, 8, "4:2:0", color(**changes), OutputFormat(bit_depth=12)), 3))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from(["4:2:0", "4:2:2", "4:4:4", "4:0:0"]), st.integers(0, 99)
)
def test_any_size_agrees(width: int, height: int, chroma: Any, seed: int) -> None:
    assert_same(differences(FrameSpec(width, height, 10, chroma, color(), OutputFormat()), seed))


@pytest.mark.parametrize(("width", "height"), [(70, 53), (16, 16), (1, 33)])
def test_a_graphics_mask_agrees(width: int, height: int) -> None:
    random = np.random.default_rng(4)
    weights = random.random((-(-height // 16), -(-width // 16))).astype(np.float32)
    mask = GraphicsMask(weights, table("direct203"))
    assert_same(differences(FrameSpec(width, height, 8, "4:2:0", color(), OutputFormat()), 5, mask))


@pytest.mark.parametrize(("width", "height", "grid"), [(70, 53, (4, 3, 5)), (33, 1, (1, 2, 1)), (48, 32, (8, 9, 16))])
def test_a_gain_grid_agrees(width: int, height: int, grid: tuple[int, int, int]) -> None:
    spec = FrameSpec(width, height, 8, "4:2:0", color(), OutputFormat())
    stack = stack_luts([table("direct203"), table("bt2446a"), table("bt2446c")])
    values = (2 * np.random.default_rng(6).random(grid)).astype(np.float32)
    given_planes = planes(spec, 7)
    wanted = tuple(np.zeros(shape, np.uint16) for shape in spec.output_shapes)
    apply(given_planes, wanted, spec, table("bt2446a"), gain=GainGrid(values, stack))
    torch_lut = TorchLut(spec, table("bt2446a"), "cpu", stack=stack)
    found = torch_lut.apply(tuple(map(torch.from_numpy, given_planes)), gain=torch.from_numpy(values))
    assert_same([np.abs(a.numpy().astype(int) - b) for a, b in zip(found, wanted, strict=True)])
    with pytest.raises(UsageError, match="belong together"):
        torch_lut.apply(tuple(map(torch.from_numpy, given_planes)))


def test_what_does_not_fit_is_refused() -> None:
    spec = FrameSpec(32, 16, 8, "4:2:0", color(), OutputFormat())
    with pytest.raises(UsageError, match="12-bit output"):
        TorchLut(FrameSpec(32, 16, 8, "4:2:0", color(), OutputFormat(bit_depth=12)), table("bt2446a"), "cpu")
    lut = TorchLut(spec, table("bt2446a"), "cpu")
    good = tuple(torch.from_numpy(plane) for plane in planes(spec, 0))
    with pytest.raises(UsageError, match="do not fit"):
        lut.apply(good[:1])
    with pytest.raises(UsageError, match="needs its table"):
        lut.apply(good, torch.zeros(1, 2))
