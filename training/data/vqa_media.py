"""How a clip travels: as an SDR or an HDR signal, through an encoder, through a catalogue model.

A clip is (N, H, W, 3) float32. `sdr` signals are BT.709 R'G'B' for a BT.1886 display with white at 203 nits, `hdr`
signals PQ BT.2020; both in [0, 1]. Light is BT.2020 nits in [0, 1000].
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from analysis.vqa.display import DISPLAY_PEAK_NITS
from toolchain.color.primaries import conversion_matrix
from toolchain.color.transfer import (
    REFERENCE_WHITE_NITS,
    bt1886_eotf,
    bt1886_eotf_inverse,
    pq_eotf,
    pq_eotf_inverse,
)
from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.jit import jit
from toolchain.lut import expand_still
from toolchain.models.spec import PixelFunction
from toolchain.video.facts import ColorInterpretation
from training.data.compress import Compression, compress
from training.data.frames import to_yuv420

Clip = NDArray[np.float32]
MediumName = Literal["sdr", "hdr"]
BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
LUT_SIZE = 33
_TO_BT2020 = (conversion_matrix("bt709", "bt2020").T * REFERENCE_WHITE_NITS).astype(np.float32)
_TO_BT709 = (conversion_matrix("bt2020", "bt709").T / REFERENCE_WHITE_NITS).astype(np.float32)


@dataclass(frozen=True)
class Medium:
    """What the numbers of a clip stand for. Transfers go through tables of 4096 steps: 0.02 code of ten bits."""

    name: MediumName

    def light(self, signal: Clip) -> Clip:
        """The signal's BT.2020 nits on the viewer's display; any shape (..., 3)."""
        if self.name == "hdr":
            return _through(signal, _PQ_NITS, _LINEAR)
        return np.maximum(_through(signal, _BT1886_LIGHT, _LINEAR) @ _TO_BT2020, 0.0)

    def signal(self, nits: Clip) -> Clip:
        """The signal of BT.2020 nits; what it cannot carry is clipped."""
        if self.name == "hdr":
            return _through(nits, _PQ_SIGNAL, _QUARTIC, 1 / DISPLAY_PEAK_NITS)
        return _through(nits @ _TO_BT709, _BT1886_SIGNAL, _QUARTIC)

    def coded(self, signal: Clip, crf: int) -> Clip:
        """After a real encoder: x264 8-bit (SDR) or x265 10-bit (HDR), 4:2:0. Even sizes."""
        if self.name == "sdr":
            return compress(signal, Compression("h264", crf))
        return _coded_hdr(signal, crf)


SDR, HDR = Medium("sdr"), Medium("hdr")


# Transfers

_LINEAR, _QUARTIC = False, True
_STEPS = np.linspace(0.0, 1.0, 4097)
_PQ_NITS = np.minimum(pq_eotf(_STEPS), DISPLAY_PEAK_NITS).astype(np.float32)
_PQ_SIGNAL = pq_eotf_inverse(_STEPS**4 * DISPLAY_PEAK_NITS).astype(np.float32)
_BT1886_LIGHT = bt1886_eotf(_STEPS).astype(np.float32)
_BT1886_SIGNAL = bt1886_eotf_inverse(_STEPS**4).astype(np.float32)


def _through(values: Clip, table: Clip, quartic: bool, scale: float = 1.0) -> Clip:
    """Each value times `scale`, cut to [0, 1], through a table over it or over its fourth root; linear between."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    out = np.empty_like(flat)
    _interpolate(flat, table, quartic, np.float32(scale), out)
    return out.reshape(values.shape)


@jit
def _interpolate(flat: Any, table: Any, quartic: bool, scale: Any, out: Any) -> None:
    last = np.float32(table.shape[0] - 1)
    for index in range(flat.shape[0]):
        place = min(max(flat[index] * scale, np.float32(0)), np.float32(1))
        if quartic:
            place = np.sqrt(np.sqrt(place))
        place *= last
        below = min(np.int32(place), np.int32(table.shape[0] - 2))
        low = table[below]
        out[index] = low + (place - np.float32(below)) * (table[below + 1] - low)


