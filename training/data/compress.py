"""What a real video encoder does to a graded SDR picture: H.264 or H.265 in memory, decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.errors import UsageError
from training.data.frames import to_yuv420

Codec = Literal["h264", "h265"]
_ENCODERS: dict[str, str] = {"h264": "libx264", "h265": "libx265"}
_DECODERS: dict[str, str] = {"h264": "h264", "h265": "hevc"}
_X265 = "pools=none:frame-threads=1:info=0:log-level=error"


@dataclass(frozen=True)
class Compression:
    """A codec and its constant rate factor, 0 (best) to 51."""

    codec: Codec
    crf: int

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS or not 0 <= self.crf <= 51:
            raise UsageError(f"Compression {self.codec} at CRF {self.crf} is not usable: h264 or h265, 0 to 51.")

    def __str__(self) -> str:
        return f"{self.codec}-crf{self.crf}"


def compress(signals: NDArray[np.float32], how: Compression) -> NDArray[np.float32]:
    """(N, H, W, 3) R'G'B' BT.709 in [0, 1] -> the same after 8-bit 4:2:0 limited-range coding as a clip of N.

    Even H and W. Chroma comes back bilinear at its "left" siting, as players show it.
    """
    encoder = _encoder(how, signals.shape[1], signals.shape[2])
    decoder = _context(_DECODERS[how.codec], "r")
    pictures = []
    for packet in _packets(encoder, signals):
        pictures += decoder.decode(packet)
    return np.stack(
        [_to_rgb(np.asarray(frame.to_ndarray(), np.uint8)) for frame in (*pictures, *decoder.decode(None))]
    )


def _encoder(how: Compression, height: int, width: int) -> VideoCodecContext:
    encoder = _context(_ENCODERS[how.codec], "w")
    encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"crf": str(how.crf), "preset": "veryfast" if how.codec == "h264" else "ultrafast"}
    if how.codec == "h265":
        encoder.options = {**encoder.options, "x265-params": _X265}
    return encoder


def _context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = av.CodecContext.create(name, mode)
    if not isinstance(context, VideoCodecContext):
        raise TypeError(f"{name} is no video codec")
    context.thread_count = 1
    return context


def _packets(encoder: VideoCodecContext, signals: NDArray[np.float32]) -> Iterator[av.Packet]:
    for index, signal in enumerate(signals):
        frame = to_yuv420(signal, "bt709", 8)
        frame.pts, frame.time_base = index, Fraction(1, 25)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _to_rgb(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed yuv420p (H * 3 / 2, W), BT.709 limited -> (H, W, 3) R'G'B' in [0, 1]."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat, luma_count = planes.ravel(), height * width
    luma = flat[:luma_count].reshape(height, width).astype(np.float32)
    chroma = flat[luma_count:].reshape(2, height // 2, width // 2).astype(np.float32)
    y_offset, y_scale, c_offset, c_scale = code_range(8, "limited")
    # A sample at column 2 i (left siting), row 2 j + 0.5 (between the rows).
    to_chroma = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, -0.25]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    upsampled = [
        cv2.warpAffine(plane, to_chroma, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in chroma
    ]
    ycbcr = np.stack([(luma - y_offset) / y_scale, *((plane - c_offset) / c_scale for plane in upsampled)], axis=-1)
    return np.clip(ycbcr @ ycbcr_to_rgb_matrix("bt709").T, 0.0, 1.0).astype(np.float32)
