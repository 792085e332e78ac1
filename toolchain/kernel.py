"""Decoded planes straight into encoder planes, through a 3D LUT, in one pass.

Call `apply` from several threads at once (the GIL is released); one call uses one core. The loops themselves are in
`toolchain.kernel_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.errors import InputError, UsageError
from toolchain.gain_grid import GUIDE_WEIGHTS, GainGrid
from toolchain.kernel_rows import MASK_BLOCK, convert_frame
from toolchain.lut import Lut3d, OutputFormat
from toolchain.video.facts import ColorInterpretation

Chroma = Literal["4:0:0", "4:2:0", "4:2:2", "4:4:4", "4:1:1", "4:4:0", "rgb"]
Planes = tuple[NDArray[Any], ...]
Floats = NDArray[np.float32]
Shape = tuple[int, int]

_STEP: dict[str, tuple[int, int]] = {
    "4:0:0": (1, 1),
    "4:1:1": (4, 1),
    "4:2:0": (2, 2),
    "4:2:2": (2, 1),
    "4:4:0": (1, 2),
    "4:4:4": (1, 1),
    "rgb": (1, 1),
}
"""Luma samples for each chroma sample, across and down."""

_GBR_TO_RGB = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Y'CbCr planes tagged with matrix 0 hold G, B, R. Rec. ITU-T H.273 (07/2024), Table 4."""


@dataclass(frozen=True)
class FrameSpec:
    """What the decoded planes hold and what the encoder takes.

    Samples are uint8 at 8 bits, else uint16 with the code in the low bits (yuv420p10le, never p010le). "rgb" means
    the three planes R, G, B as toolchain.video.decode gives them; "4:0:0" one plane. Raises InputError for a
    combination that cannot be.
    """

    width: int
    height: int
    bit_depth: int
    chroma: Chroma
    color: ColorInterpretation
    output: OutputFormat

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or not 8 <= self.bit_depth <= 16 or self.chroma not in _STEP:
            raise InputError(
                f"A {self.width}x{self.height} picture of {self.bit_depth} bits and chroma {self.chroma} cannot be "
                f"converted: 8 to 16 bits and {', '.join(_STEP)} are; convert its pixel format first."
            )
        if self.color.matrix == "rgb" and self.chroma not in ("4:4:4", "4:0:0", "rgb"):
            raise InputError(f"The matrix is tagged rgb but the chroma is {self.chroma}: the colour tags are wrong.")

    @property
    def chroma_step(self) -> tuple[int, int]:
        """Luma samples for each chroma sample of the input, across and down."""
        return _STEP[self.chroma]

    @property
    def output_chroma_step(self) -> tuple[int, int]:
        """Luma samples for each chroma sample of the output, across and down."""
        return _STEP[self.output.chroma]

    @property
    def chroma_shift(self) -> tuple[float, float]:
        """Luma position (x, y) of the first chroma sample. Rec. ITU-T H.273 (07/2024), figure of chroma locations."""
        step_x, step_y = self.chroma_step
        across = (step_x - 1) / 2 if self.color.chroma_location == "center" else 0.0
        down = 0.0 if self.color.chroma_location == "topleft" else (step_y - 1) / 2
        return across, down

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """(rows, columns) of each plane `apply` reads."""
        shapes = _shapes(self.width, self.height, _STEP[self.chroma])
        return shapes[:1] if self.chroma == "4:0:0" else shapes

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """(rows, columns) of each plane `apply` writes, uint16."""
        return _shapes(self.width, self.height, _STEP[self.output.chroma])


@dataclass(frozen=True, eq=False)
class GraphicsMask:
    """Where `lut` (it keeps graphics near reference white) replaces the shot's own table, and how much.

    `weights`: float32 in [0, 1], one a 16x16 luma block, shape (ceil(height / 16), ceil(width / 16)); bilinear
    between the blocks' centres.
    """

    weights: Floats
    lut: Lut3d


