"""Gamut: every colour is one that BT.2020 can carry and a P3 display can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View, largest, mix, smallest
from toolchain.color.primaries import conversion_matrix

TOLERANCE_SHARE = 0.02
TOLERANCE_NITS = 0.1
"""Ten-bit 4:2:0 coding moves a colour on the edge of the gamut this far to either side."""


def outside_bt2020_percent(view: View) -> float:
    """Percent of pixels that are not finite or have a component below zero: colours no BT.2020 signal can hold."""
    unreal = outside(view.output)
    if view.output is not view.pair.output_nits:  # values that are not finite were replaced
        unreal |= ~np.isfinite(view.pair.output_nits).all(axis=2)
    return 100 * float(np.mean(unreal))


def outside_p3_percent(view: View) -> float:
    """Percent of pixels outside P3-D65, less the source's own; 0 for a source within P3 that stays so."""
    to_p3 = conversion_matrix("bt2020", "p3_d65")
    output, source = (outside(mix(rgb, to_p3)) for rgb in (view.half_output, view.half_source))
    return 100 * max(float(np.mean(output)) - float(np.mean(source)), 0.0)


def outside(rgb: Image) -> NDArray[np.bool_]:
    """Pixels of linear light in nits with a component below zero by more than an encoder moves it, HxW."""
    low = smallest(rgb)
    if low.min() >= -TOLERANCE_NITS:
        return np.zeros(low.shape, np.bool_)
    return low < -(TOLERANCE_SHARE * np.maximum(largest(rgb), 0) + TOLERANCE_NITS)


GAMUT = MetricSpec(
    "gamut", "% of pixels", (0.0, 100.0), "lower", "BT.2020 light", "gate",
    "colours that no BT.2020 signal can hold", neutral=0.0, measure=outside_bt2020_percent, needs="nothing",
)  # fmt: skip
GAMUT_P3 = MetricSpec(
    "gamut_p3", "% of pixels", (0.0, 100.0), "lower", "half-size P3-D65 light", "gate",
    "colours beyond what a P3 display shows, less the source's own", neutral=0.0, measure=outside_p3_percent,
)  # fmt: skip
