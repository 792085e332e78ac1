"""The contrast that HDR adds in and around highlights, against doing nothing: the gain that accepts a finished file.

0 where output equals source, so direct203 has 0, and so has any exposure that was asked for: the source is taken at
it (`View.reference`). It describes an image and does not predict what viewers prefer: no viewing test stands behind
it, so say "measured improvement". Never tune a model on it, and never rank candidates by it.
"""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View

HIGHLIGHT_NITS = 100.0
VISIBLE_PU = 2.0
"""Contrast below it is grain or coding noise, on either side."""

MAX_CONTRAST_FACTOR = 3.0
COMFORTABLE_RISE_PU = 25.0
"""How far the frame's mean may rise before it counts against the gain: about half a stop over 203 nits."""


def acceptance_gain(view: View) -> float:
    """Gain of visible local contrast in and around highlights, less the rise of the frame's mean beyond half a stop.

    Contrast is the difference to a Gaussian surround in PU21, beyond a visibility threshold, and no pixel's may count
    more than three times the reference's: halos and grain buy nothing. Area-weighted mean, PU21 units; 0 for output =
    reference, negative where highlight detail is lost.
    """
    reference, output = view.reference.half_pu, view.half_output_pu
    sigma = max(min(reference.shape) / 20, 1.0)
    contrast_reference, contrast_output = _contrast(reference, sigma), _contrast(output, sigma)
    capped = np.minimum(contrast_output, MAX_CONTRAST_FACTOR * contrast_reference)
    bright = cv2.GaussianBlur((view.half_source_y >= HIGHLIGHT_NITS).astype(np.float32), (0, 0), sigma)
    weight = np.minimum(4 * bright, 1)
    rise = max(float(output.mean() - reference.mean()) - COMFORTABLE_RISE_PU, 0.0)
    return float(np.mean(weight * (capped - contrast_reference))) - rise


def _contrast(pu: Image, sigma: float) -> Image:
    return np.maximum(np.abs(pu - cv2.GaussianBlur(pu, (0, 0), sigma)) - VISIBLE_PU, 0)


ACCEPTANCE = MetricSpec(
    "acceptance_gain", "PU21 units", (-1200.0, 600.0), "higher", "PU21 luma, half size", "acceptance",
    "contrast gained in highlights less the rise of the mean", neutral=0.0, measure=acceptance_gain,
    stages=("verify",),
)  # fmt: skip
