"""`toolchain.kernel.apply` in torch: the same conversion, on whatever device the planes are.

Tested against the compiled kernel on the CPU; on CUDA the same code is meant to run, but has not been run.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from toolchain.errors import UsageError
from toolchain.gain_grid import LutStack
from toolchain.kernel import FrameSpec, grid_matrix, guide_row
from toolchain.kernel_rows import MASK_BLOCK
from toolchain.lut import Lut3d

Planes = tuple[Tensor, ...]


class TorchLut:
    """One shot's table on a device, for frames of one kind. Raises UsageError for tables that do not fit the spec.

    With a `stack` its tables take the place of `lut`, mixed as each frame's gain grid says (toolchain.gain_grid).
    """

    def __init__(
        self,
        spec: FrameSpec,
        lut: Lut3d,
        device: torch.device | str,
        graphics: Lut3d | None = None,
        stack: LutStack | None = None,
    ):
        given = [table for table in (lut, graphics, stack) if table is not None]
        kinds = {(table.size, table.domain_max, table.bit_depth) for table in given}
        if len(kinds) > 1 or lut.bit_depth != spec.output.bit_depth:
            raise UsageError(f"LUTs {sorted(kinds)} do not fit {spec.output.bit_depth}-bit output: bake them alike.")
        self._spec = spec
        self._lut = lut
        self._depth = stack.depth if stack is not None else 1
        self._table = _columns(stack or lut, device)
        self._graphics = _columns(graphics, device) if graphics is not None else None
        # Kept on the host: a scalar read back from the GPU would wait for it.
        self._to_grid = grid_matrix(spec, lut)
        self._steps = torch.tensor([lut.size**2, lut.size, 1], device=device)[:, None, None]
        self._top = float(np.nextafter(np.float32(lut.size - 1), np.float32(0)))

    def apply(self, planes: Planes, weights: Tensor | None = None, gain: Tensor | None = None) -> Planes:
        """Y', Cb, Cr (uint16, `spec.output_shapes`) of the codes in `planes` (any real dtype, `spec.input_shapes`).

        `weights`: how much the graphics table counts, float32 in [0, 1], one a 16x16 luma block. `gain`: the values
        of a gain grid, float32 (bins, rows, columns); given if, and only if, there is a stack.
        """
        if tuple(tuple(plane.shape) for plane in planes) != self._spec.input_shapes:
            shapes = [tuple(plane.shape) for plane in planes]
            raise UsageError(f"Planes of shapes {shapes} do not fit: {list(self._spec.input_shapes)} are needed.")
        if (gain is None) != (self._depth == 1):
            raise UsageError(f"A gain grid and a stack of tables belong together; the stack has {self._depth}.")
        full = self._full_size(planes)
        rows, fractions = self._locate(full)
        if gain is None:
            codes = _interpolate(self._table, rows, fractions)
        else:
            codes = self._interpolate_stack(rows, fractions, self._gains(full, gain))
        if weights is not None:
            share, table = self._pixel_weights(weights)
            codes += share * (_interpolate(table, rows, fractions) - codes)
        across, down = self._spec.output_chroma_step
        chroma = _low_pass(_low_pass(codes[..., 1:], 0, down), 1, across)
        return tuple(_rounded(plane) for plane in (codes[..., 0], chroma[..., 0], chroma[..., 1]))

    def _full_size(self, planes: Planes) -> list[Tensor]:
        """The three planes as float32 at luma size; a grey picture's luma stands for all three."""
        luma = planes[0].to(torch.float32)
        if len(planes) == 1:
            return [luma] * 3
        (step_x, step_y), (shift_x, shift_y) = self._spec.chroma_step, self._spec.chroma_shift
        rows, columns = luma.shape
        tall = (_widened(plane.to(torch.float32), 0, rows, step_y, shift_y) for plane in planes[1:])
        return [luma, *(_widened(plane, 1, columns, step_x, shift_x) for plane in tall)]

    def _locate(self, planes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Each pixel's four table rows (4, rows, columns) and their weights."""
        first, second, third = planes
        squared = torch.stack([r * first + g * second + b * third + one for r, g, b, one in self._to_grid.tolist()])
        place = squared.clamp_(min=0).sqrt_().clamp_(max=self._top)
        cell = place.floor()
        fraction = place - cell
        ordered, order = fraction.sort(dim=0, descending=True)
        corner = (cell.to(torch.int64) * self._steps).sum(dim=0)
        rows = torch.stack([corner, *(corner + self._steps.flatten()[order].cumsum(dim=0))])
        high, middle, low = ordered
        return rows, torch.stack([1 - high, high - middle, middle - low, low])

    def _interpolate_stack(self, rows: Tensor, fractions: Tensor, gains: Tensor) -> Tensor:
        """Between the two tables each pixel's gain lies between; rows of one grid point lie side by side."""
        lower = gains.floor().clamp_(max=self._depth - 2)
        share = (gains - lower)[..., None]
        first = rows * self._depth + lower.to(torch.int64)
        below, above = (_interpolate(self._table, first + k, fractions) for k in (0, 1))
        return (1 - share) * below + share * above

    def _gains(self, planes: list[Tensor], values: Tensor) -> Tensor:
        """(rows, columns): the grid at each pixel's place and guide, 0 to depth - 1."""
        bins = values.shape[0]
        row = guide_row(bins, self._lut, self._to_grid).tolist()
        guide = row[0] * planes[0] + row[1] * planes[1] + row[2] * planes[2] + row[3]
        height, width = guide.shape
        # grid_sample counts from -1 to 1 between the centres of the first and the last node.
        z = 2 * guide / max(bins - 1, 1) - 1
        y = torch.linspace(-1, 1, height, device=guide.device)[:, None].expand_as(guide)
        x = torch.linspace(-1, 1, width, device=guide.device).expand_as(guide)
        places = torch.stack((x, y, z), dim=-1)[None, None]
        gains = grid_sample(values[None, None], places, mode="bilinear", padding_mode="border", align_corners=True)
        return gains[0, 0, 0].clamp(0, self._depth - 1)

    def _pixel_weights(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """How much graphics count at each pixel, (rows, columns, 1), and their table."""
        blocks = (-(-self._spec.height // MASK_BLOCK), -(-self._spec.width // MASK_BLOCK))
        if self._graphics is None or tuple(weights.shape) != blocks:
            raise UsageError(f"A graphics mask of shape {tuple(weights.shape)} needs its table and shape {blocks}.")
        size = (blocks[0] * MASK_BLOCK, blocks[1] * MASK_BLOCK)
        full = interpolate(weights.clamp(0, 1)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        return full[: self._spec.height, : self._spec.width, None], self._graphics


def _columns(table: Lut3d | LutStack, device: torch.device | str) -> Tensor:
    return torch.from_numpy(table.table[:, :3].copy()).to(device)


def _interpolate(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """(rows, columns, 3) codes: tetrahedral interpolation."""
    total = weights[0, ..., None] * table[rows[0]]
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        total += weight[..., None] * table[row]
    return total


def _widened(plane: Tensor, axis: int, size: int, step: int, shift: float) -> Tensor:
    """Chroma at luma positions along one axis: linear interpolation, edges repeated."""
    if step == 1:
        return plane
    position = (torch.arange(size, device=plane.device, dtype=torch.float32) - shift) / step
    floor = position.floor()
    last = plane.shape[axis] - 1
    before = plane.index_select(axis, floor.to(torch.int64).clamp(0, last))
    after = plane.index_select(axis, (floor.to(torch.int64) + 1).clamp(0, last))
    weight = position - floor
    return torch.lerp(before, after, weight[:, None] if axis == 0 else weight[None, :])


def _low_pass(codes: Tensor, axis: int, step: int) -> Tensor:
    """[1 2 1] / 4 at every second position along an axis, co-sited, edges repeated; unchanged at step 1."""
    if step == 1:
        return codes
    size = codes.shape[axis]
    middle = torch.arange(0, size, step, device=codes.device)
    before, after = (middle - 1).clamp(min=0), (middle + 1).clamp(max=size - 1)
    outer = codes.index_select(axis, before) + codes.index_select(axis, after)
    return (outer + 2 * codes.index_select(axis, middle)) / 4


def _rounded(codes: Tensor) -> Tensor:
    """Half up, as the kernel does it. No clamp: a table's codes are legal and a mixture lies between them."""
    return (codes + 0.5).floor().to(torch.int32).to(torch.uint16)
