"""The loops behind `analysis.mllm.diagnostic`: what each cell's pixels say of sharpness, noise, grids, edges, steps.

Luma is Y' in 8-bit codes (BT.601 weights, full range); residuals are differences of Gaussians of 0, 1, 2, 4 pixels.
Logarithms are log2(1 + 4 x) / 10 of x codes, so 0 is none and 1 is 256 codes.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.jit import jit

KERNEL_STATISTICS: tuple[str, ...] = (
    # Energy of three bands: mean of the log, and log of the root mean square (their gap says how peaked it is).
    "fine_log", "fine_rms", "mid_log", "mid_rms", "coarse_log", "coarse_rms",
    # Level.
    "luma", "luma_spread", "saturation", "saturation_spread",
    "white_any", "white_all", "black", "near_black",
    # Colour noise: log of the mean size of what a 3 x 3 mean takes away from R - G and B - G.
    "rg_fine", "bg_fine",
    # Smooth areas.
    "constant", "nearly_constant", "step_share", "step_size",
    # Coding grids of 8 pixels: best phase of the cell, and phase of the whole picture; across and down.
    "grid_across", "grid_down", "common_grid_across", "common_grid_down",
    # Second differences at lag 1 and 3 in four directions: log root mean square.
    "curve1_0", "curve1_45", "curve1_90", "curve1_135", "curve3_0", "curve3_45", "curve3_90", "curve3_135",
    # Direction of gradients of the smoothed picture.
    "direction_cos", "direction_sin",
    # Beside strong edges: share of edges, overshoot, ripple, steps that stand alone (staircase), cross differences.
    "edges", "overshoot", "ripple", "alone_across", "alone_down", "cross",
    # 8 x 8 blocks: the quietest and the sharpest, and the share of pixels equal to their neighbours across and down.
    "quietest", "sharpest", "equal_across", "equal_down",
)  # fmt: skip
_COUNT = len(KERNEL_STATISTICS)
_LOG = (np.log2(1.0 + np.arange(2048) / 4.0) / 10.0).astype(np.float32)
"""By sixteenths of a code up to 128 codes."""
_PHASES = 8


def measure_cells(rgb: NDArray[np.uint8], windows: NDArray[np.int32]) -> NDArray[np.float32]:
    """(cells, 44) float32 in [0, 1] for windows y0, y1, x0, x1 of an HxWx3 picture."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    exact = luma.astype(np.float32)
    soft1 = cv2.GaussianBlur(exact, (5, 5), 1.0)
    soft2 = cv2.GaussianBlur(soft1, (9, 9), 1.73)
    small = cv2.GaussianBlur(cv2.resize(soft2, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), (9, 9), 1.7)
    soft4 = cv2.resize(small, (luma.shape[1], luma.shape[0]), interpolation=cv2.INTER_LINEAR)
    out = np.zeros((len(windows), _COUNT), np.float32)
    _bands(exact, soft1, soft2, soft4, windows, _LOG, out)
    _colours(rgb, windows, _LOG, out)
    _grids(luma, windows, out)
    _shapes(luma, soft2, windows, out)
    _edges(luma, windows, out)
    return np.clip(out, 0.0, 1.0)


@jit
def _log(value: Any) -> Any:
    return np.log2(np.float32(1.0) + np.float32(4.0) * value) / np.float32(10.0)


