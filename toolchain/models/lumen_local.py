"""`lumen-local`: a smooth edge-aware gain over the curve of `lumen-shot`, from a network that sees each moment anew.

The curve is bound to a shot as any other; baked at five gains behind the guards it is a stack of tables
(`gain_members`, toolchain.gain_grid). For a frame the network gives a bilateral grid (`LumenLocal.grid_for`), held
steady over frames by toolchain.expanders.GridTrack, which says where in the stack each pixel lies. `image_function`
does the same to a still in float64 without tables: it is the model's definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import convert
from toolchain.color.transfer import bt1886_eotf, bt1886_eotf_inverse, pq_eotf, pq_eotf_inverse
from toolchain.color.ycbcr import code_range, ycbcr_to_rgb_matrix
from toolchain.gain_grid import guide_signal, slice_grid
from toolchain.models.lumen import SMALL_SIZE, LumenShot, Run, session_run, small_picture
from toolchain.models.spec import (
    Controls,
    FloatArray,
    ModelSpec,
    Picture,
    PixelFunction,
    RuntimeName,
    ShotContext,
)

if TYPE_CHECKING:
    from toolchain.kernel import FrameSpec  # brings the compiler

GAINS_EV = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Gains of the stack's tables, evenly apart."""

STACK_SIZE = 33
"""LUT size of the stack: lumen's curves are smooth enough for it, and five tables of it bake as fast as one of 65."""

Values = NDArray[np.float32]
"""(8, 9, 16) float32: a grid in units of the stack's tables, 0 to 4, as `toolchain.gain_grid.GainGrid` takes it."""


@dataclass(frozen=True)
class LumenLocal:
    """The curve of lumen-shot with the network's gain on top.

    `curve`: the model under the gain. `run`: the network's `condition` graph ({"small": (1, 3, 144, 256)} ->
    {"numbers": (1, 8, 9, 16)}); by default a session of the runtime in use.
    """

    spec: ModelSpec
    curve: LumenShot | None = None
    run: Run | None = None

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        """The pointwise base alone, without any gain."""
        return self._curve().bind(shot, controls)

    def grid_for(self, small: NDArray[np.float32], runtime: RuntimeName | None = None) -> Values:
        """(3, 144, 256) BT.709 R'G'B' in [0, 1] (`lumen.small_picture`, or `small_from_planes`) -> the grid.

        `runtime`: as in `Controls`.
        """
        run = self.run or session_run(self.spec.id, runtime)
        return values_from_ev(run({"small": np.ascontiguousarray(small[np.newaxis], dtype=np.float32)})["numbers"][0])

    def bind_image(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        """Of one whole still (H, W, 3), display-linear BT.2020 -> nits: anchored, saturated, guarded, with gain."""
        from toolchain.models.guards import bind_unguarded

        members = gain_members(bind_unguarded(self.spec.id, shot, controls), controls)
        return image_function(members, lambda picture: self.grid_for(small_picture(picture), controls.runtime))

    def _curve(self) -> LumenShot:
        if self.curve is not None:
            return self.curve
        from toolchain.models.registry import get_spec

        return LumenShot(get_spec("lumen-shot"))


def values_from_ev(gain_ev: NDArray[np.floating]) -> Values:
    """A grid in EV to units of the stack, clipped to its ends; what is no number becomes no gain."""
    step = GAINS_EV[1] - GAINS_EV[0]
    units = (np.nan_to_num(gain_ev, nan=0.0) - GAINS_EV[0]) / step
    return np.clip(units, 0, len(GAINS_EV) - 1).astype(np.float32, order="C")


def gain_members(expand: PixelFunction, controls: Controls) -> tuple[PixelFunction, ...]:
    """`expand`, not yet guarded, at each of `GAINS_EV`, each behind all guards: what `bake` makes the stack of."""
    from toolchain.models.guards import guarded

    def at(gain_ev: float) -> PixelFunction:
        return guarded(lambda rgb: expand(rgb) * 2.0**gain_ev, controls)

    return tuple(at(gain_ev) for gain_ev in GAINS_EV)


def image_function(members: Sequence[PixelFunction], grid_of: Callable[[Picture], Values]) -> PixelFunction:
    """(H, W, 3) display-linear BT.2020 -> nits: the two members each pixel lies between, mixed as PQ signals.

    Colours that are no picture, (N, 3), get no gain.
    """

    def expand(rgb: FloatArray) -> FloatArray:
        rgb = np.asarray(rgb, dtype=np.float64)
        if rgb.ndim != 3:
            return members[GAINS_EV.index(0.0)](rgb)
        signal = bt1886_eotf_inverse(np.clip(convert(rgb, "bt2020", "bt709"), 0.0, 1.0))
        value = slice_grid(grid_of(rgb.astype(np.float32)), guide_signal(signal))
        mixed = np.zeros_like(rgb)
        for index, member in enumerate(members):
            weight = np.clip(1 - np.abs(value - index), 0, 1)
            used = weight > 0
            if used.any():
                mixed[used] += weight[used][:, np.newaxis] * pq_eotf_inverse(member(rgb[used]))
        return pq_eotf(mixed)

    return expand


def small_from_planes(planes: Sequence[NDArray[np.integer]], spec: FrameSpec) -> NDArray[np.float32]:
    """Decoded planes as `toolchain.kernel.apply` takes them -> the network's (3, 144, 256) picture.

    Each plane is area-averaged by itself, which costs a tenth of what the whole picture as R'G'B' would.
    """
    import cv2

    sides = zip(planes, spec.input_shapes, strict=False)
    small = [
        cv2.resize(np.ascontiguousarray(plane[:rows, :columns]), SMALL_SIZE[::-1], interpolation=cv2.INTER_AREA)
        for plane, (rows, columns) in sides
    ]
    signal = _rgb_signal(np.stack(small * (3 // len(small)), axis=-1).astype(np.float32), spec)
    if spec.color.primaries != "bt709":
        light = convert(bt1886_eotf(np.clip(signal, 0, 1)), spec.color.primaries, "bt709")
        signal = bt1886_eotf_inverse(np.clip(light, 0, 1))
    return np.ascontiguousarray(np.clip(signal, 0, 1).transpose(2, 0, 1), dtype=np.float32)


def _rgb_signal(codes: FloatArray, spec: FrameSpec) -> FloatArray:
    """(H, W, 3) codes of three planes (or of one, thrice) to R'G'B'."""
    y_offset, y_scale, c_offset, c_scale = code_range(spec.bit_depth, spec.color.range)
    planar = (codes - y_offset) / y_scale
    if spec.chroma in ("rgb", "4:0:0"):
        return planar
    if spec.color.matrix == "rgb":
        return planar[..., [2, 0, 1]]
    chroma = (codes[..., 1:] - c_offset) / c_scale
    return np.concatenate([planar[..., :1], chroma], axis=-1) @ ycbcr_to_rgb_matrix(spec.color.matrix).T