# Encoding HDR

_X265 = "pools=none:frame-threads=1:info=0:log-level=error:colorprim=9:transfer=16:colormatrix=9:hdr10-opt=1"


def _coded_hdr(signal: Clip, crf: int) -> Clip:
    encoder, decoder = _context("libx265", "w"), _context("hevc", "r")
    encoder.height, encoder.width, encoder.pix_fmt = signal.shape[1], signal.shape[2], "yuv420p10le"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"crf": str(crf), "preset": "ultrafast", "x265-params": _X265}
    packets: list[Any] = []
    for index, picture in enumerate(signal):
        frame = to_yuv420(picture, "bt2020nc", 10)
        frame.pts, frame.time_base = index, Fraction(1, 25)
        packets += encoder.encode(frame)
    frames = [frame for packet in (*packets, *encoder.encode(None), None) for frame in decoder.decode(packet)]
    return np.stack([_to_rgb(np.asarray(frame.to_ndarray(), np.uint16)) for frame in frames])


def _context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = av.CodecContext.create(name, mode)
    if not isinstance(context, VideoCodecContext):
        raise TypeError(f"{name} is no video codec")
    context.thread_count = 1
    return context


def _to_rgb(planes: NDArray[np.uint16]) -> Clip:
    """Packed yuv420p10le (H * 3 / 2, W) of BT.2020, limited range, chroma topleft -> (H, W, 3) R'G'B' in [0, 1]."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat, luma_count = planes.ravel(), height * width
    luma = flat[:luma_count].reshape(height, width).astype(np.float32)
    chroma = flat[luma_count:].reshape(2, height // 2, width // 2).astype(np.float32)
    y_offset, y_scale, c_offset, c_scale = code_range(10, "limited")
    to_chroma = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    larger = [
        cv2.warpAffine(plane, to_chroma, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in chroma
    ]
    ycbcr = np.stack([(luma - y_offset) / y_scale, *((plane - c_offset) / c_scale for plane in larger)], axis=-1)
    return np.clip(ycbcr @ ycbcr_to_rgb_matrix("bt2020nc").T.astype(np.float32), 0.0, 1.0).astype(np.float32)


# Expanding SDR


def expanded(sdr_signal: Clip, expand: PixelFunction) -> Clip:
    """The PQ signal that a pointwise model makes of an SDR signal, through a table (33 points on sqrt axes)."""
    axis = np.linspace(0.0, 1.0, LUT_SIZE) ** 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(LUT_SIZE, -1, 3)
    table = expand_still(grid, expand, BT709).reshape(-1, 3)
    flat = np.ascontiguousarray(np.clip(sdr_signal, 0.0, 1.0), np.float32).reshape(-1, 3)
    out = np.empty_like(flat)
    _look_up(flat, table, LUT_SIZE, out)
    return out.reshape(sdr_signal.shape)


@jit
def _look_up(flat: Any, table: Any, size: int, out: Any) -> None:
    """Trilinear."""
    for pixel in range(flat.shape[0]):
        r, g, b = (np.sqrt(flat[pixel, 0]), np.sqrt(flat[pixel, 1]), np.sqrt(flat[pixel, 2]))
        r, g, b = r * (size - 1), g * (size - 1), b * (size - 1)
        r0, g0, b0 = min(int(r), size - 2), min(int(g), size - 2), min(int(b), size - 2)
        r, g, b = r - r0, g - g0, b - b0
        low = (r0 * size + g0) * size + b0
        high = low + size * size
        for channel in range(3):
            near = (table[low, channel] * (1 - b) + table[low + 1, channel] * b) * (1 - g) + (
                table[low + size, channel] * (1 - b) + table[low + size + 1, channel] * b
            ) * g
            far = (table[high, channel] * (1 - b) + table[high + 1, channel] * b) * (1 - g) + (
                table[high + size, channel] * (1 - b) + table[high + size + 1, channel] * b
            ) * g
            out[pixel, channel] = near * (1 - r) + far * r
