"""The compiled half of `toolchain.kernel`: one frame, row by row, through a 3D LUT.

Each luma row: its chroma is widened to full size, every pixel becomes a tetrahedron of the table and three fractions
(loops that vectorise), then four table rows are mixed (one 128-bit vector holds Y', Cb, Cr), and the chroma that
comes out is filtered down again. Rows are worked on in chunks that stay in the first-level cache.

With a gain grid (`toolchain.gain_grid`) the table is a stack; what that adds is in `toolchain.kernel_gain`.

Compiled on first use for the dtype met (uint8 or uint16 in; seconds), then cached by numba. The GIL is released:
frames run in parallel on threads. `benchmarks/colour_stage.py` measures it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from toolchain.jit import jit
from toolchain.kernel_gain import choose_tables, grid_line, guide_pixels, interpolate_pairs, slice_grid

_intrinsic: Any = intrinsic
"""Untyped: numba itself passes the decorated function's first argument."""

CHUNK = 512
"""Pixels worked on at a time."""

MASK_BLOCK = 16
"""Luma pixels, both ways, that one value of a graphics mask covers."""


@_intrinsic
def _mix_rows(typing_context, table, i0, i1, i2, i3, w0, w1, w2, w3):
    """The first three columns of w0 * table[i0] + ... + w3 * table[i3], for byte offsets i of 16-byte rows.

    LLVM does not find the 128-bit loads by itself; written out, they make the mixing 1.7 times as fast.
    """
    signature = types.UniTuple(types.float32, 3)(table, i0, i1, i2, i3, w0, w1, w2, w3)

    def generate(context, builder, signature, arguments):
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(ir.FloatType(), 4)
        undefined = ir.Constant(vector, ir.Undefined)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        start = builder.bitcast(data, ir.IntType(8).as_pointer())
        total = ir.Constant(vector, [0.0] * 4)
        for offset, weight in zip(arguments[1:5], arguments[5:9], strict=True):
            address = builder.gep(start, [builder.zext(offset, int64)])
            row = builder.load(builder.bitcast(address, vector.as_pointer()), align=4)
            single = builder.insert_element(undefined, weight, ir.Constant(int32, 0))
            lanes = builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(int32, 4), [0] * 4))
            total = builder.fadd(total, builder.fmul(row, lanes, flags=("fast",)), flags=("fast",))
        columns = [builder.extract_element(total, ir.Constant(int32, k)) for k in range(3)]
        return context.make_tuple(builder, signature.return_type, columns)

    return signature, generate


@jit
def _blend_rows(above, below, weight, out):
    """above + weight * (below - above) as float32 into out[1:-1]; the edges are repeated in out[0] and out[-1]."""
    inner = out[1:]
    for i in range(len(above)):
        a = np.float32(above[i])
        inner[i] = a + weight * (np.float32(below[i]) - a)
    out[0] = out[1]
    out[len(above) + 1] = out[len(above)]


@jit
def _upsample_row(plane, stride, columns, rows, y, step, shift, scratch, out):
    """Chroma for luma row y at full width: linear interpolation at the sited positions, edges repeated.

    Sample k of an axis lies at luma position k * step + shift.
    """
    position = (y - shift[1]) / step[1]
    floor = np.int64(np.floor(position))
    above = min(max(floor, 0), rows - 1) * stride
    below = min(max(floor + 1, 0), rows - 1) * stride
    weight = np.float32(position - floor)
    _blend_rows(plane[above : above + columns], plane[below : below + columns], weight, scratch)
    if step[0] == 2:
        _widen_by_two(scratch, columns, np.float32(shift[0] / 2), out)
    else:
        _widen(scratch, columns, step[0], shift[0], out)


@jit
def _widen_by_two(padded, columns, back, out):
    """`_widen` for the step nearly every video has; `back` is the shift in chroma samples, 0 or 0.25."""
    left, middle, right = padded, padded[1:], padded[2:]
    ahead = np.float32(0.5) - back
    for i in range(columns):
        out[2 * i] = middle[i] + back * (left[i] - middle[i])
        out[2 * i + 1] = middle[i] + ahead * (right[i] - middle[i])


@jit
def _widen(padded, columns, step, shift, out):
    for phase in range(step):
        position = (phase - shift) / step
        floor = np.int64(np.floor(position))
        weight = np.float32(position - floor)
        left, right = padded[1 + floor :], padded[2 + floor :]
        for i in range(columns):
            out[i * step + phase] = left[i] + weight * (right[i] - left[i])


