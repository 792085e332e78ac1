"""False contours made smooth again: where a picture is no rougher than rounding makes it, its local mean takes over.

A slope rounded to 8 bits stays within half a code of its own mean over a symmetric surround, whatever the slope. So
the spread about that mean tells steps (0.29 codes) from texture and noise (more), and needs no search for edges.
Surrounds of several sizes are tried, the widest that is smooth decides: bands are as wide as the slope is gentle.
The result has 12 bits and an ordered dither, because rounding a slope to 10 bits bands again once it is expanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from toolchain.color.ycbcr import code_range
from toolchain.models.registry import check_parameters, get_spec
from toolchain.video.decode import decoded_format, planes

Floats = NDArray[np.float32]
"""A plane, or a map of it, in 8-bit codes (the range not changed), HxW."""

MIN_BITS = 12
FINE_RADIUS_PX = 3
COARSE_RADII = (2, 4, 8, 16)
"""In cells of the shrunk picture: a cell is 4 pixels up to about 1080 lines, 8 at 2160."""

NOT_ROUNDING = 1.5
"""Nothing is changed from this many times the roughness up; in between, the change fades out."""

DITHERED_SHARE = (0.22, 0.4)
"""Share of unequal neighbours: up to the first it is a slope, from the second on fine grain that must stay."""

EQUAL = 0.3
"""Codes: neighbours closer than this are equal."""

EDGE_SHARE = np.float32(0.5)
"""An edge anywhere in the surround counts as roughness by this share of its own."""

LARGEST_CHANGE = 0.75
"""Codes: rounding alone makes 0.5; a coder adds a little."""

FLAT = 0.05
"""Codes of roughness: below it there is no slope, and dither fades out, so that a flat ground stays flat."""


def _bayer(doublings: int) -> Floats:
    """Threshold matrix with values spread evenly over (-0.5, 0.5) (B. E. Bayer, ICC 1973)."""
    matrix = np.zeros((1, 1))
    for _ in range(doublings):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return ((matrix + 0.5) / matrix.size - 0.5).astype(np.float32)


_BAYER = _bayer(3)


@dataclass(frozen=True)
class Debander:
    """The catalogue's model `deband` with its parameters fixed; those left out take their defaults.

    Raises UsageError for a parameter it has not or a value outside its range.
    """

    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_parameters(get_spec("deband"), dict(self.parameters))  # now, not at the first frame

    def restore(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A planar frame of 8 to 16 bits, as `toolchain.video.decode` gives it -> the same picture, range, time and
        colour tags at 12 bits or more. Pixels that are no part of a smooth slope keep their value exactly."""
        values = check_parameters(get_spec("deband"), dict(self.parameters))
        made = av.VideoFrame(frame.width, frame.height, decoded_format(frame.format.name, MIN_BITS))
        cell = 4 * max(1, round(min(frame.width, frame.height) / 1080))
        for index, (source, target) in enumerate(zip(planes(frame), planes(made), strict=True)):
            chroma = index > 0 and not frame.format.is_rgb
            depth_gain = np.float32(2.0 ** (8 - frame.format.components[0].bits))
            shrunk = max(2, cell * source.shape[1] // frame.width)
            smooth = debanded(source.astype(np.float32) * depth_gain, values["roughness"], values["dither"], shrunk)
            target[:] = _coded(smooth / depth_gain, frame, made, chroma)
        made.pts, made.dts, made.time_base = frame.pts, frame.dts, frame.time_base
        made.color_range, made.colorspace = frame.color_range, frame.colorspace
        made.color_primaries, made.color_trc = frame.color_primaries, frame.color_trc
        return made


def _coded(plane: Floats, frame: av.VideoFrame, made: av.VideoFrame, chroma: bool) -> NDArray[np.uint16]:
    """From codes of one frame's depth to whole ones of the other's."""
    usual = ColorRange.JPEG if frame.format.is_rgb or frame.format.name.startswith("yuvj") else ColorRange.MPEG
    full = (frame.color_range or usual) == ColorRange.JPEG
    before, after = (
        code_range(f.format.components[0].bits, "full" if full else "limited")[2 * chroma :][:2]
        for f in (frame, made)
    )
    gain = after[1] / before[1]
    codes = plane * np.float32(gain) + np.float32(after[0] - before[0] * gain)
    return np.clip(np.rint(codes), 0, 2 ** made.format.components[0].bits - 1).astype(np.uint16)


def debanded(plane: Floats, roughness: float, dither: float, cell: int = 4) -> Floats:
    """The plane with its false contours smoothed.

    `roughness`: root mean square deviation from the local mean, in codes, up to which it is taken for rounding.
    `dither`: height of the ordered dither in codes, where the plane was a slope. `cell`: pixels, see `COARSE_RADII`.
    """
    slope = _slope_share(plane, cell)
    weight, change = _fine_step(plane, roughness, slope)
    result = plane + weight * change
    cover, value, dithered = _coarse_steps(plane, roughness, slope, cell)
    cover, value, dithered = (_enlarged(part, plane.shape) for part in (cover, value, dithered))
    result = np.clip(result * (1 - cover) + value, plane - LARGEST_CHANGE, plane + LARGEST_CHANGE)
    height, width = plane.shape
    pattern = np.tile(_BAYER, (height // len(_BAYER) + 1, width // len(_BAYER) + 1))[:height, :width]
    return (result + np.float32(dither) * dithered * pattern).astype(np.float32, copy=False)


def _slope_share(plane: Floats, cell: int) -> Floats:
    """1 where neighbours are mostly equal, 0 where grain or dither keeps them apart; one value a cell."""
    unequal = np.zeros_like(plane)
    unequal[:, :-1] += np.abs(np.diff(plane, axis=1)) > EQUAL
    unequal[:-1] += np.abs(np.diff(plane, axis=0)) > EQUAL
    share = 0.5 * _triangle(_shrunk(unequal, cell), 1)
    return _falling(share, *DITHERED_SHARE)


def _fine_step(plane: Floats, roughness: float, slope: Floats) -> tuple[Floats, Floats]:
    """Weight and change by the nearest surround; it alone reaches close to edges."""
    change = _triangle(plane, FINE_RADIUS_PX) - plane
    spread = np.maximum(
        _spread(np.square(change), FINE_RADIUS_PX, 2), EDGE_SHARE * _largest(np.abs(change), FINE_RADIUS_PX)
    )
    return _falling(spread, roughness, NOT_ROUNDING * roughness) * _enlarged(slope, plane.shape), change


def _coarse_steps(plane: Floats, roughness: float, slope: Floats, cell: int) -> tuple[Floats, Floats, Floats]:
    """How far the wider surrounds take over, their value weighted so, and where dither goes; one value a cell."""
    small = _shrunk(plane, cell)
    blocky = cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_NEAREST)
    inside = _shrunk(np.square(plane - blocky), cell)
    cover, value, dithered = np.zeros_like(small), np.zeros_like(small), np.zeros_like(small)
    edges: Floats | None = None
    for radius in COARSE_RADII:
        mean = _triangle(small, radius)
        square = np.square(small - mean) + inside
        spread = _spread(square, radius, 1)
        edges = EDGE_SHARE * spread if edges is None else edges
        most = np.maximum(spread, _largest(edges, 2 * radius))
        weight = _falling(most, roughness, NOT_ROUNDING * roughness) * slope
        cover += weight * (1 - cover)
        value += weight * (mean - value)
        sloping = np.minimum(np.sqrt(_box(square, max(1, radius // 4))) / np.float32(FLAT), 1)
        dithered = np.maximum(dithered, weight * sloping)
    return cover, value, dithered


def _spread(square: Floats, radius: int, near: int) -> Floats:
    """Root mean square over the surround, or over a nearer one where that is more."""
    return np.sqrt(np.maximum(_box(square, radius), _box(square, near)))


def _largest(plane: Floats, radius: int) -> Floats:
    """Largest value within reach: the tail of an edge far away must not pass for a smooth slope."""
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(plane, kernel, borderType=cv2.BORDER_REPLICATE).astype(np.float32, copy=False)


def _box(plane: Floats, radius: int) -> Floats:
    size = (2 * radius + 1, 2 * radius + 1)
    return cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT).astype(np.float32, copy=False)


def _triangle(plane: Floats, radius: int) -> Floats:
    return _box(_box(plane, radius), radius)


def _falling(values: Floats, full: float, none: float) -> Floats:
    """1 up to `full`, 0 from `none` on."""
    return np.clip((np.float32(none) - values) / np.float32(none - full), 0, 1)


def _shrunk(plane: Floats, cell: int) -> Floats:
    size = (-(-plane.shape[1] // cell), -(-plane.shape[0] // cell))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _enlarged(cells: Floats, shape: tuple[int, ...]) -> Floats:
    return cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
