"""`toolchain.kernel.apply` in torch: the same conversion, on whatever device the planes are.

Tested against the compiled kernel on the CPU; on CUDA the same code runs, but has not been run. A gain grid is not
supported here yet: such shots take the compiled kernel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from toolchain.errors import UsageError
from toolchain.kernel import FrameSpec, grid_matrix
from toolchain.kernel_rows import MASK_BLOCK
from toolchain.lut import Lut3d

Planes = tuple[Tensor, ...]


class TorchLut:
    """One shot's table on a device, for frames of one kind. Raises UsageError for tables that do not fit the spec."""

    def __init__(self, spec: FrameSpec, lut: Lut3d, device: torch.device | str, graphics: Lut3d | None = None):
        kinds = {(table.size, table.domain_max, table.bit_depth) for table in (lut, graphics) if table is not None}
        if len(kinds) > 1 or lut.bit_depth != spec.output.bit_depth:
            raise UsageError(f"LUTs {sorted(kinds)} do not fit {spec.output.bit_depth}-bit output: bake them alike.")
        self._spec = spec
        self._size = lut.size
        self._tables = [torch.from_numpy(t.table[:, :3].copy()).to(device) for t in (lut, graphics) if t is not None]
        self._to_grid = torch.from_numpy(grid_matrix(spec, lut).copy()).to(device)
        self._top = float(np.nextafter(np.float32(lut.size - 1), np.float32(0)))

    def apply(self, planes: Planes, weights: Tensor | None = None) -> Planes:
        """Y', Cb, Cr (uint16, `spec.output_shapes`) of the codes in `planes` (any real dtype, `spec.input_shapes`).

        `weights`: how much the graphics table counts, float32 in [0, 1], one a 16x16 luma block.
        """
        if tuple(tuple(plane.shape) for plane in planes) != self._spec.input_shapes:
            shapes = [tuple(plane.shape) for plane in planes]
            raise UsageError(f"Planes of shapes {shapes} do not fit: {list(self._spec.input_shapes)} are needed.")
        offsets, fractions = self._locate(self._full_size(planes))
        codes = self._interpolate(self._tables[0], offsets, fractions)
        if weights is not None:
            share = self._pixel_weights(weights)
            codes += share * (self._interpolate(self._tables[1], offsets, fractions) - codes)
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
        m = self._to_grid
        squared = torch.stack([r[0] * planes[0] + r[1] * planes[1] + r[2] * planes[2] + r[3] for r in m])
        place = squared.clamp_(min=0).sqrt_().clamp_(max=self._top)
        cell = place.floor()
        fraction = place - cell
        ordered, order = fraction.sort(dim=0, descending=True)
        size = self._size
        steps = torch.tensor([size * size, size, 1], device=m.device)
        first = (cell.to(torch.int64) * steps[:, None, None]).sum(dim=0)
        rows = torch.stack([first, *(first + steps[order].cumsum(dim=0))])
        high, middle, low = ordered
        return rows, torch.stack([1 - high, high - middle, middle - low, low])

    @staticmethod
    def _interpolate(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """(rows, columns, 3) codes: tetrahedral interpolation."""
        total = weights[0, ..., None] * table[rows[0]]
        for row, weight in zip(rows[1:], weights[1:], strict=True):
            total += weight[..., None] * table[row]
        return total

    def _pixel_weights(self, weights: Tensor) -> Tensor:
        blocks = (-(-self._spec.height // MASK_BLOCK), -(-self._spec.width // MASK_BLOCK))
        if len(self._tables) < 2 or tuple(weights.shape) != blocks:
            raise UsageError(
                f"A graphics mask of shape {tuple(weights.shape)} needs a second table and shape {blocks}."
            )
        size = (blocks[0] * MASK_BLOCK, blocks[1] * MASK_BLOCK)
        full = interpolate(weights.clamp(0, 1)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        return full[: self._spec.height, : self._spec.width, None]


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
