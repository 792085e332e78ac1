"""Flat, outlined shapes as a cartoon has them: anti-aliased masks from OpenCV, blended in linear light."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.scenes.canvas import Image, colour

Points = Sequence[tuple[float, float]] | NDArray[np.floating]
MaskPainter = Callable[[NDArray[np.uint8], NDArray[np.int32]], object]
INK_WIDTH = 0.007
INK = colour(0.022, 0.016, 0.026)
_SUBPIXEL_BITS = 4


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], start_deg: float = 0, end_deg: float = 360
) -> Points:
    """Points of an ellipse or of its arc, in heights; angles run clockwise from the right."""
    angles = np.radians(np.linspace(start_deg, end_deg, 49))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """The corners of a rectangle, in heights."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


class Brush:
    """Draws on one (H, W, 3) float32 canvas in nits. x counts from the centre and y from the top, in heights."""

    def __init__(self, canvas: Image) -> None:
        self.canvas = canvas
        self._height, self._width = canvas.shape[:2]

    def fill(self, points: Points, paint: Image, outline: bool = False) -> None:
        """A filled polygon, with an ink line around it if asked."""
        pixels = self._pixels(points)
        self._blend(pixels, paint, 0, lambda mask, at: cv2.fillPoly(mask, [at], 255, cv2.LINE_AA, _SUBPIXEL_BITS))
        if outline:
            self.line([*points, points[0]], INK, INK_WIDTH)

    def line(self, points: Points, paint: Image, width: float) -> None:
        """A polyline with round joints, `width` heights thick and never thinner than a pixel."""
        thickness = max(1, round(width * self._height))

        def draw(mask: NDArray[np.uint8], at: NDArray[np.int32]) -> None:
            cv2.polylines(mask, [at], False, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

        self._blend(self._pixels(points), paint, thickness, draw)

    def limb(self, points: Points, paint: Image, width: float) -> None:
        """A thick line with an ink outline: an arm or a leg."""
        self.line(points, INK, width + 2 * INK_WIDTH)
        self.line(points, paint, width)

    def text(self, words: str, baseline: tuple[float, float], paint: Image, size: float) -> None:
        """Capitals of `size` heights, centred on the baseline point."""
        font, thickness = cv2.FONT_HERSHEY_DUPLEX, max(2, round(size * self._height / 8))
        scale = cv2.getFontScaleFromHeight(font, max(4, round(size * self._height)), thickness)
        (wide, _), _ = cv2.getTextSize(words, font, scale, thickness)
        mask = np.zeros((self._height, self._width), np.uint8)
        left = round(self._width / 2 + baseline[0] * self._height - wide / 2)
        cv2.putText(mask, words, (left, round(baseline[1] * self._height)), font, scale, 255, thickness, cv2.LINE_AA)
        self._lay(mask, slice(0, self._height), slice(0, self._width), paint)

    def _pixels(self, points: Points) -> NDArray[np.float64]:
        return np.asarray(points, dtype=np.float64) * self._height + (self._width / 2, 0.0)

    def _blend(self, pixels: NDArray[np.float64], paint: Image, thickness: int, draw: MaskPainter) -> None:
        """Draw a mask in the shape's bounding box only, then lay the paint through it."""
        reach = thickness / 2 + 2
        left, top = np.maximum(np.floor(pixels.min(axis=0) - reach), 0).astype(int)
        right, bottom = np.minimum(np.ceil(pixels.max(axis=0) + reach), (self._width, self._height)).astype(int)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        at = np.round((pixels - 0.5 - (left, top)) * 2**_SUBPIXEL_BITS).astype(np.int32)
        draw(mask, at)
        self._lay(mask, slice(top, bottom), slice(left, right), paint)

    def _lay(self, mask: NDArray[np.uint8], rows: slice, columns: slice, paint: Image) -> None:
        target = self.canvas[rows, columns]
        target += (mask.astype(np.float32) / 255.0)[..., None] * (paint - target)
