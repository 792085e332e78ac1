"""Fidelity: the result, taken back to the source's tones, still is the source.

dE-ITP (Rec. ITU-R BT.2124-0, Annex 1) between the source at 203-nit white and the down-mapped output; the
down-mapping and why it is a fit are in `tones.ToneMatch`.
"""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View

_WEIGHTS = np.array([1.0, 0.25, 1.0], np.float32)


def delta_e(view: View) -> Image:
    """dE-ITP of each half-size pixel and its neighbours, 720 sqrt(dI^2 + 0.25 dCt^2 + dCp^2)."""
    difference = view.soft_mapped_itp - view.soft_source_itp
    return 720 * np.sqrt(np.square(difference) @ _WEIGHTS)


def median(view: View) -> float:
    """Median dE-ITP of the frame."""
    return float(np.median(view.once(delta_e)))


def p95(view: View) -> float:
    """95th percentile of dE-ITP of the frame."""
    return float(np.percentile(view.once(delta_e), 95))


MEDIAN = MetricSpec(
    "fidelity_median", "dE-ITP", (0.0, 1100.0), "lower", "half-size light in ICtCp, mean of 7x7", "gate",
    "how far the down-mapped result lies from the source at most places", neutral=0.0, measure=median,
)  # fmt: skip
P95 = MetricSpec(
    "fidelity_p95", "dE-ITP", (0.0, 1100.0), "lower", "half-size light in ICtCp, mean of 7x7", "gate",
    "how far the down-mapped result lies from the source at the worst places", neutral=0.0, measure=p95,
)  # fmt: skip