@jit
def _bands(exact: Any, soft1: Any, soft2: Any, soft4: Any, windows: Any, table: Any, out: Any) -> None:
    """Columns 0 to 7, and the quietest and sharpest block's fine residual."""
    last = np.int32(table.shape[0] - 1)
    for cell in range(windows.shape[0]):
        y0, y1, x0, x1 = windows[cell]
        logs, squares = np.zeros(3, np.float64), np.zeros(3, np.float64)
        total, total2 = 0.0, 0.0
        quiet, sharp = np.float32(1e9), np.float32(0.0)
        for by in range(y0, y1, 8):
            for bx in range(x0, x1, 8):
                block, ey, ex = np.float32(0.0), min(by + 8, y1), min(bx + 8, x1)
                for y in range(by, ey):
                    for x in range(bx, ex):
                        v = exact[y, x]
                        fine, mid = v - soft1[y, x], soft1[y, x] - soft2[y, x]
                        coarse = soft2[y, x] - soft4[y, x]
                        block += fine * fine
                        squares[1] += mid * mid
                        squares[2] += coarse * coarse
                        logs[0] += table[min(np.int32(abs(fine) * 16), last)]
                        logs[1] += table[min(np.int32(abs(mid) * 16), last)]
                        logs[2] += table[min(np.int32(abs(coarse) * 16), last)]
                        total += v
                        total2 += v * v
                squares[0] += block
                if ey - by == 8 and ex - bx == 8:
                    quiet, sharp = min(quiet, block), max(sharp, block)
        n = (y1 - y0) * (x1 - x0)
        for band in range(3):
            out[cell, 2 * band] = logs[band] / n
            out[cell, 2 * band + 1] = _log(np.sqrt(squares[band] / n))
        out[cell, 6] = total / n / 255.0
        out[cell, 7] = _log(np.sqrt(max(total2 / n - (total / n) ** 2, 0.0)))
        out[cell, 40] = _log(np.sqrt(quiet / 64.0)) * 1.5
        out[cell, 41] = _log(np.sqrt(sharp / 64.0))


@jit
def _colours(rgb: Any, windows: Any, table: Any, out: Any) -> None:
    """Columns 8 to 15: saturation, clipped and black shares, colour noise against the four neighbours."""
    last = np.int32(table.shape[0] - 1)
    height, width = rgb.shape[0], rgb.shape[1]
    for cell in range(windows.shape[0]):
        y0, y1, x0, x1 = windows[cell]
        total, total2, red_noise, blue_noise = 0.0, 0.0, 0.0, 0.0
        any_white, all_white, black, near = 0, 0, 0, 0
        for y in range(y0, y1):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(x0, x1):
                r, g, b = np.int32(rgb[y, x, 0]), np.int32(rgb[y, x, 1]), np.int32(rgb[y, x, 2])
                most, least = max(r, g, b), min(r, g, b)
                total += most - least
                total2 += (most - least) * (most - least)
                any_white += most >= 252
                all_white += least >= 248
                black += most <= 4
                near += most <= 24
                left, right = max(x - 1, 0), min(x + 1, width - 1)
                green = np.int32(rgb[up, x, 1]) + rgb[down, x, 1] + rgb[y, left, 1] + rgb[y, right, 1]
                red = np.int32(rgb[up, x, 0]) + rgb[down, x, 0] + rgb[y, left, 0] + rgb[y, right, 0]
                blue = np.int32(rgb[up, x, 2]) + rgb[down, x, 2] + rgb[y, left, 2] + rgb[y, right, 2]
                red_noise += table[min(np.int32(abs(4 * (r - g) - red + green) * 4), last)]
                blue_noise += table[min(np.int32(abs(4 * (b - g) - blue + green) * 4), last)]
        n = (y1 - y0) * (x1 - x0)
        out[cell, 8] = total / n / 255.0
        out[cell, 9] = _log(np.sqrt(max(total2 / n - (total / n) ** 2, 0.0)))
        out[cell, 10], out[cell, 11] = np.sqrt(any_white / n), np.sqrt(all_white / n)
        out[cell, 12], out[cell, 13] = np.sqrt(black / n), np.sqrt(near / n)
        out[cell, 14], out[cell, 15] = red_noise / n, blue_noise / n


@jit
def _grid_step(a: Any, b: Any, c: Any, d: Any) -> Any:
    """How far the step from b to c stands above those beside it, up to 16 codes."""
    middle = abs(np.int32(c) - np.int32(b))
    beside = abs(np.int32(b) - np.int32(a)) + abs(np.int32(d) - np.int32(c))
    over = np.float32(middle) - np.float32(0.5) * beside
    return over if 0.0 < over <= 16.0 else np.float32(0.0)


