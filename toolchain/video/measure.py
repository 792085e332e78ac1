"""Light level of decoded output frames: MaxCLL and MaxFALL as CTA-861.3-A, annex P defines them.

Both are formed from max(R, G, B) of each pixel in cd/m2. PQ is monotonic, so the maximum is taken on the coded R',
G', B' and one table lookup gives the light. Each chroma sample serves its block of luma samples (nearest neighbour):
the peak is then of samples that were really coded, where interpolation could only average neighbours, and a frame's
mean changes by less than the rounding to whole nits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import av
import numba
import numpy as np
from numpy.typing import NDArray

from toolchain.errors import AgentError
from toolchain.video.encode import plane_views
from toolchain.video.output import HdrFormat

_STEPS = 8
"""Sub-steps of a ten-bit code in the table: an entry is within 0.1 % of the light, a frame's mean far closer."""
_FINE_BITS = 10
"""Signals are summed in 1/1024 of a code, from which the peak is computed without the table."""
_INDEX_SHIFT = 7
_CODES = 1024
_RED_CR, _BLUE_CB = 1.4746, 1.8814  # BT.2020-2 table 4: 2 (1 - 0.2627), 2 (1 - 0.0593)
_LUMA_R, _LUMA_G, _LUMA_B = 0.2627, 0.6780, 0.0593
_GREEN_CB, _GREEN_CR = _LUMA_B * _BLUE_CB / _LUMA_G, _LUMA_R * _RED_CR / _LUMA_G
_CHROMA_TO_LUMA = 219.0 / 224.0
_LOG_STEP = 8
_LUMINANCE_FLOOR_NITS = 0.005
_HLG_PEAK_NITS = 1000.0
_HLG_GAMMA = 1.2


class FrameLight(NamedTuple):
    """One frame, in nits. The log average is over one pixel of each 8x8, floored at 0.005 nits (ST 2086's black)."""

    max_nits: float
    mean_max_nits: float
    mean_log2_luminance: float


class LightLevelMeter:
    """Collects the light level of decoded 10-bit limited-range BT.2020 frames (4:2:0, 4:2:2 or 4:4:4).

    HLG is shown on the reference display: 1000 nits, system gamma 1.2 (BT.2100-2, table 5).
    """

    def __init__(self, hdr_format: HdrFormat):
        self._hlg = hdr_format == "hlg"
        self._table = _hlg_scene_table() if self._hlg else _pq_table()
        self._max_nits = 0.0
        self._max_mean_nits = 0.0
        self.frame_count = 0

    def add(self, frame: av.VideoFrame) -> FrameLight:
        """Measures one frame and returns its own light level."""
        if not frame.format.name.startswith(("yuv420p10", "yuv422p10", "yuv444p10")):
            raise AgentError(f"cannot measure {frame.format.name}; planar 10-bit YCbCr is needed")
        luma, cb, cr = plane_views(frame)
        if self._hlg:
            light = FrameLight(*_hlg_light(luma, cb, cr, self._table, _HLG_PEAK_NITS, _HLG_GAMMA - 1.0))
        else:
            peak_code, mean = _pq_light(luma, cb, cr, self._table)
            peak_nits = float(_pq_nits(np.clip([(peak_code - 64.0) / 876.0], 0.0, 1.0))[0])
            light = FrameLight(peak_nits, mean, _pq_log_luminance(luma, cb, cr, self._table))
        self._max_nits = max(self._max_nits, light.max_nits)
        self._max_mean_nits = max(self._max_mean_nits, light.mean_max_nits)
        self.frame_count += 1
        return light

    @property
    def max_cll(self) -> int:
        """Brightest pixel so far, rounded up; at least 1, because 0 means "unknown"."""
        return _whole_nits(self._max_nits)

    @property
    def max_fall(self) -> int:
        """Largest frame mean so far, rounded up; at least 1."""
        return _whole_nits(self._max_mean_nits)


def _whole_nits(nits: float) -> int:
    return max(1, math.ceil(nits * (1.0 - 1e-6)))  # float rounding must not turn 1000 into 1001


def _signal_axis() -> NDArray[np.float64]:
    return np.clip((np.arange(_CODES * _STEPS) / _STEPS - 64.0) / 876.0, 0.0, 1.0)


def _pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084:2014, equation 4.1."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return 10000.0 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1)


def _pq_table() -> NDArray[np.float32]:
    """Nits over the limited-range code in eighths."""
    return _pq_nits(_signal_axis()).astype(np.float32)


