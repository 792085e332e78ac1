"""Clipping and crushing: no detail of the source ends as flat white or flat black."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.tones import TINY_NITS
from analysis.vqa.view import View, largest

OWN_TOP = 0.97
"""The source's own flat top begins at this part of its brightest thousandth."""

DIM_NITS = 20.0
"""A frame that stays below has no highlights to clip, and its brightest pixels are coding steps."""

FLAT_SLOPE = 0.2
"""Stops of output a stop of source: below this nothing of the source's shading is to be seen. Doing nothing has 1."""

BIN_STOPS = 0.05
TOP_STOPS = 2.0
LEAST_STOPS = 0.1
"""A flat top that spans less of the source's range hides nothing to speak of."""

MIN_PIXELS = 30
CROWD = 4
"""No tone counts for more than this many typical ones: a large sky must not decide alone."""

VISIBLE_NITS = 0.15
"""A source signal of 5 %. On a 203-nit display what lies below is black to the eye."""

CRUSHED_SHARE = 0.25
"""Light left of a crushed shadow: two stops are gone. Of published curves BT.2446 B takes most, 1.3."""


def clipped_points(view: View) -> float:
    """Percent of pixels that the output shows as one flat top and the source does not.

    The top is flat as far down as the output hardly rises with the source, by the largest component of each pixel.
    Medians over all pixels of a tone: an encoder's overshoot beside edges lifts single pixels 5 to 30 % above a flat
    top. The source at the exposure asked for, and each side held to its own top. Half size; graphics are left out.
    """
    source, output = largest(view.reference.half), largest(view.half_output)
    top = _brightest(source)
    if top < DIM_NITS:
        return 0.0
    if view.pair.graphics_mask is not None:
        letters = cv2.resize(view.pair.graphics_mask, source.shape[::-1], interpolation=cv2.INTER_AREA)
        free = cv2.dilate(letters, np.ones((5, 5))) < 0.1
    else:
        free = np.ones(source.shape, bool)
    below = (np.log2(top) - np.log2(np.maximum(source[free], np.float32(TINY_NITS)))) / BIN_STOPS
    last = _flat_until(np.maximum(below, 0), output[free])
    flat = (below < last) & (source[free] < OWN_TOP * top)
    return 100 * np.count_nonzero(flat) / source.size


def _flat_until(below: NDArray[np.floating], output: Image) -> int:
    """How many bins from the source's top down the output's flat top reaches; 0 where it has none.

    `below`: each pixel's distance from the source's top in bins; `output`: its nits.
    """
    bins = round(TOP_STOPS / BIN_STOPS)
    near = below < bins
    index, output = below[near].astype(np.int32), output[near]
    count = np.bincount(index, minlength=bins)
    tones = np.split(output[np.argsort(index, kind="stable")], np.cumsum(count)[:-1])
    level = np.array([_log2(float(np.median(tone))) if len(tone) >= MIN_PIXELS else np.nan for tone in tones])
    tops = [end for end in range(1, bins + 1) if _slope(level[:end], count[:end]) < FLAT_SLOPE]
    return max(tops, default=0)


def _slope(level: NDArray[np.float64], count: NDArray[np.int64]) -> float:
    """Stops of output a stop of source over these tones, from the top down; inf where they are too few to say."""
    known = np.flatnonzero(np.isfinite(level))
    enough = known.size and known[-1] == level.size - 1 and 2 * count[known].sum() > count.sum()
    if not enough or np.ptp(known) * BIN_STOPS < LEAST_STOPS:
        return np.inf
    weight = np.minimum(count[known], CROWD * np.median(count[known]))
    return float(np.polyfit(-BIN_STOPS * known, level[known], 1, w=np.sqrt(weight))[0])


def _log2(nits: float) -> float:
    return float(np.log2(max(nits, TINY_NITS)))


def crushed_points(view: View) -> float:
    """Percent of pixels that are visible in the source and have lost two stops in the output, or all light.

    Against the source at the exposure asked for, so a darker job crushes nothing. At half size, so that grain does
    not count.
    """
    wanted = view.reference.half_y
    return 100 * float(np.mean((wanted >= VISIBLE_NITS) & (view.half_output_y < np.float32(CRUSHED_SHARE) * wanted)))


def _brightest(nits: Image) -> float:
    """The level that a thousandth of the frame reaches."""
    rank = max(nits.size // 1000, 1)
    # No more than every eighth pixel tells where to look: what its ranking drops, the whole ranking drops too.
    some = nits.ravel()[::8]
    top = nits[nits >= np.partition(some, -rank)[-rank]]
    return float(np.partition(top, -rank)[-rank])


CLIPPING = MetricSpec(
    "clipping", "% of pixels", (0.0, 100.0), "lower", "half-size light, largest BT.2020 component", "gate",
    "detail of the source that ends as flat white", neutral=0.0, measure=clipped_points,
)  # fmt: skip
CRUSHING = MetricSpec(
    "crushing", "% of pixels", (0.0, 100.0), "lower", "half-size luminance", "gate",
    "shadows of the source that lose their light", neutral=0.0, measure=crushed_points,
)  # fmt: skip
