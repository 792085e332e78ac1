"""Drawing helpers in linear light. Every image is in BT.2020 nits unless it is a mask.

Lengths are in units of the picture's height and x counts from the picture's centre, so a scene keeps its composition
at every size and aspect.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.primaries import conversion_matrix

Image = NDArray[np.floating]
BT709_TO_BT2020 = np.asarray(conversion_matrix("bt709", "bt2020"), dtype=np.float64)
DIFFUSE_WHITE_NITS = 203.0  # BT.2408-7 section 2.2: HDR reference white


def colour(red: float, green: float, blue: float, nits: float = DIFFUSE_WHITE_NITS) -> Image:
    """Linear BT.709 components, 1.0 = `nits` -> BT.2020 nits, shape (3,)."""
    return (BT709_TO_BT2020 @ np.array([red, green, blue]) * nits).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a canvas that overhangs the picture by `margin` (heights) left, right, above and below."""

    width: int
    height: int
    margin: float

    @property
    def border_px(self) -> int:
        return int(np.ceil(self.margin * self.height)) + 2

    def axes(self) -> tuple[Image, Image]:
        """x of shape (1, W) from the centre, y of shape (H, 1) from the picture's top, both in heights."""
        border = self.border_px
        columns = np.arange(-border, self.width + border, dtype=np.float32) + 0.5
        rows = np.arange(-border, self.height + border, dtype=np.float32) + 0.5
        return ((columns - self.width / 2) / self.height)[None, :], (rows / self.height)[:, None]

    def crop(self, canvas: Image, right: float = 0.0, down: float = 0.0) -> Image:
        """The picture seen by a camera moved by (right, down) heights, bilinear; stays inside the margin."""
        border = self.border_px
        offset_x = border + np.clip(right, -self.margin, self.margin) * self.height
        offset_y = border + np.clip(down, -self.margin, self.margin) * self.height
        view = np.array([[1.0, 0.0, offset_x], [0.0, 1.0, offset_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(canvas, view, (self.width, self.height), flags=flags), dtype=np.float32)


def smoothstep(start: float, end: float, value: Image) -> Image:
    """0 at `start`, 1 at `end` (either may be the larger), with zero slope at both."""
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 5, gain: float = 0.5
) -> Image:
    """Smooth noise in [0, 1] of the given (rows, columns); `cells` are (down, across) features of the first octave.

    The random grid depends on `cells` alone, so another picture size shows the same pattern.
    """
    total = np.zeros(shape, dtype=np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        down, across = (max(2, round(count * 2**octave)) + 1 for count in cells)
        knots = rng.random((down, across), dtype=np.float32)
        total += amplitude * cv2.resize(knots, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        amplitude *= gain
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def rounded_box(x: Image, y: Image, centre: tuple[float, float], half: tuple[float, float], radius: float) -> Image:
    """Signed distance in heights to a rounded rectangle (negative inside)."""
    qx = np.abs(x - centre[0]) - (half[0] - radius)
    qy = np.abs(y - centre[1]) - (half[1] - radius)
    outside = np.hypot(np.maximum(qx, 0.0), np.maximum(qy, 0.0))
    return (outside + np.minimum(np.maximum(qx, qy), 0.0) - radius).astype(np.float32)


def coverage(distance: Image, softness: float) -> Image:
    """Anti-aliased mask of a signed distance: 1 inside, 0 outside, over `softness` heights."""
    return np.clip(0.5 - distance / softness, 0.0, 1.0).astype(np.float32)


def blend(canvas: Image, paint: Image, mask: Image) -> None:
    """Lay `paint` (a colour or an image) over `canvas` where `mask` (H, W) is 1, in place."""
    canvas += mask[..., None] * (paint - canvas)


def grain(rng: np.random.Generator, width: int, height: int, strength: float) -> Image:
    """A multiplicative texture around 1.0, a little larger than the picture so that it can be moved every frame."""
    noise = rng.standard_normal((height + GRAIN_TRAVEL_PX, width + GRAIN_TRAVEL_PX)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.7)
    return (1.0 + strength / float(soft.std()) * soft).astype(np.float32)


GRAIN_TRAVEL_PX = 48


def apply_grain(picture: Image, texture: Image, seed: int, time_s: float) -> Image:
    """`picture` times a crop of `texture` that jumps with time, the same for the same (seed, time)."""
    rng = np.random.default_rng([seed, round(time_s * 1000)])
    down, across = rng.integers(0, GRAIN_TRAVEL_PX, 2)
    height, width = picture.shape[:2]
    return picture * texture[down : down + height, across : across + width, None]