def _hlg_scene_table() -> NDArray[np.float32]:
    """Scene light in [0, 1] over the limited-range code in eighths (BT.2100-2, table 5: inverse OETF)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = _signal_axis()
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _row_excess(cb: NDArray[np.uint16], cr: NDArray[np.uint16], excess: NDArray[np.int32]) -> None:
    """max(R', G', B') - Y' of a row of chroma samples, in 1/1024 of a luma code."""
    scale = np.float32((1 << _FINE_BITS) * _CHROMA_TO_LUMA)
    for x in range(cb.shape[0]):
        u = (np.float32(cb[x]) - np.float32(512.0)) * scale
        v = (np.float32(cr[x]) - np.float32(512.0)) * scale
        red, blue = np.float32(_RED_CR) * v, np.float32(_BLUE_CB) * u
        green = -np.float32(_GREEN_CB) * u - np.float32(_GREEN_CR) * v
        excess[x] = np.int32(np.floor(max(red, max(green, blue)) + np.float32(0.5)))


@numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _pq_light(
    luma: NDArray[np.uint16], cb: NDArray[np.uint16], cr: NDArray[np.uint16], table: NDArray[np.float32]
) -> tuple[float, float]:
    """The highest R', G' or B' as a ten-bit code, and the mean light in nits."""
    rows, columns = luma.shape
    shift_x = np.uint32(1 if cb.shape[1] < columns else 0)
    shift_y = 1 if cb.shape[0] < rows else 0
    excess = np.empty(cb.shape[1], np.int32)
    top = np.int32((_CODES << _FINE_BITS) - 1)
    half = np.int32(1 << (_INDEX_SHIFT - 1))
    highest, total = np.int32(0), 0.0
    for y in range(rows):
        if y % (1 + shift_y) == 0:
            _row_excess(cb[y >> shift_y], cr[y >> shift_y], excess)
        row = luma[y]
        row_total = np.float32(0.0)
        for x in range(columns):
            fine = (np.int32(row[x]) << np.int32(_FINE_BITS)) + excess[np.uint32(x) >> shift_x]
            fine = min(max(fine, np.int32(0)), top)
            highest = max(highest, fine)
            row_total += table[np.uint32(min(fine + half, top)) >> np.uint32(_INDEX_SHIFT)]
        total += row_total
    return highest / (1 << _FINE_BITS), total / (rows * columns)


@numba.njit(nogil=True, cache=True, inline="always")
def _components(luma: int, cb: int, cr: int, table: NDArray[np.float32]) -> tuple[np.float32, np.float32, np.float32]:
    """Linear R, G, B of one pixel by the table."""
    top = table.shape[0] - 1
    base = luma * float(_STEPS) + 0.5
    u, v = (cb - 512.0) * _STEPS * _CHROMA_TO_LUMA, (cr - 512.0) * _STEPS * _CHROMA_TO_LUMA
    red = table[min(max(int(base + _RED_CR * v), 0), top)]
    green = table[min(max(int(base - _GREEN_CB * u - _GREEN_CR * v), 0), top)]
    blue = table[min(max(int(base + _BLUE_CB * u), 0), top)]
    return red, green, blue


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _pq_log_luminance(
    luma: NDArray[np.uint16], cb: NDArray[np.uint16], cr: NDArray[np.uint16], table: NDArray[np.float32]
) -> float:
    rows, columns = luma.shape
    shift_x = 1 if cb.shape[1] < columns else 0
    shift_y = 1 if cb.shape[0] < rows else 0
    total, count = 0.0, 0
    for y in range(0, rows, _LOG_STEP):
        for x in range(0, columns, _LOG_STEP):
            red, green, blue = _components(
                luma[y, x], cb[y >> shift_y, x >> shift_x], cr[y >> shift_y, x >> shift_x], table
            )
            luminance = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
            total += math.log2(max(luminance, _LUMINANCE_FLOOR_NITS))
            count += 1
    return total / count


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _hlg_light(
    luma: NDArray[np.uint16],
    cb: NDArray[np.uint16],
    cr: NDArray[np.uint16],
    table: NDArray[np.float32],
    peak_nits: float,
    exponent: float,
) -> tuple[float, float, float]:  # max, mean of max, mean log2 luminance
    """The OOTF needs scene luminance: three lookups and a power a pixel, so one pixel of each 2x2 speaks for it.

    That is enough for gates and reports; no light level is written for HLG.
    """
    rows, columns = luma.shape
    shift_x = 1 if cb.shape[1] < columns else 0
    shift_y = 1 if cb.shape[0] < rows else 0
    highest, total, log_total, log_count = 0.0, 0.0, 0.0, 0
    for y in range(0, rows, 2):
        for x in range(0, columns, 2):
            red, green, blue = _components(
                luma[y, x], cb[y >> shift_y, x >> shift_x], cr[y >> shift_y, x >> shift_x], table
            )
            scene = _LUMA_R * red + _LUMA_G * green + _LUMA_B * blue
            gain = peak_nits * max(scene, 1e-12) ** exponent
            nits = gain * max(red, max(green, blue))
            highest = max(highest, float(nits))
            total += nits
            if y % _LOG_STEP == 0 and x % _LOG_STEP == 0:
                log_total += math.log2(max(gain * scene, _LUMINANCE_FLOOR_NITS))
                log_count += 1
    return highest, total / (((rows + 1) // 2) * ((columns + 1) // 2)), log_total / log_count
