"""What turns a decoded frame into the encoder's planes: a shot's colour table, or a network that sees the picture.

`at(number)` is asked for in rising order by one thread; the function it returns then runs on any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.kernel import FrameSpec, GraphicsMask, Planes, apply
from toolchain.lut import Lut3d, blend, exact
from toolchain.models.spec import PixelFunction
from toolchain.segments import Held, ShotValues
from toolchain.video.decode import planes
from toolchain.video.picture import rgb_signal
from toolchain.video.shots import Shot

FrameFunction = Callable[[av.VideoFrame, Planes, FrameSpec], None]
"""(decoded frame, the encoder's planes, what both hold): fills the planes."""

MaskOf = Callable[[int], NDArray[np.float32] | None]
"""Shot index -> its graphics mask of 16x16 blocks, or None."""


class Expander(Protocol):
    """How frames are expanded. Frames are asked for in rising order, from any first one on."""

    def at(self, number: int) -> FrameFunction:
        """What to do with frame `number`."""
        ...


class TableExpander:
    """Every pixel through its shot's table, eased where no cut explains a change.

    `graphics_table` (doing nothing) takes over where the mask is set.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        frame_rate: float,
        bake_shot: Callable[[Shot], Lut3d],
        mask_of: MaskOf,
        graphics_table: Lut3d,
    ):
        self._tables = ShotValues(shots, frame_rate, bake_shot)
        self._mask_of = mask_of
        self._graphics_table = graphics_table

    def at(self, number: int) -> FrameFunction:
        held = self._tables.at(number)
        table = held.own if held.other is None else blend(held.own, held.other, held.other_share)
        mask = self._mask_of(held.shot.index)
        graphics = None if mask is None else GraphicsMask(mask, self._graphics_table)

        def expand(frame: av.VideoFrame, out: Planes, spec: FrameSpec) -> None:
            apply(planes(frame), out, spec, table, graphics)

        return expand


class PictureExpander:
    """Every frame through a function of the whole picture, bound once a shot.

    Across a boundary that is no cut both shots' functions run and their codes are mixed; on graphics the codes of
    `graphics` (doing nothing) take over.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        frame_rate: float,
        bind_shot: Callable[[Shot], PixelFunction],
        mask_of: MaskOf,
        graphics: PixelFunction,
    ):
        self._functions = ShotValues(shots, frame_rate, bind_shot)
        self._mask_of = mask_of
        self._graphics = graphics

    def at(self, number: int) -> FrameFunction:
        held = self._functions.at(number)
        mask = self._mask_of(held.shot.index)

        def expand(frame: av.VideoFrame, out: Planes, spec: FrameSpec) -> None:
            write_codes(self._codes(frame, spec, held, mask), out, spec)

        return expand

    def _codes(
        self, frame: av.VideoFrame, spec: FrameSpec, held: Held[PixelFunction], mask: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        signal = rgb_signal(frame, spec.color)
        codes = exact(signal, held.own, spec.color, spec.output).astype(np.float32)
        if held.other is not None:
            codes += np.float32(held.other_share) * (exact(signal, held.other, spec.color, spec.output) - codes)
        if mask is not None and mask.any():
            weights = _mask_weights(mask, spec)[..., np.newaxis]
            codes += weights * (exact(signal, self._graphics, spec.color, spec.output) - codes)
        return codes.astype(np.float32, copy=False)


def _mask_weights(mask: NDArray[np.float32], spec: FrameSpec) -> NDArray[np.float32]:
    """Block weights at picture size, bilinear between the blocks' centres."""
    rows, columns = mask.shape
    full = cv2.resize(np.clip(mask, 0, 1), (columns * 16, rows * 16), interpolation=cv2.INTER_LINEAR)
    return full[: spec.height, : spec.width]


_LOW_PASS = np.array([0.25, 0.5, 0.25], dtype=np.float32)
_NONE = np.ones(1, dtype=np.float32)


def write_codes(codes: NDArray[np.float32], out: Planes, spec: FrameSpec) -> None:
    """(H, W, 3) Y', Cb, Cr codes -> the encoder's planes, rounded half up.

    Chroma lies at "topleft" (BT.2020, HDR10), low-passed by [1 2 1] / 4 along each subsampled direction, as the
    fused kernel does.
    """
    shapes = spec.output_shapes
    out[0][: spec.height, : spec.width] = _rounded(codes[..., 0])
    rows, columns = shapes[1]
    down, across = -(-spec.height // rows), -(-spec.width // columns)
    kernel_x, kernel_y = (_LOW_PASS if step == 2 else _NONE for step in (across, down))
    for index in (1, 2):
        plane = np.ascontiguousarray(codes[..., index])
        soft = cv2.sepFilter2D(plane, cv2.CV_32F, kernel_x, kernel_y, borderType=cv2.BORDER_REPLICATE)
        out[index][:rows, :columns] = _rounded(soft[::down, ::across])


def _rounded(plane: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.floor(plane + np.float32(0.5)).astype(np.uint16)
