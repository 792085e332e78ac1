"""Numbers that describe the result; nothing is decided by them."""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.view import View


def peak_nits_p999(view: View) -> float:
    """99.9th percentile of the output's luminance in nits."""
    return max(float(np.percentile(view.half_output_y, 99.9)), 0.0)


def mean_nits(view: View) -> float:
    """Mean output luminance of the frame in nits."""
    return max(float(view.half_output_y.mean(dtype=np.float64)), 0.0)


def highlight_share(view: View) -> float:
    """Share of the frame brighter than SDR white (203 nits), 0..1."""
    return float(np.mean(view.half_output_y > 203.0))


PEAK_NITS = MetricSpec(
    "peak_nits_p999", "nits", (0.0, 10000.0), "neither", "half-size luminance", "description",
    "brightest thousandth of the result", measure=peak_nits_p999, needs="nothing",
)  # fmt: skip
MEAN_NITS = MetricSpec(
    "mean_nits", "nits", (0.0, 10000.0), "neither", "half-size luminance", "description",
    "mean luminance of the result", measure=mean_nits, needs="nothing",
)  # fmt: skip
HIGHLIGHT_SHARE = MetricSpec(
    "highlight_share", "share", (0.0, 1.0), "neither", "half-size luminance", "description",
    "share of the result above SDR white", measure=highlight_share, needs="nothing",
)  # fmt: skip
