"""From a decoded frame to a picture that can be measured: R'G'B' signal in float32, and its lossless file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.errors import EnvironmentNotReady, InputError
from toolchain.video.decode import decoded_format, planes
from toolchain.video.facts import ChromaLocation, ColorInterpretation

FloatArray = NDArray[np.float32]

SIGNAL_SCALE = 30000.0
"""PNG code of signal 1.0: leaves headroom up to 2.18 for super-white, at steps of 1/30000 (a 10-bit step is 29)."""


def rgb_signal(
    frame: VideoFrame, color: ColorInterpretation, max_width: int | None = None, max_height: int | None = None
) -> FloatArray:
    """Full-range R'G'B' signal, (H, W, 3) float32, 0 = black and 1 = white in the frame's own transfer function.

    Not clipped above 1 (super-white survives), clipped at 0 below. Planes are averaged over areas down to fit
    `max_width` x `max_height` (aspect kept, never enlarged) before the matrix; chroma is placed by
    `color.chroma_location`. Any pixel format that `decoded_format` knows.
    """
    planar = decoded_format(frame.format.name)
    if planar != frame.format.name:
        frame = frame.reformat(format=planar)
    width, height = working_size(frame.width, frame.height, max_width, max_height)
    bits = frame.format.components[0].bits
    y_offset, y_scale, c_offset, c_scale = code_range(bits, color.range)
    views = planes(frame)
    if color.matrix == "rgb" or frame.format.is_rgb:
        return _stack([(_area(view, width, height) - y_offset) / y_scale for view in views])
    luma = (_area(views[0], width, height) - y_offset) / y_scale
    if len(views) == 1:
        return _stack([luma, luma, luma])
    shape = (frame.width, frame.height)
    cb, cr = ((_chroma(v, shape, (width, height), color.chroma_location) - c_offset) / c_scale for v in views[1:3])
    matrix = ycbcr_to_rgb_matrix(color.matrix)
    return _stack([row[0] * luma + row[1] * cb + row[2] * cr for row in matrix.astype(np.float32)])


def luma(
    frame: VideoFrame, color: ColorInterpretation, max_width: int | None = None, max_height: int | None = None
) -> FloatArray:
    """Y' of a Y'CbCr or grey frame, (H, W) float32, 0 = black and 1 = white, not clipped; sized as `rgb_signal`.

    Raises InputError for RGB frames, which have no luma plane.
    """
    if frame.format.is_rgb:
        raise InputError(f"a {frame.format.name} frame has no luma plane: use rgb_signal")
    width, height = working_size(frame.width, frame.height, max_width, max_height)
    y_offset, y_scale, _, _ = code_range(frame.format.components[0].bits, color.range)
    return (_area(planes(frame)[0], width, height) - np.float32(y_offset)) / np.float32(y_scale)


def working_size(width: int, height: int, max_width: int | None, max_height: int | None) -> tuple[int, int]:
    """The largest size (width, height) inside the limits with the same aspect; the own size when it fits."""
    scale = min(1.0, (max_width or width) / width, (max_height or height) / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def save_signal(path: Path, rgb: FloatArray) -> None:
    """Write an (H, W, 3) signal in [0, 2.18] as 16-bit RGB PNG, code = round(signal x 30000); EnvironmentNotReady
    when the file cannot be written."""
    codes = np.clip(np.rint(rgb * SIGNAL_SCALE), 0, 65535).astype(np.uint16)
    encoded, data = cv2.imencode(".png", codes[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    try:
        if not encoded:
            raise OSError("PNG encoding failed")
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise EnvironmentNotReady(f"{path} cannot be written ({error}): free disk space or choose another") from error


def load_signal(path: Path) -> FloatArray:
    """Read what `save_signal` wrote: (H, W, 3) float32, within 1/60000 of the saved signal; InputError otherwise."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    codes = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if codes is None or codes.dtype != np.uint16 or codes.ndim != 3 or codes.shape[2] != 3:
        raise InputError(f"{path} is not a 16-bit RGB PNG of this program: write it again")
    return (codes[..., ::-1] / np.float32(SIGNAL_SCALE)).astype(np.float32)


def _area(plane: NDArray, width: int, height: int) -> FloatArray:
    if plane.shape == (height, width):
        return plane.astype(np.float32)
    return cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA).astype(
        np.float32, copy=False
    )


def _chroma(plane: NDArray, full: tuple[int, int], size: tuple[int, int], location: ChromaLocation) -> FloatArray:
    """One chroma plane at the working size, moved from where its samples sit to where the pixels are.

    `full` and `size` are (width, height) of the frame and of the result. A sample that sits left (top) of its two
    pixels' centre is 1/2 pixel off, whatever the working size.
    """
    plane = plane.astype(np.float32)
    wide, high = full[0] / plane.shape[1] > 1.5, full[1] / plane.shape[0] > 1.5
    if size[0] <= plane.shape[1] and size[1] <= plane.shape[0] and plane.shape != size[::-1]:
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    pixels_x = full[0] / plane.shape[1]
    pixels_y = full[1] / plane.shape[0]
    if size == full:  # of an odd side the last sample reaches beyond the picture
        pixels_x, pixels_y = round(pixels_x), round(pixels_y)
    # Offset of the samples from the centre of their pixels, in samples of the (possibly reduced) plane.
    shift_x = 0.5 / pixels_x if wide and location in ("left", "topleft") else 0.0
    shift_y = 0.5 / pixels_y if high and location == "topleft" else 0.0
    scale_x, scale_y = full[0] / size[0] / pixels_x, full[1] / size[1] / pixels_y
    if (scale_x, scale_y, shift_x, shift_y) == (1.0, 1.0, 0.0, 0.0):
        return plane
    to_source = np.array(
        [[scale_x, 0, 0.5 * scale_x - 0.5 + shift_x], [0, scale_y, 0.5 * scale_y - 0.5 + shift_y]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(plane, to_source, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.float32, copy=False)


def _stack(channels: list[FloatArray]) -> FloatArray:
    return np.maximum(np.stack(channels, axis=-1), 0, dtype=np.float32)