@jit
def _locate(first, second, third, matrix, size, depth, offsets, weights):
    """Each pixel's tetrahedron: byte offsets of three of its table rows, and the cell's fractions sorted downwards.

    `matrix` (3, 4) takes codes to squared grid coordinates of R, G, B; they are clamped to the grid. `depth`: table
    rows a grid point has.
    """
    r0, r1, r2, r3 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    g0, g1, g2, g3 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    b0, b1, b2, b3 = matrix[2, 0], matrix[2, 1], matrix[2, 2], matrix[2, 3]
    zero = np.float32(0)
    top = np.nextafter(np.float32(size - 1), zero)  # so that the last cell, not one beyond, holds the end
    # Offsets as float32: exact, for they are multiples of 16 below 2**28, and 32-bit lanes all the way.
    row_r, row_g, row_b = (
        np.float32(16 * depth * size * size),
        np.float32(16 * depth * size),
        np.float32(16 * depth),
    )
    diagonal = row_r + row_g + row_b
    corner, second_row, third_row = offsets[0], offsets[1], offsets[2]
    high_row, middle_row, low_row = weights[0], weights[1], weights[2]
    for i in range(len(first)):
        p, q, s = np.float32(first[i]), second[i], third[i]
        r = min(np.sqrt(max(r0 * p + r1 * q + r2 * s + r3, zero)), top)
        g = min(np.sqrt(max(g0 * p + g1 * q + g2 * s + g3, zero)), top)
        b = min(np.sqrt(max(b0 * p + b1 * q + b2 * s + b3, zero)), top)
        cell_r, cell_g, cell_b = np.floor(r), np.floor(g), np.floor(b)
        r, g, b = r - cell_r, g - cell_g, b - cell_b
        high, low = max(r, max(g, b)), min(r, min(g, b))
        first_step = row_r if r == high else (row_g if g == high else row_b)
        last_step = row_b if b == low else (row_g if g == low else row_r)
        base = cell_r * row_r + cell_g * row_g + cell_b * row_b
        corner[i] = np.int32(base)
        second_row[i] = np.int32(base + first_step)
        third_row[i] = np.int32(base + (diagonal - last_step))
        high_row[i], middle_row[i], low_row[i] = high, max(min(r, g), min(max(r, g), b)), low


@jit
def _interpolate(table, size, offsets, weights, luma, blue, red):
    """Tetrahedral interpolation: mixes the four table rows `_locate` chose for each pixel."""
    diagonal = np.int32(16 * (size * size + size + 1))
    corner, second_row, third_row = offsets[0], offsets[1], offsets[2]
    high_row, middle_row, low_row = weights[0], weights[1], weights[2]
    one = np.float32(1)
    for i in range(len(luma)):
        i0, i1, i2, i3 = corner[i], second_row[i], third_row[i], np.int32(corner[i] + diagonal)
        high, middle, low = high_row[i], middle_row[i], low_row[i]
        luma[i], blue[i], red[i] = _mix_rows(table, i0, i1, i2, i3, one - high, high - middle, middle - low, low)


@jit
def _mask_line(mask, y, line):
    """The mask's values over luma row y, one a block, edges repeated: (columns + 2,)."""
    position = min(max((y + 0.5) / MASK_BLOCK - 0.5, 0.0), mask.shape[0] - 1.0)
    above = np.int64(position)
    below = min(above + 1, mask.shape[0] - 1)
    _blend_rows(mask[above], mask[below], np.float32(position - above), line)


