"""Runs a restoring network on decoded frames: planes in, planes out at 10 bits, tiled where the picture is large.

The network works on limited-range 4:2:0. Full-range codes and R'G'B' are mapped there and back. Other chroma formats
are averaged down to 4:2:0 for the network, and what it corrects is brought back to their own size and added: their
chroma keeps its detail, and also its finest noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range, rgb_to_ycbcr_matrix, ycbcr_to_rgb_matrix
from toolchain.errors import InputError
from toolchain.models.registry import check_parameters, get_spec
from toolchain.models.restore_strength import sigma_strength
from toolchain.runtimes.base import Session
from toolchain.video.decode import planes as plane_views

Floats = NDArray[np.float32]

CODE_TOP = 255.0
"""The network's unit: 8-bit codes / 255, so that 10-bit code c is c / 1020."""

SURROUND = 28
"""Pixels on each side that a corrected pixel depends on (26), as a multiple of 4. Frames are mirrored out by it."""

TILE_SIDE = 1984
"""Larger pictures are cut into equal tiles, which bounds memory; 1080p stays whole. A multiple of 4."""

_MARGIN = SURROUND // 2
_NEUTRAL = np.float32(128.0 / CODE_TOP)
_YCBCR_SHARES = np.array([[16, 128, 128], [219, 224, 224]], dtype=np.float32) / np.float32(CODE_TOP)
"""Offset and scale of limited-range Y', Cb, Cr as shares of the code range."""


def strengths(model_id: str, parameters: Mapping[str, float]) -> Floats:
    """(1, 2) the network's strengths; parameters left out take their defaults. UsageError: see `check_parameters`."""
    values = check_parameters(get_spec(model_id), dict(parameters))
    first = sigma_strength(values["sigma"]) if "sigma" in values else values["softness"]
    return np.array([[first, values["compression"]]], dtype=np.float32)


