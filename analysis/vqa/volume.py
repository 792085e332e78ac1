"""How much of HDR's volume a picture uses: light beyond SDR white, colours beyond BT.709. It decides nothing.

FHLP, EHL, FWGP and EWG (fraction and extent of highlights and of wide gamut): Guo et al., Learning a Practical
SDR-to-HDRTV Up-conversion using New Dataset and Degradation Models, CVPR 2023. Taken from there: highlights begin at
diffuse white and the extent is the mean distance to the picture cut at it, over the largest there can be; wide gamut
is what BT.709 clips, its extent the mean distance in XYZ to the clipped picture, over the largest there can be. Ours:
white is 203 nits (BT.2408) and the peak 1000; FHLP goes by the largest component and FWGP by pixels, with the gamut
gate's tolerance for an encoder's rounding; light above the peak counts as the peak; half size.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from analysis.vqa.gamut import outside
from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View, largest, mix
from toolchain.color.primaries import conversion_matrix, rgb_to_xyz_matrix
from toolchain.color.transfer import REFERENCE_WHITE_NITS

PEAK_NITS = 1000.0


def highlight_fraction(view: View) -> float:
    """FHLP: share of pixels with a component above SDR white, 0..1."""
    return float(np.mean(largest(view.half_output) > REFERENCE_WHITE_NITS))


def highlight_extent(view: View) -> float:
    """EHL: mean of what components have above SDR white, over all they could have, 0..1."""
    above = np.clip(view.half_output, REFERENCE_WHITE_NITS, PEAK_NITS).mean(dtype=np.float64) - REFERENCE_WHITE_NITS
    return float(np.clip(above / (PEAK_NITS - REFERENCE_WHITE_NITS), 0, 1))


def wide_fraction(view: View) -> float:
    """FWGP: share of pixels outside BT.709, 0..1."""
    return float(np.mean(outside(mix(view.half_output, conversion_matrix("bt2020", "bt709")))))


def wide_extent(view: View) -> float:
    """EWG: mean distance in XYZ to the picture cut to BT.709, over the largest of a colour in BT.2020, 0..1."""
    rgb = np.clip(view.half_output, 0, PEAK_NITS) * np.float32(1 / PEAK_NITS)
    return float(np.clip(_distance(np.asarray(rgb, np.float32)).mean(dtype=np.float64) / _largest_distance(), 0, 1))


def _distance(rgb: Image) -> Image:
    """XYZ distance of each BT.2020 colour (1 = peak) to its own with what BT.709 has below zero cut."""
    cut = np.minimum(mix(rgb, conversion_matrix("bt2020", "bt709")), 0)
    return np.linalg.norm(mix(cut, rgb_to_xyz_matrix("bt709")), axis=2)


@cache
def _largest_distance() -> float:
    """That of the BT.2020 corners: the distance is convex in the colour, so it is largest at one of them."""
    return float(_distance(np.array([list(product((0, 1), repeat=3))], np.float32)).max())


_LIGHT, _COLOUR = "half-size BT.2020 light", "half-size light, BT.709 and XYZ"
FHLP = MetricSpec(
    "fhlp", "share", (0.0, 1.0), "neither", _LIGHT, "description", "pixels above SDR white",
    measure=highlight_fraction, needs="nothing",
)  # fmt: skip
EHL = MetricSpec(
    "ehl", "share", (0.0, 1.0), "neither", _LIGHT, "description", "how far highlights reach towards 1000 nits",
    measure=highlight_extent, needs="nothing",
)  # fmt: skip
FWGP = MetricSpec(
    "fwgp", "share", (0.0, 1.0), "neither", _COLOUR, "description", "pixels outside BT.709",
    measure=wide_fraction, needs="nothing",
)  # fmt: skip
EWG = MetricSpec(
    "ewg", "share", (0.0, 1.0), "neither", _COLOUR, "description", "how far colours reach beyond BT.709",
    measure=wide_extent, needs="nothing",
)  # fmt: skip
