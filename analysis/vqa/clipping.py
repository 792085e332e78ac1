"""Clipping and crushing: no detail of the source ends as flat white or flat black."""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View, largest, mix
from toolchain.color.primaries import conversion_matrix
from toolchain.color.transfer import BT1886_GAMMA, REFERENCE_WHITE_NITS

SOURCE_CLIP = (219 - 1) / 219
"""Signal from which a source counts as clipped itself: code 235 in 8 bits, less one for rounding."""

FLAT_TOP = 0.99
DIM_NITS = 20.0
"""A frame that stays below has no highlights to clip, and its brightest pixels are coding steps."""

VISIBLE_NITS = 0.15
"""A source signal of 5 %. On a 203-nit display what lies below is black to the eye."""

CRUSHED_SHARE = 0.25
"""Light left of a crushed shadow: two stops are gone. Of published curves BT.2446 B takes most, 1.3."""


def clipped_points(view: View) -> float:
    """Percent of pixels in the output's flat top that the source had below its own.

    The flat top begins at 99 % of the peak, or of the brightest thousandth where that stays below the peak: a curve
    cut at 400 nits clips as surely as one cut at 1000. The source's begins at white or at its brightest thousandth.
    Each side is held to its own top, so exposure plays no part.
    """
    source, output = largest(view.source), largest(view.output)
    source_top = _brightest(source)
    if source_top < DIM_NITS:
        return 0.0
    signal = largest(mix(view.source, conversion_matrix("bt2020", "bt709")))
    signal_top = min(REFERENCE_WHITE_NITS, _brightest(signal)) * SOURCE_CLIP**BT1886_GAMMA
    flat = output >= FLAT_TOP * min(view.controls.peak_nits, _brightest(output))
    lost = np.count_nonzero((signal[flat] < signal_top) & (source[flat] < FLAT_TOP * source_top))
    return 100 * lost / flat.size


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
    "clipping", "% of pixels", (0.0, 100.0), "lower", "largest component of BT.2020 light", "gate",
    "detail of the source that ends as flat white", neutral=0.0, measure=clipped_points,
)  # fmt: skip
CRUSHING = MetricSpec(
    "crushing", "% of pixels", (0.0, 100.0), "lower", "half-size luminance", "gate",
    "shadows of the source that lose their light", neutral=0.0, measure=crushed_points,
)  # fmt: skip