@jit
def _mask_pixels(line, start, out):
    """Bilinear mask of the pixels from `start` on; returns False, with `out` unfilled, where all of it is 0."""
    # Block k's centre is at 16 k + 7.5; `line` is padded by one in front: left neighbour = (2 x + 17) // 32.
    first, last = (2 * start + 17) // 32, (2 * (start + len(out) - 1) + 17) // 32 + 1
    if not np.any(line[first : last + 1] > 0):
        return False
    for i in range(len(out)):
        doubled = 2 * (start + i) + 17
        left = np.uint64(doubled // 32)
        weight = np.float32(doubled % 32) / np.float32(32)
        out[i] = line[left] + weight * (line[left + np.uint64(1)] - line[left])
    return True


@jit
def _mix_towards(values, others, weights):
    for i in range(len(values)):
        values[i] += weights[i] * (others[i] - values[i])


@jit
def _store(values, out):
    """floor(x + 0.5) into uint16. No clamp: a table's codes are legal and a mixture lies between them."""
    for i in range(len(out)):
        out[i] = np.uint16(np.int32(values[i] + np.float32(0.5)))


@jit
def _low_pass_rows(above, middle, below, out):
    """4 x [1 2 1] / 4 down three rows into out[1:-1]; the edges are repeated in out[0] and out[-1]."""
    inner = out[1:]
    for i in range(len(above)):
        inner[i] = above[i] + np.float32(2) * middle[i] + below[i]
    out[0] = out[1]
    out[len(above) + 1] = out[len(above)]


@jit
def _store_chroma(padded, step, out):
    """A row of 4 x chroma rounded half up into uint16: every pixel, or [1 2 1] / 4 at every second (co-sited)."""
    half = np.float32(0.5)
    if step == 1:
        inner = padded[1:]
        for i in range(len(out)):
            out[i] = np.uint16(np.int32(inner[i] * np.float32(0.25) + half))
    else:
        for i in range(len(out)):
            total = padded[2 * i] + np.float32(2) * padded[2 * i + 1] + padded[2 * i + 2]
            out[i] = np.uint16(np.int32(total * np.float32(0.0625) + half))


@jit
def _finish_chroma(y, height, step, ring, scratch, columns, plane, stride):
    """Writes the output chroma row that luma row y completes, if any. `ring`: the last three rows at full width."""
    if step[1] == 1:
        above, middle, below, row = y, y, y, y
    elif y % 2 == 1:
        above, middle, below, row = max(y - 2, 0), y - 1, y, y // 2
    elif y == height - 1:
        above, middle, below, row = max(y - 1, 0), y, y, y // 2
    else:
        return
    _low_pass_rows(ring[above % 3], ring[middle % 3], ring[below % 3], scratch)
    _store_chroma(scratch, step[0], plane[row * stride : row * stride + columns])


@jit
def _convert_gained_chunk(
    codes, matrix, stack, size, gain_line, start, width, row, offsets, weights, luma, blue, red
):
    """One run of pixels from column `start` on through a stack of tables, at the gain the grid has there."""
    depth = len(stack) // size**3
    guide, share = np.empty(len(luma), np.float32), np.empty(len(luma), np.float32)
    _locate(codes[0], codes[1], codes[2], matrix, size, depth, offsets, weights)
    guide_pixels(codes[0], codes[1], codes[2], row, guide)
    slice_grid(gain_line, start, width, guide, share)
    choose_tables(depth, share, offsets)
    interpolate_pairs(stack, size, depth, offsets, weights, share, luma, blue, red)


@jit
def convert_frame(
    planes, strides, picture, step, shift, matrix, tables, size, mask, gain, out, out_strides, out_step
):
    """One frame. Planes are flat and C-contiguous; strides count samples; see `toolchain.kernel.apply`.

    `picture` (width, height); `step` and `shift` of the input chroma, `out_step` of the output's, each (x, y);
    `tables` (LUT, graphics LUT); `mask` (blocks down, blocks across) float32, of no rows where there is none; `gain`
    (grid (bins, rows, columns), stack, guide row (4,)), the grid of no bins where there is none.
    """
    width, height = picture
    columns, rows, out_columns = -(-width // step[0]), -(-height // step[1]), -(-width // out_step[0])
    scratch, out_scratch = np.empty(columns + 2, np.float32), np.empty(width + 2, np.float32)
    chroma_in = np.empty((2, columns * step[0]), np.float32)
    offsets, weights = np.empty((3, CHUNK), np.int32), np.empty((3, CHUNK), np.float32)
    luma, rings = np.empty(CHUNK, np.float32), np.empty((2, 3, width), np.float32)
    graphics, share = np.empty((3, CHUNK), np.float32), np.empty(CHUNK, np.float32)
    line = np.zeros(mask.shape[1] + 2, np.float32)
    grid, stack, guide_row = gain
    gain_line = np.empty(grid.shape[0::2], np.float32)

    for y in range(height):
        _upsample_row(planes[1], strides[1], columns, rows, y, step, shift, scratch, chroma_in[0])
        _upsample_row(planes[2], strides[2], columns, rows, y, step, shift, scratch, chroma_in[1])
        if len(mask) > 0:
            _mask_line(mask, y, line)
        if len(grid) > 0:
            grid_line(grid, y, height, gain_line)
        for x in range(0, width, CHUNK):
            n = min(CHUNK, width - x)
            source = planes[0][y * strides[0] + x : y * strides[0] + x + n]
            codes = (source, chroma_in[0, x:], chroma_in[1, x:])
            blue, red = rings[0, y % 3, x : x + n], rings[1, y % 3, x : x + n]
            if len(grid) > 0:
                _convert_gained_chunk(
                    codes, matrix, stack, size, gain_line, x, width, guide_row, offsets, weights, luma[:n], blue, red
                )
            else:
                _locate(source, codes[1], codes[2], matrix, size, 1, offsets, weights)
                _interpolate(tables[0], size, offsets, weights, luma[:n], blue, red)
            if len(mask) > 0 and _mask_pixels(line, x, share[:n]):
                if len(grid) > 0:  # the offsets are the stack's
                    _locate(source, codes[1], codes[2], matrix, size, 1, offsets, weights)
                _interpolate(tables[1], size, offsets, weights, graphics[0, :n], graphics[1], graphics[2])
                _mix_towards(luma[:n], graphics[0], share)
                _mix_towards(blue, graphics[1], share)
                _mix_towards(red, graphics[2], share)
            _store(luma, out[0][y * out_strides[0] + x : y * out_strides[0] + x + n])
        _finish_chroma(y, height, out_step, rings[0], out_scratch, out_columns, out[1], out_strides[1])
        _finish_chroma(y, height, out_step, rings[1], out_scratch, out_columns, out[2], out_strides[2])
