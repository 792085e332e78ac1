"""What a gain grid adds to the loops of `toolchain.kernel_rows`: a pixel's two tables, and their mixture.

The rows of all tables of a stack for one grid point lie side by side, so that the two a pixel needs are one 256-bit
load: two tables cost far less than twice one. `benchmarks/gain_grid.py` measures it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from toolchain.jit import jit

_intrinsic: Any = intrinsic
"""Untyped: numba itself passes the decorated function's first argument."""


@_intrinsic
def _mix_pairs(typing_context, table, i0, i1, i2, i3, w0, w1, w2, w3, share):
    """`_mix_rows` of toolchain.kernel_rows in two tables: (1 - share) of these rows, share of the next."""
    signature = types.UniTuple(types.float32, 3)(table, i0, i1, i2, i3, w0, w1, w2, w3, share)

    def generate(context, builder, signature, arguments):
        int32, int64 = ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(ir.FloatType(), 8)
        undefined = ir.Constant(vector, ir.Undefined)

        def broadcast(scalar):
            single = builder.insert_element(undefined, scalar, ir.Constant(int32, 0))
            return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(int32, 8), [0] * 8))

        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        start = builder.bitcast(data, ir.IntType(8).as_pointer())
        total = ir.Constant(vector, [0.0] * 8)
        for offset, weight in zip(arguments[1:5], arguments[5:9], strict=True):
            address = builder.gep(start, [builder.zext(offset, int64)])
            pair = builder.load(builder.bitcast(address, vector.as_pointer()), align=4)
            total = builder.fadd(total, builder.fmul(pair, broadcast(weight), flags=("fast",)), flags=("fast",))
        # Not "fast": first + share (second - first), which it would become, misses `second` at a share of 1.
        rest = builder.fsub(ir.Constant(ir.FloatType(), 1.0), arguments[9])
        halves = [
            builder.shuffle_vector(total, undefined, ir.Constant(ir.VectorType(int32, 8), lanes))
            for lanes in ([0, 1, 2, 3] * 2, [4, 5, 6, 7] * 2)
        ]
        mixed = builder.fadd(
            builder.fmul(halves[0], broadcast(rest)), builder.fmul(halves[1], broadcast(arguments[9]))
        )
        columns = [builder.extract_element(mixed, ir.Constant(int32, k)) for k in range(3)]
        return context.make_tuple(builder, signature.return_type, columns)

    return signature, generate


@jit
def interpolate_pairs(stack, size, depth, offsets, weights, share, luma, blue, red):
    """Tetrahedral interpolation in two neighbouring tables of a stack at once, mixed by each pixel's `share`."""
    diagonal = np.int32(16 * depth * (size * size + size + 1))
    corner, second_row, third_row = offsets[0], offsets[1], offsets[2]
    high_row, middle_row, low_row = weights[0], weights[1], weights[2]
    one = np.float32(1)
    for i in range(len(luma)):
        i0, i1, i2, i3 = corner[i], second_row[i], third_row[i], np.int32(corner[i] + diagonal)
        high, middle, low = high_row[i], middle_row[i], low_row[i]
        luma[i], blue[i], red[i] = _mix_pairs(
            stack, i0, i1, i2, i3, one - high, high - middle, middle - low, low, share[i]
        )


@jit
def grid_line(grid, y, height, line):
    """The grid's values over luma row y: (bins, columns). Nodes lie on the picture's first and last row."""
    bins, rows, _ = grid.shape
    position = y * (rows - 1) / max(height - 1, 1)
    above = min(np.int64(position), max(rows - 2, 0))
    below = min(above + 1, rows - 1)
    weight = np.float32(position - above)
    for k in range(bins):
        for c in range(grid.shape[2]):
            line[k, c] = grid[k, above, c] + weight * (grid[k, below, c] - grid[k, above, c])


@jit
def slice_grid(line, start, width, guide, out):
    """The grid at pixels from column `start` on, at each pixel's own `guide` (bins): into out. `line`: `grid_line`.

    Between two columns of nodes the value is a + t b for each bin, and over the bins a sum of ramps: no look-ups, so
    the loops vectorise.
    """
    bins, columns = line.shape
    apart = max(columns - 1, 1) / max(width - 1, 1)
    zero, one = np.float32(0), np.float32(1)
    done, cell = 0, min(np.int64(start * apart), max(columns - 2, 0))
    while done < len(out):
        right = min(cell + 1, columns - 1)
        end = len(out)
        if right < columns - 1:
            end = min(end, np.int64(np.ceil(right / apart)) - start)
        first, slope = np.float32((start + done) * apart - cell), np.float32(apart)
        piece, at = out[done:end], guide[done:end]
        base, rise = line[0, cell], line[0, right] - line[0, cell]
        for i in range(len(piece)):
            piece[i] = base + (first + np.float32(i) * slope) * rise
        for k in range(bins - 1):
            base = line[k + 1, cell] - line[k, cell]
            rise = (line[k + 1, right] - line[k, right]) - base
            floor = np.float32(k)
            for i in range(len(piece)):
                step = base + (first + np.float32(i) * slope) * rise
                piece[i] += step * min(max(at[i] - floor, zero), one)
        done, cell = max(end, done), cell + 1


@jit
def guide_pixels(first, second, third, row, out):
    """Each pixel's place among the bins, 0 to bins - 1 once clamped. `row` (4,): the three codes and 1 -> bins."""
    r0, r1, r2, r3 = row[0], row[1], row[2], row[3]
    for i in range(len(first)):
        out[i] = r0 * np.float32(first[i]) + r1 * second[i] + r2 * third[i] + r3


@jit
def choose_tables(depth, values, offsets):
    """Moves the offsets to each pixel's lower table; `values` become the share of the table above it."""
    last, zero = np.float32(depth - 2), np.float32(0)
    corner, second_row, third_row = offsets[0], offsets[1], offsets[2]
    for i in range(len(values)):
        value = min(max(values[i], zero), last + np.float32(1))
        lower = min(np.floor(value), last)
        move = np.int32(lower) * np.int32(16)
        values[i] = value - lower
        corner[i] += move
        second_row[i] += move
        third_row[i] += move