def apply(
    planes: Planes,
    out: Planes,
    spec: FrameSpec,
    lut: Lut3d,
    graphics: GraphicsMask | None = None,
    gain: GainGrid | None = None,
) -> None:
    """Converts one frame from `planes` into `out` (uint16, BT.2020 nc, limited range, legal codes, rounded half up).

    Both are 2-D arrays (rows, columns) of at least `spec.input_shapes` and `spec.output_shapes`; rows may be further
    apart than they are long. Input chroma is read where `spec.color.chroma_location` says, by linear interpolation;
    output chroma is at "topleft" (BT.2020 and HDR10), low-passed by [1 2 1] / 4 along each subsampled direction.
    Edges are repeated. With `gain`, its stack takes the place of `lut`, which must be of the same kind; graphics lie
    on top. Raises UsageError for planes, tables, masks or grids that do not fit the spec.
    """
    if lut.bit_depth != spec.output.bit_depth:
        raise UsageError(f"A LUT of {lut.bit_depth}-bit codes does not fit {spec.output.bit_depth}-bit output.")
    sample = np.dtype(np.uint8 if spec.bit_depth == 8 else np.uint16)
    inputs = [_flat_input(plane, shape, sample) for plane, shape in zip(planes, spec.input_shapes, strict=False)]
    outputs = [_flat_output(plane, shape) for plane, shape in zip(out, spec.output_shapes, strict=False)]
    if len(inputs) < len(spec.input_shapes) or len(outputs) < 3:
        raise UsageError(f"Chroma {spec.chroma} needs {len(spec.input_shapes)} planes and 3 output planes.")
    if spec.chroma == "4:0:0":
        inputs *= 3  # the matrix takes nothing from the second and third
    mask, graphics_table = _mask(graphics, spec, lut)
    to_grid = grid_matrix(spec, lut)
    convert_frame(
        tuple(flat for flat, _ in inputs),
        tuple(stride for _, stride in inputs),
        (spec.width, spec.height),
        _STEP[spec.chroma],
        spec.chroma_shift,
        to_grid,
        (_read_only(lut.table), graphics_table),
        lut.size,
        mask,
        _gain(gain, lut, to_grid),
        tuple(flat for flat, _ in outputs),
        tuple(stride for _, stride in outputs),
        _STEP[spec.output.chroma],
    )


