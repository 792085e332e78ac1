"""Contours: a smooth tone of the source does not come out as a staircase.

CAMBI (`analysis.vqa.cambi`) looks for edges between flat areas, and an encoder softens those below what it counts.
The staircase itself survives: averaged over all smooth places of one source tone, the output is too bright just above
each step and too dark just below it, and coding noise averages out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.tones import TINY_NITS
from analysis.vqa.view import SourceView, View
from toolchain.color.transfer import pq_eotf_inverse

CODES = 1023
NEIGHBOURS_PX = 15
"""A smooth place is compared with its surroundings of this size, so that tones and not objects are compared."""

TREND_CODES = 12
"""Half the range of tones over which an expansion's own curve is taken for a parabola."""

MAX_SLOPE = 2.5
MAX_ROUGH = 4.0
MIN_RANGE = 6.0
MIN_NITS = 1.0
MIN_SHARE = 0.01
MIN_PIXELS = 60
"""A tone that fewer smooth pixels have says nothing."""

MIN_TONES = 8
NOISE_PIXELS = 4
"""Neighbouring pixels err alike: of so many about one counts."""


def contour_codes(view: View) -> float | None:
    """How far the output steps about its own smooth curve over source tones, root mean square, in ten-bit PQ codes.

    None where less than a hundredth of the frame is smooth, or its tones are too few. Graphics are left out.
    """
    smooth = view.of_source.once(_smooth)
    if view.pair.graphics_mask is not None:
        smooth = smooth & (cv2.dilate(view.pair.graphics_mask, np.ones((NEIGHBOURS_PX, NEIGHBOURS_PX))) < 0.1)
    if np.count_nonzero(smooth) < MIN_SHARE * smooth.size:
        return None
    source, rise = (value[smooth] for value in (view.of_source.once(_fine_codes), view.once(_unexplained)))
    tone = np.clip(np.rint(source), 0, CODES).astype(np.int32)
    count, total, square = (np.bincount(tone, power, CODES + 1) for power in (np.ones_like(rise), rise, rise * rise))
    known = count >= MIN_PIXELS
    if np.count_nonzero(known) < MIN_TONES:
        return None
    count = np.where(known, count, 0.0)
    mean = total / np.maximum(count, 1)
    chance = np.maximum(square / np.maximum(count, 1) - mean * mean, 0) * NOISE_PIXELS
    excess = count * (mean - _trend(count, np.where(known, mean, 0.0))) ** 2 - np.where(known, chance, 0.0)
    return float(np.sqrt(max(excess.sum() / count.sum(), 0.0)))


def _smooth(source: SourceView) -> NDArray[np.bool_]:
    """Pixels of gentle gradients: neither flat nor textured nor an edge, nor black."""
    codes = source.once(_source_codes)
    soft = cv2.blur(codes, (5, 5))
    slope = np.hypot(*(cv2.Sobel(soft, -1, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))))
    rough = cv2.blur(np.abs(codes - soft), (9, 9))
    wide = cv2.dilate(soft, np.ones((31, 31))) - cv2.erode(soft, np.ones((31, 31)))
    gentle = cv2.dilate(slope, np.ones((9, 9))) < MAX_SLOPE
    return gentle & (rough < MAX_ROUGH) & (wide > MIN_RANGE) & (source.y > MIN_NITS)


def _source_codes(source: SourceView) -> Image:
    return _codes(source.y)


def _fine_codes(source: SourceView) -> Image:
    return np.asarray(cv2.blur(source.once(_source_codes), (3, 3)), np.float32)


def _unexplained(view: View) -> Image:
    """The output's difference to its surroundings less the source's at the slope that fits there, in codes."""
    source, output = view.of_source.once(_fine_codes), cv2.blur(_codes(view.output_y), (3, 3))
    source_step, output_step = source - _around(source), output - _around(output)
    slope = _around(source_step * output_step) / (_around(source_step * source_step) + np.float32(0.5))
    return np.asarray(output_step - slope * source_step, np.float32)


def _around(image: NDArray) -> Image:
    return np.asarray(cv2.blur(image, (NEIGHBOURS_PX, NEIGHBOURS_PX)), np.float32)


def _trend(weight: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """At each tone the parabola that fits the values within TREND_CODES best, by weight."""
    offset = np.arange(-TREND_CODES, TREND_CODES + 1) / TREND_CODES

    def moment(of: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        return np.convolve(of, (offset**power)[::-1], "same")

    moments = [moment(weight, power) for power in range(5)]
    matrix = np.stack([np.stack([moments[row + column] for column in range(3)], -1) for row in range(3)], -2)
    right = np.stack([moment(weight * values, power) for power in range(3)], -1)
    # A ridge far below any weight: tones without neighbours have no parabola.
    return np.asarray(np.linalg.solve(matrix + 1e-6 * np.eye(3), right[..., None])[:, 0, 0], np.float64)


def _codes(nits: Image) -> Image:
    return (CODES * pq_eotf_inverse(np.maximum(nits, np.float32(TINY_NITS)))).astype(np.float32)


CONTOURS = MetricSpec(
    "contours", "ten-bit codes", (0.0, 1023.0), "lower", "PQ luma in smooth places, by source tone", "gate",
    "staircases in smooth tones", neutral=0.0, measure=contour_codes, absent="no smooth gradients",
)  # fmt: skip