@dataclass(frozen=True)
class Restorer:
    """One restoring network with its numbers fixed. `session` runs the network's graph `restore`."""

    model_id: str
    parameters: Mapping[str, float]
    session: Session

    def __post_init__(self) -> None:
        strengths(self.model_id, self.parameters)  # raises UsageError now, not at the first frame

    def restore(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A planar Y'CbCr, grey or R'G'B' frame of 8 to 16 bits -> the same format, range, size, time and colour tags
        at 10 bits. Raises InputError for another layout."""
        depth, full = _layout(frame)
        if frame.format.is_rgb:
            shares = _rgb_to_limited(plane_views(frame), depth, full)
            codes = _limited_to_rgb(self._restore_planes(shares[0], shares[1:]), full)
        else:
            shares = [_to_limited(view, depth, full, index > 0) for index, view in enumerate(plane_views(frame))]
            restored = self._restore_planes(shares[0], shares[1:])
            codes = [_to_ten_bits(plane, full, index > 0) for index, plane in enumerate(restored)]
        return _frame_like(frame, codes)

    def _restore_planes(self, luma: Floats, chroma: list[Floats]) -> list[Floats]:
        """Limited-range shares of the code range, each plane in its own size, -> the same planes."""
        half = (-(-luma.shape[0] // 2), -(-luma.shape[1] // 2))
        small = [_resized(plane, half) for plane in chroma] or [np.full(half, _NEUTRAL)] * 2
        result = self._run(_with_surround(luma, small), half)
        whole = _shuffled(result[:4])[: luma.shape[0], : luma.shape[1]]
        mended = [
            after if plane.shape == half else plane + _resized(after - before, plane.shape)
            for plane, before, after in zip(chroma, small, result[4:], strict=False)
        ]
        return [whole, *mended]

    def _run(self, wide: Floats, half: tuple[int, int]) -> Floats:
        """(6, h, w) with its surround -> (6, *half) without, in equal tiles."""
        strength = strengths(self.model_id, self.parameters)
        height, width = (length - 2 * _MARGIN for length in wide.shape[1:])
        out = np.empty((6, height, width), np.float32)
        for (top, bottom), (left, right) in product(_spans(height), _spans(width)):
            tile = wide[:, top : bottom + 2 * _MARGIN, left : right + 2 * _MARGIN]
            given = {"planes": np.ascontiguousarray(tile[np.newaxis]), "strength": strength}
            (restored,) = self.session.run(given).values()
            out[:, top:bottom, left:right] = restored[0, :, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        return out[:, : half[0], : half[1]]


def _spans(length: int) -> list[tuple[int, int]]:
    """Even [start, end) of equal size that cover an even `length`; the last one is moved inwards."""
    count = -(-length // (TILE_SIDE // 2))
    size = -(-length // count)
    size += size % 2
    starts = [min(index * size, length - size) for index in range(count)]
    return [(start, start + size) for start in starts]


def _with_surround(luma: Floats, chroma: list[Floats]) -> Floats:
    """Six planes at half size, even, with the picture mirrored outwards by the surround on every side.

    Mirrored about the edge between pixels, so that chroma samples stay with their 2x2 pixels.
    """
    rows, columns = chroma[0].shape
    below, right = _MARGIN + rows % 2, _MARGIN + columns % 2
    fold = cv2.BORDER_REFLECT
    mirrored = [cv2.copyMakeBorder(plane, _MARGIN, below, _MARGIN, right, fold) for plane in chroma]
    odd_row, odd_column = 2 * rows - luma.shape[0], 2 * columns - luma.shape[1]
    wide = cv2.copyMakeBorder(luma, SURROUND, 2 * below + odd_row, SURROUND, 2 * right + odd_column, fold)
    return np.stack([*(wide[y::2, x::2] for y in (0, 1) for x in (0, 1)), *mirrored]).astype(np.float32, copy=False)


def _shuffled(phases: Floats) -> Floats:
    _, height, width = phases.shape
    luma = np.empty((2 * height, 2 * width), np.float32)
    for index in range(4):
        luma[index // 2 :: 2, index % 2 :: 2] = phases[index]
    return luma


def _resized(plane: Floats, shape: tuple[int, ...]) -> Floats:
    if plane.shape == shape:
        return plane
    method = cv2.INTER_AREA if plane.size > shape[0] * shape[1] else cv2.INTER_LINEAR
    return cv2.resize(plane, (shape[1], shape[0]), interpolation=method).astype(np.float32, copy=False)


def _layout(frame: av.VideoFrame) -> tuple[int, bool]:
    """Bit depth, and whether the codes use the full range."""
    form = frame.format
    depth = form.components[0].bits
    planar = form.name.startswith(("yuv", "gray", "gbrp")) and len(frame.planes) == len(form.components) in (1, 3)
    if not planar or form.is_big_endian or not 8 <= depth <= 16:
        raise InputError(f"A frame of {form.name} cannot be restored: give planar Y'CbCr, grey or R'G'B' to 16 bits.")
    usual = ColorRange.JPEG if form.is_rgb else ColorRange.MPEG
    return depth, form.name.startswith("yuvj") or (frame.color_range or usual) == ColorRange.JPEG


def _to_limited(view: NDArray[np.integer], depth: int, full: bool, chroma: bool) -> Floats:
    """Codes -> limited-range shares of the code range (8-bit code / 255)."""
    shares = view.astype(np.float32) * np.float32(1 / (2 ** (depth - 8) * CODE_TOP))
    if not full:
        return shares
    gain, offset = _full_to_limited(depth, chroma)
    return shares * np.float32(gain) + np.float32(offset)


def _to_ten_bits(shares: Floats, full: bool, chroma: bool) -> NDArray[np.uint16]:
    if full:
        gain, offset = _full_to_limited(10, chroma)
        shares = (shares - np.float32(offset)) / np.float32(gain)
    return np.clip(np.rint(shares * np.float32(4 * CODE_TOP)), 0, 1023).astype(np.uint16)


def _rgb_to_limited(views: Sequence[NDArray[np.integer]], depth: int, full: bool) -> list[Floats]:
    """Codes of R', G', B' -> limited-range shares of Y', Cb, Cr by BT.709's matrix."""
    offset, scale = code_range(depth, "full" if full else "limited")[:2]
    signal = (np.stack(views, axis=-1).astype(np.float32) - np.float32(offset)) / np.float32(scale)
    ycbcr = signal @ rgb_to_ycbcr_matrix("bt709").T.astype(np.float32)
    return list(np.ascontiguousarray(np.moveaxis(ycbcr * _YCBCR_SHARES[1] + _YCBCR_SHARES[0], -1, 0)))


def _limited_to_rgb(shares: Sequence[Floats], full: bool) -> list[NDArray[np.uint16]]:
    """The inverse, at 10 bits."""
    offset, scale = code_range(10, "full" if full else "limited")[:2]
    ycbcr = (np.stack(shares, axis=-1) - _YCBCR_SHARES[0]) / _YCBCR_SHARES[1]
    codes = ycbcr @ ycbcr_to_rgb_matrix("bt709").T.astype(np.float32) * np.float32(scale) + np.float32(offset)
    return list(np.moveaxis(np.clip(np.rint(codes), 0, 1023).astype(np.uint16), -1, 0))


def _full_to_limited(depth: int, chroma: bool) -> tuple[float, float]:
    """limited = gain * full + offset, both as shares of the code range."""
    y_offset, y_scale, c_offset, c_scale = code_range(depth, "limited")
    _, full_scale, full_middle, _ = code_range(depth, "full")
    unit = 2 ** (depth - 8) * CODE_TOP
    if chroma:
        return c_scale / full_scale, (c_offset - full_middle * c_scale / full_scale) / unit
    return y_scale / full_scale, y_offset / unit


def _frame_like(frame: av.VideoFrame, codes: list[NDArray[np.uint16]]) -> av.VideoFrame:
    """A 10-bit frame of `codes` with the other frame's chroma format, times and colour tags."""
    chroma = frame.format.name.replace("yuvj", "yuv").partition("p")[0]
    name = "gray10le" if chroma.startswith("gray") else f"{chroma}p10le"
    made = av.VideoFrame(frame.width, frame.height, name)
    for view, plane in zip(plane_views(made), codes, strict=True):
        view[:] = plane
    made.pts, made.dts = frame.pts, frame.dts
    if frame.time_base is not None:
        made.time_base = frame.time_base
    made.color_range, made.colorspace = frame.color_range, frame.colorspace
    made.color_primaries, made.color_trc = frame.color_primaries, frame.color_trc
    return made