def _shapes(width: int, height: int, step: tuple[int, int]) -> tuple[Shape, ...]:
    chroma = (-(-height // step[1]), -(-width // step[0]))
    return (height, width), chroma, chroma


def grid_matrix(spec: FrameSpec, lut: Lut3d) -> Floats:
    """(3, 4): the three planes' codes and 1 -> R, G, B as squared grid coordinates, 0 to (size - 1)**2."""
    return _grid_matrix(spec.bit_depth, _plane_matrix(spec), spec.color.range, lut.size, lut.domain_max)


def _plane_matrix(spec: FrameSpec) -> str:
    """What the planes hold: "grey" for one, "planar_rgb" for R, G, B, else the tagged matrix."""
    if spec.chroma == "4:0:0":
        return "grey"
    return "planar_rgb" if spec.chroma == "rgb" else spec.color.matrix


@lru_cache(maxsize=64)
def _grid_matrix(bit_depth: int, matrix: str, range_: str, size: int, domain_max: float) -> Floats:
    y_offset, y_scale, c_offset, c_scale = code_range(bit_depth, range_)
    offset, scale = np.array([y_offset, c_offset, c_offset]), np.array([y_scale, c_scale, c_scale])
    if matrix == "grey":
        to_rgb = np.array([[1.0, 0.0, 0.0]] * 3)
    elif matrix in ("planar_rgb", "rgb"):
        to_rgb = np.eye(3) if matrix == "planar_rgb" else _GBR_TO_RGB
        offset, scale = np.full(3, y_offset), np.full(3, y_scale)
    else:
        to_rgb = ycbcr_to_rgb_matrix(matrix)
    to_grid = np.column_stack([to_rgb / scale, -(to_rgb @ (offset / scale))]) * ((size - 1) ** 2 / domain_max)
    return _read_only(to_grid.astype(np.float32))


def _mask(
    graphics: GraphicsMask | None, spec: FrameSpec, lut: Lut3d
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mask (no rows: none) and the table it blends in."""
    if graphics is None or not graphics.weights.any():
        return _read_only(np.empty((0, 0), np.float32)), _read_only(lut.table)
    shape = (-(-spec.height // MASK_BLOCK), -(-spec.width // MASK_BLOCK))
    kind = (graphics.lut.size, graphics.lut.domain_max, graphics.lut.bit_depth)
    if graphics.weights.shape != shape or kind != (lut.size, lut.domain_max, lut.bit_depth):
        raise UsageError(
            f"A graphics mask of shape {graphics.weights.shape} with a LUT of size {graphics.lut.size} does not fit: "
            f"shape {shape} and size {lut.size} are needed."
        )
    weights = np.clip(graphics.weights, 0.0, 1.0).astype(np.float32, order="C")
    return _read_only(weights), _read_only(graphics.lut.table)


def _gain(gain: GainGrid | None, lut: Lut3d, to_grid: Floats) -> tuple[Floats, Floats, Floats]:
    """The grid (no bins: none), its stack, and the row that takes the three planes' codes and 1 to bins."""
    if gain is None:
        return _read_only(np.empty((0, 0, 0), np.float32)), _read_only(lut.table), _read_only(to_grid[0])
    stack = gain.stack
    if (stack.size, stack.domain_max, stack.bit_depth) != (lut.size, lut.domain_max, lut.bit_depth):
        raise UsageError(
            f"A gain stack of size {stack.size} and {stack.bit_depth} bits does not fit a LUT of size {lut.size} and "
            f"{lut.bit_depth} bits: bake both alike."
        )
    return _read_only(gain.values), _read_only(stack.table), _read_only(guide_row(len(gain.values), lut, to_grid))


def guide_row(bins: int, lut: Lut3d, to_grid: Floats) -> Floats:
    """(4,): the three planes' codes and 1 -> the guide as a place among `bins`; `to_grid`: the `grid_matrix`."""
    signal_to_bins = (bins - 1) * lut.domain_max / (lut.size - 1) ** 2
    return (signal_to_bins * np.asarray(GUIDE_WEIGHTS) @ to_grid).astype(np.float32)


def _flat_input(plane: NDArray[Any], shape: Shape, sample: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """The plane's memory as one line of samples, and its stride; copied only where its layout leaves no choice."""
    _check(plane, shape, sample)
    plane = plane[: shape[0], : shape[1]]
    if not _is_row_major(plane):
        plane = np.ascontiguousarray(plane)
    flat, stride = _flat(plane)
    return _read_only(flat), stride


def _flat_output(plane: NDArray[Any], shape: Shape) -> tuple[NDArray[Any], int]:
    _check(plane, shape, np.dtype(np.uint16))
    plane = plane[: shape[0], : shape[1]]
    if not _is_row_major(plane) or not plane.flags.writeable:
        raise UsageError("An output plane is not writeable or not row-major: give planes of a new frame.")
    return _flat(plane)


def _check(plane: NDArray[Any], shape: Shape, sample: np.dtype[Any]) -> None:
    if plane.ndim != 2 or plane.dtype != sample or plane.shape[0] < shape[0] or plane.shape[1] < shape[1]:
        raise UsageError(f"A plane of {plane.dtype} {plane.shape} does not fit: {sample} {shape} or more is needed.")


def _is_row_major(plane: NDArray[Any]) -> bool:
    """One sample after another in a row, whole samples from row to row, rows in order and not overlapping."""
    apart, within = plane.strides
    size = plane.itemsize
    one_row, one_column = plane.shape[0] == 1, plane.shape[1] == 1
    return (
        plane.flags.aligned
        and (one_column or within == size)
        and (one_row or (apart >= plane.shape[1] * size and apart % size == 0))
    )


def _flat(plane: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """From the first sample to the last one, and nothing beyond it."""
    rows, columns = plane.shape
    stride = plane.strides[0] // plane.itemsize if rows > 1 else columns
    length = (rows - 1) * stride + columns
    return np.lib.stride_tricks.as_strided(plane, (length,), (plane.itemsize,)), stride


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written: one type for the compiler whatever the caller's array allows."""
    view = array.view()
    view.flags.writeable = False
    return view