@jit
def _grids(luma: Any, windows: Any, out: Any) -> None:
    """Columns 20 to 23: steps at the strongest of eight phases over the middle phase, per cell and in common."""
    cells = windows.shape[0]
    energy = np.zeros((cells, 2, _PHASES), np.float32)
    count = np.zeros((cells, 2, _PHASES), np.float32)
    height, width = luma.shape
    for cell in range(cells):
        y0, y1, x0, x1 = windows[cell]
        for y in range(y0, y1):
            for x in range(max(x0, 2), min(x1, width - 1)):
                energy[cell, 0, x % 8] += _grid_step(luma[y, x - 2], luma[y, x - 1], luma[y, x], luma[y, x + 1])
                count[cell, 0, x % 8] += 1
        for y in range(max(y0, 2), min(y1, height - 1)):
            for x in range(x0, x1):
                energy[cell, 1, y % 8] += _grid_step(luma[y - 2, x], luma[y - 1, x], luma[y, x], luma[y + 1, x])
                count[cell, 1, y % 8] += 1
    for way in range(2):
        common = np.zeros(_PHASES, np.float32)
        for cell in range(cells):
            for phase in range(_PHASES):
                energy[cell, way, phase] /= max(count[cell, way, phase], np.float32(1.0))
            common += energy[cell, way] / (energy[cell, way].sum() + np.float32(0.5))
        best = np.argmax(common)
        for cell in range(cells):
            middle = np.sort(energy[cell, way])[3] + np.float32(0.05)
            local = (energy[cell, way].max() + np.float32(0.05)) / middle
            shared = (energy[cell, way, best] + np.float32(0.05)) / middle
            out[cell, 20 + way] = np.log2(local) / 6.0
            out[cell, 22 + way] = 0.2 + np.log2(shared) / 6.0


@jit
def _shapes(luma: Any, soft: Any, windows: Any, out: Any) -> None:
    """Columns 24 to 33: second differences at two lags in four directions; direction of soft gradients."""
    height, width = luma.shape
    for cell in range(windows.shape[0]):
        y0, y1 = max(windows[cell, 0], 3), min(windows[cell, 1], height - 3)
        x0, x1 = max(windows[cell, 2], 3), min(windows[cell, 3], width - 3)
        sums = np.zeros(8, np.float64)
        xx, yy, xy = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for y in range(y0, y1):
            row = np.zeros(8, np.float32)
            for x in range(x0, x1):
                twice = 2 * np.int32(luma[y, x])
                for which in range(2):
                    d = 1 + 2 * which
                    across = np.int32(luma[y, x - d]) + luma[y, x + d] - twice
                    rising = np.int32(luma[y + d, x - d]) + luma[y - d, x + d] - twice
                    down = np.int32(luma[y - d, x]) + luma[y + d, x] - twice
                    falling = np.int32(luma[y - d, x - d]) + luma[y + d, x + d] - twice
                    row[4 * which] += np.float32(across * across)
                    row[4 * which + 1] += np.float32(rising * rising)
                    row[4 * which + 2] += np.float32(down * down)
                    row[4 * which + 3] += np.float32(falling * falling)
                gx, gy = soft[y, x + 1] - soft[y, x - 1], soft[y + 1, x] - soft[y - 1, x]
                xx += gx * gx
                yy += gy * gy
                xy += gx * gy
            sums += row
        n = max((y1 - y0) * (x1 - x0), 1)
        for index in range(8):
            out[cell, 24 + index] = _log(np.sqrt(sums[index] / n) / 2.0)
        both = xx + yy + np.float32(n) * np.float32(0.02)
        out[cell, 32] = 0.5 + 0.5 * (xx - yy) / both
        out[cell, 33] = 0.5 + xy / both


@jit
def _edges(luma: Any, windows: Any, out: Any) -> None:
    """Columns 16 to 19 and 34 to 39, 42, 43: smooth areas and their steps, edges and what lies beside them."""
    for cell in range(windows.shape[0]):
        counts = np.zeros(12, np.float32)
        sums = np.zeros(4, np.float32)
        for way in range(2):
            _along(luma, windows[cell], way, counts, sums)
        n = max(counts[9], np.float32(1.0))
        out[cell, 16], out[cell, 17] = counts[0] / n, counts[1] / n
        out[cell, 18] = np.log2(1.0 + 1000.0 * counts[2] / n) / 8.0
        out[cell, 19] = sums[0] / max(counts[2], np.float32(1.0)) / 24.0
        edges = max(counts[3], np.float32(1.0))
        out[cell, 34] = np.log2(1.0 + 1000.0 * counts[3] / n) / 9.0
        few = counts[3] / (counts[3] + np.float32(20.0))
        out[cell, 35], out[cell, 36] = 2.0 * few * sums[1] / edges, few * sums[2] / edges
        out[cell, 37] = counts[5] / (counts[4] + np.float32(20.0))
        out[cell, 38] = counts[7] / (counts[6] + np.float32(20.0))
        out[cell, 39] = _cross(luma, windows[cell])
        out[cell, 42], out[cell, 43] = 2.0 * counts[10] / n, 2.0 * counts[11] / n


