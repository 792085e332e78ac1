"""What turns a decoded frame into the encoder's planes: a shot's table, a stack of tables under a gain grid, or a
network that sees the whole picture.

`at(number, frame)` is asked for in rising order by one thread; the function it returns then runs on any thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.gain_grid import GainGrid, LutStack, stack_luts
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

    def first_needed(self, number: int) -> int:
        """The frame from which on `at` must have been asked for frame `number` to come out right."""
        ...

    def at(self, number: int, frame: av.VideoFrame) -> FrameFunction:
        """What to do with frame `number`, decoded and not yet restored."""
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

    def first_needed(self, number: int) -> int:
        return number

    def at(self, number: int, frame: av.VideoFrame) -> FrameFunction:
        held = self._tables.at(number)
        table = held.own if held.other is None else blend(held.own, held.other, held.other_share)
        mask = self._mask_of(held.shot.index)
        graphics = None if mask is None else GraphicsMask(mask, self._graphics_table)

        def expand(frame: av.VideoFrame, out: Planes, spec: FrameSpec) -> None:
            apply(planes(frame), out, spec, table, graphics)

        return expand


Grid = NDArray[np.float32]
"""(bins, rows, columns) in units of the stack's tables, see `toolchain.gain_grid.GainGrid`."""

Predict = Callable[[av.VideoFrame], Grid]

PREDICT_EVERY = 4
"""Frames from one predicted grid to the next."""

GRID_WINDOW = 3
"""Steps between predictions over which a grid is averaged: at 24 frames/s half a second."""


class GridTrack:
    """The grid of every frame: the mean of a window of predictions that slides evenly, so that no frame jumps.

    Predictions are made every `PREDICT_EVERY` frames after a cut and are nobody's memory beyond the window: a render
    that goes on in the middle sees the same grids once it has seen the window's frames.
    """

    def __init__(self, shots: Sequence[Shot], predict: Predict):
        self._run_starts = [shot.start_frame for shot in shots if shot.hard_cut or shot.index == 0]
        self._predict = predict
        self._known: dict[int, Grid] = {}

    def first_needed(self, number: int) -> int:
        """The first frame whose prediction still counts at frame `number`."""
        start = self._run_start(number)
        steps = max(0, (number - start) // PREDICT_EVERY - GRID_WINDOW)
        return start + steps * PREDICT_EVERY

    def at(self, number: int, frame: av.VideoFrame) -> Grid:
        """The grid of frame `number`; a prediction is made when one is due."""
        start = self._run_start(number)
        step, phase = divmod(number - start, PREDICT_EVERY)
        if phase == 0:
            oldest = self.first_needed(number)
            self._known = {key: grid for key, grid in self._known.items() if oldest <= key < number}
            self._known[number] = self._predict(frame)
        into = np.float32(phase / PREDICT_EVERY)
        # The newest comes in as the oldest goes out; the whole ones between weigh alike.
        weights = [into, *[np.float32(1)] * (GRID_WINDOW - 1), 1 - into]
        # Only frames seen for the window's sake lack older grids, and nobody draws those.
        oldest = min(self._known)
        grids = [self._known[max(oldest, start + (step - back) * PREDICT_EVERY)] for back in range(GRID_WINDOW + 1)]
        total = sum((weight * grid for weight, grid in zip(weights, grids, strict=True)), np.float32(0))
        return np.ascontiguousarray(total / np.float32(GRID_WINDOW), dtype=np.float32)

    def _run_start(self, number: int) -> int:
        """The last cut at or before frame `number`."""
        return self._run_starts[bisect_right(self._run_starts, number) - 1]


class GridExpander:
    """Every pixel through the tables of its shot's stack that the frame's gain grid says (`toolchain.gain_grid`)."""

    def __init__(
        self,
        shots: Sequence[Shot],
        frame_rate: float,
        bake_shot: Callable[[Shot], tuple[Lut3d, ...]],
        predict: Predict,
        mask_of: MaskOf,
        graphics_table: Lut3d,
    ):
        self._stacks = ShotValues(shots, frame_rate, bake_shot)
        self._whole_stacks: dict[int, tuple[tuple[Lut3d, ...], LutStack]] = {}
        self._track = GridTrack(shots, predict)
        self._mask_of = mask_of
        self._graphics_table = graphics_table

    def first_needed(self, number: int) -> int:
        return self._track.first_needed(number)

    def at(self, number: int, frame: av.VideoFrame) -> FrameFunction:
        held = self._stacks.at(number)
        grid = GainGrid(self._track.at(number, frame), self._stack(held))
        mask = self._mask_of(held.shot.index)
        graphics = None if mask is None else GraphicsMask(mask, self._graphics_table)
        own = held.own[0]

        def expand(frame: av.VideoFrame, out: Planes, spec: FrameSpec) -> None:
            apply(planes(frame), out, spec, own, graphics, grid)

        return expand

    def _stack(self, held: Held[tuple[Lut3d, ...]]) -> LutStack:
        """The shot's stack, laid side by side once; near a boundary that is no cut, mixed with the neighbour's."""
        if held.other is not None:
            pairs = zip(held.own, held.other, strict=True)
            return stack_luts([blend(own, other, held.other_share) for own, other in pairs])
        index = held.shot.index
        if self._whole_stacks.get(index, (None, None))[0] is not held.own:
            self._whole_stacks = {index: (held.own, stack_luts(held.own))}
        return self._whole_stacks[index][1]


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

    def first_needed(self, number: int) -> int:
        return number

    def at(self, number: int, frame: av.VideoFrame) -> FrameFunction:
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
    return full[: spec.height, : spec.width].astype(np.float32, copy=False)


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
        out[index][:rows, :columns] = _rounded(soft[::down, ::across].astype(np.float32, copy=False))


def _rounded(plane: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.floor(plane + np.float32(0.5)).astype(np.uint16)
