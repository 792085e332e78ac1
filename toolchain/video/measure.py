"""Light level of decoded output frames: MaxCLL and MaxFALL as CTA-861.3-A, annex P defines them.

Both are formed from max(R, G, B) of each pixel in cd/m2, after interpolating chroma to full size as a display does:
linearly, at the sited positions. PQ is monotonic, so the maximum is taken on the coded R', G', B' and only then
turned into light.
"""

from __future__ import annotations

import math

import av
import numpy as np
from numpy.typing import NDArray

from toolchain.color.transfer import pq_eotf
from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.errors import AgentError
from toolchain.jit import jit
from toolchain.video.encode import plane_views

_PIXEL_FORMATS = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
_STEPS = 8
"""Table entries a code: each is within 0.1 % of the light; a frame's mean is far closer, and the peak uses none."""
_FINE = 1024
"""R', G', B' are integers in this fraction of a code: unlike with floats, all loops but the table's vectorise."""
_LAST_FINE = 1023 * _FINE
_LUMA_OFFSET, _LUMA_SCALE, _CHROMA_OFFSET, _CHROMA_SCALE = code_range(10, "limited")


class LightLevelMeter:
    """Collects the light level of decoded PQ frames: 10-bit, limited range, BT.2020 non-constant luminance.

    Chroma is sited as `OutputSpec.chroma_location` says: 4:2:0 at the top left luma sample, 4:2:2 at the left
    one; 4:4:4 needs no interpolation.
    What the encoder overshoots is part of the figures: they describe the file, not the picture it was made from.
    """

    def __init__(self) -> None:
        self.peak_nits = 0.0
        self.frame_mean_nits = 0.0
        """Largest mean of max(R, G, B) over a frame so far."""
        self._table = _nits(np.arange(1023 * _STEPS + 1) / _STEPS).astype(np.float32)
        # From Cb and Cr, summed over two rows and two columns, to how far R', G' and B' lie above Y'.
        from_chroma = ycbcr_to_rgb_matrix("bt2020nc")[:, 1:] * (_FINE * _LUMA_SCALE / _CHROMA_SCALE / 4)
        self._from_chroma = from_chroma.astype(np.float32)

    def add(self, frame: av.VideoFrame) -> None:
        """Measures one frame. Raises AgentError for a pixel format that we do not write."""
        if frame.format.name not in _PIXEL_FORMATS:
            raise AgentError(f"cannot measure {frame.format.name}: {' or '.join(_PIXEL_FORMATS)} is needed")
        peak, mean_nits = _frame_light(*plane_views(frame), self._from_chroma, self._table)
        self.peak_nits = max(self.peak_nits, float(_nits(np.array(peak / _FINE))))
        self.frame_mean_nits = max(self.frame_mean_nits, mean_nits)

    @property
    def max_cll(self) -> int:
        """Brightest pixel so far, rounded up; at least 1, because 0 means "unknown"."""
        return _whole_nits(self.peak_nits)

    @property
    def max_fall(self) -> int:
        """Largest frame mean so far, rounded up; at least 1."""
        return _whole_nits(self.frame_mean_nits)


def _whole_nits(nits: float) -> int:
    return max(1, math.ceil(nits * (1.0 - 1e-6)))  # float rounding must not turn 1000 into 1001


def _nits(code: NDArray[np.float64]) -> NDArray[np.floating]:
    return pq_eotf((code - _LUMA_OFFSET) / _LUMA_SCALE)


@jit
def _sum_rows(above: NDArray[np.uint16], below: NDArray[np.uint16], total: NDArray[np.int32]) -> None:
    """Twice the chroma between two rows, centred on zero; the last column is repeated."""
    columns = above.shape[0]
    for x in range(columns):
        total[x] = np.int32(above[x]) + np.int32(below[x]) - np.int32(2 * _CHROMA_OFFSET)
    total[columns] = total[columns - 1]


@jit
def _highest_excess(
    cb: NDArray[np.int32], cr: NDArray[np.int32], from_chroma: NDArray[np.float32], excess: NDArray[np.int32]
) -> None:
    """max(R', G', B') - Y' of a row: even pixels lie on a chroma sample, odd ones between two."""
    red_cr, blue_cb = from_chroma[0, 1], from_chroma[2, 0]
    green_cb, green_cr = from_chroma[1, 0], from_chroma[1, 1]
    half = np.float32(0.5)
    for x in range(cb.shape[0] - 1):
        u, v = np.float32(2 * cb[x]), np.float32(2 * cr[x])
        highest = max(red_cr * v, max(blue_cb * u, green_cb * u + green_cr * v))
        excess[2 * x] = np.int32(np.floor(highest + half))
        u, v = np.float32(cb[x] + cb[x + 1]), np.float32(cr[x] + cr[x + 1])
        highest = max(red_cr * v, max(blue_cb * u, green_cb * u + green_cr * v))
        excess[2 * x + 1] = np.int32(np.floor(highest + half))


@jit
def _full_excess(
    cb: NDArray[np.int32], cr: NDArray[np.int32], from_chroma: NDArray[np.float32], excess: NDArray[np.int32]
) -> None:
    """`_highest_excess` where every pixel has its own chroma sample."""
    red_cr, blue_cb = from_chroma[0, 1], from_chroma[2, 0]
    green_cb, green_cr = from_chroma[1, 0], from_chroma[1, 1]
    half = np.float32(0.5)
    for x in range(cb.shape[0] - 1):
        u, v = np.float32(2 * cb[x]), np.float32(2 * cr[x])
        highest = max(red_cr * v, max(blue_cb * u, green_cb * u + green_cr * v))
        excess[x] = np.int32(np.floor(highest + half))


@jit
def _row_light(
    luma: NDArray[np.uint16], excess: NDArray[np.int32], table: NDArray[np.float32]
) -> tuple[np.int32, np.float32]:
    """The highest R', G' or B' of a row, and the sum of its light in nits."""
    entry = np.int32(_FINE // _STEPS)
    highest, total = np.int32(0), np.float32(0.0)
    for x in range(luma.shape[0]):
        fine = np.int32(luma[x]) * np.int32(_FINE) + excess[x]
        highest = max(highest, fine)
        inside = min(max(fine, np.int32(0)), np.int32(_LAST_FINE))
        total += table[np.uint32(inside + entry // np.int32(2)) // np.uint32(entry)]
    return highest, total


@jit
def _frame_light(
    luma: NDArray[np.uint16],
    cb: NDArray[np.uint16],
    cr: NDArray[np.uint16],
    from_chroma: NDArray[np.float32],
    table: NDArray[np.float32],
) -> tuple[int, float]:
    """The highest R', G' or B', and the mean light in nits."""
    rows, columns = cb.shape
    two_rows = rows < luma.shape[0]
    blue, red = np.empty(columns + 1, np.int32), np.empty(columns + 1, np.int32)
    excess = np.empty(2 * columns, np.int32)
    highest, total = 0, 0.0
    for y in range(luma.shape[0]):
        above = y // 2 if two_rows else y
        below = min(above + 1, rows - 1) if two_rows and y % 2 else above
        _sum_rows(cb[above], cb[below], blue)
        _sum_rows(cr[above], cr[below], red)
        if columns == luma.shape[1]:
            _full_excess(blue, red, from_chroma, excess)
        else:
            _highest_excess(blue, red, from_chroma, excess)
        row_highest, row_total = _row_light(luma[y], excess, table)
        highest = max(highest, row_highest)
        total += row_total
    return highest, total / luma.size
