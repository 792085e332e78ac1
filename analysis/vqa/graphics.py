"""Graphics: text, subtitles and logos stay near 203 nits instead of glaring."""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.view import View

MIN_PIXELS = 12


def bright_nits(view: View) -> float | None:
    """95th percentile of the output luminance on graphics in nits, at a mid-gain of 0.

    A job that asks for brighter mid-tones gets brighter text, so the gain asked for is taken out. None without a
    mask, or 0 where a detector found no graphics.
    """
    if view.pair.graphics_mask is None:
        return None
    mask = view.pair.graphics_mask > 0.5
    if np.count_nonzero(mask) < MIN_PIXELS:
        return 0.0
    return max(float(np.percentile(view.output_y[mask], 95)), 0.0) / 2 ** max(view.controls.mid_gain_ev or 0.0, 0.0)


GRAPHICS = MetricSpec(
    "graphics", "nits", (0.0, 10000.0), "lower", "luminance on the graphics mask", "gate",
    "how bright text, subtitles and logos are", measure=bright_nits, needs="nothing",
)  # fmt: skip