@jit
def _along(luma: Any, window: Any, way: Any, counts: Any, sums: Any) -> None:
    """Walks the rows (way 0) or columns (1) of a window. counts: constant, nearly, steps, edges, (big, alone) of each
    way, -, pixels, equal neighbours of each way; sums: step sizes, overshoots, ripples."""
    height, width = luma.shape
    reach_y, reach_x = (0, 9) if way == 0 else (9, 0)
    dy, dx = (0, 1) if way == 0 else (1, 0)
    for y in range(max(window[0], reach_y), min(window[1], height - reach_y)):
        for x in range(max(window[2], reach_x), min(window[3], width - reach_x)):
            here = np.int32(luma[y, x])
            step = np.int32(luma[y + dy, x + dx]) - here
            before, after = here - luma[y - dy, x - dx], np.int32(luma[y + 2 * dy, x + 2 * dx]) - here - step
            size, beside = abs(step), abs(before) + abs(after)
            counts[9] += 1
            counts[10 + way] += step == 0
            counts[0] += size + abs(before) == 0
            counts[1] += size + abs(before) <= 2
            if size >= 8:
                counts[4 + 2 * way] += 1
                counts[5 + 2 * way] += 4 * beside <= size
            if 2 <= size <= 24 and beside == 0 and luma[y - 2 * dy, x - 2 * dx] == here:
                flat = luma[y + 3 * dy, x + 3 * dx] == here + step
                counts[2] += flat
                sums[0] += flat * size
            if size >= 14 and size >= abs(before) and size > abs(after):
                counts[3] += 1
                _beside(luma, y, x, dy, dx, step, sums)


@jit
def _beside(luma: Any, y: Any, x: Any, dy: Any, dx: Any, step: Any, sums: Any) -> None:
    """Add overshoot (the extreme 1 to 4 pixels away past the level 6 to 8 away) and ripple, over its rise."""
    sign = 1 if step > 0 else -1
    far_high, far_low = 0, 0
    for d in range(6, 9):
        far_high += np.int32(luma[y + d * dy, x + d * dx])
        far_low += np.int32(luma[y - (d - 1) * dy, x - (d - 1) * dx])
    peak, dip, low, high = -100000, -100000, 100000, -100000
    for d in range(1, 5):
        peak = max(peak, sign * np.int32(luma[y + d * dy, x + d * dx]))
        dip = max(dip, -sign * np.int32(luma[y - (d - 1) * dy, x - (d - 1) * dx]))
    for d in range(3, 9):
        value = np.int32(luma[y + d * dy, x + d * dx])
        low, high = min(low, value), max(high, value)
    rise = np.float32(max(sign * (far_high - far_low) / 3.0, 14.0))
    up, down = np.float32(peak - sign * far_high / 3.0), np.float32(dip + sign * far_low / 3.0)
    sums[1] += min(max(min(up, down) / rise, np.float32(0.0)), np.float32(1.0))
    sums[2] += min(np.float32(high - low) / rise, np.float32(1.0))


@jit
def _cross(luma: Any, window: Any) -> Any:
    """Root mean square of the 2 x 2 cross difference over that of the gradients: high where edges are stairs."""
    height, width = luma.shape
    cross, slopes = np.float32(0.0), np.float32(0.0)
    for y in range(window[0], min(window[1], height - 1)):
        for x in range(window[2], min(window[3], width - 1)):
            a, b = np.int32(luma[y, x]), np.int32(luma[y, x + 1])
            c, d = np.int32(luma[y + 1, x]), np.int32(luma[y + 1, x + 1])
            cross += np.float32((a - b - c + d) * (a - b - c + d))
            slopes += np.float32((a - b) * (a - b) + (a - c) * (a - c))
    return np.sqrt(cross / (slopes + np.float32(100.0)))
