"""What HDR adds to a picture, against doing nothing: two scores that share no formula.

`selection_score` ranks candidates on the pilot's frames; `acceptance_gain` decides on the finished file. Both are 0
where output equals source, so direct203 scores 0, and so does any exposure that was asked for: the source is taken at
it (`View.reference`). They describe an image and do not predict what viewers prefer: no
viewing test stands behind them, so say "measured improvement". Never tune a model on the acceptance score.
"""

from __future__ import annotations

import cv2
import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.spec import Image
from analysis.vqa.view import View
from toolchain.color.pu21 import pu21_encode

NATURAL_PEAK_NITS = 1000.0
"""A brighter p99.9 earns no more: the natural band of highlights ends there."""

GLARE_NITS = 400.0
COMFORTABLE_SHARE = 0.1
GLARE_COST = 300.0
"""PU21 units for a whole frame of glare. A third of the frame above 400 nits spends most of what 1000-nit
highlights can earn (116), half of it more than all."""

HIGHLIGHT_NITS = 100.0
VISIBLE_PU = 2.0
"""Contrast below it is grain or coding noise, on either side."""

MAX_CONTRAST_FACTOR = 3.0
COMFORTABLE_RISE_PU = 25.0
"""How far the frame's mean may rise before it counts against the gain: about half a stop over 203 nits."""


def selection_score(view: View) -> float:
    """Rise of the highlights' level (p99.9, PU21 units, up to 1000 nits), less the cost of glare.

    Glare is the share of the frame above 400 nits beyond a tenth, where the reference had none. PU21 units; 0 for
    output = reference, negative where glare outweighs the rise.
    """
    output, reference = view.half_output_y, view.reference.half_y
    rise = _highlight_pu(output) - _highlight_pu(reference)
    return rise - GLARE_COST * (_glare(output) - _glare(reference))


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


def _highlight_pu(y_nits: Image) -> float:
    level = min(float(np.percentile(y_nits, 99.9)), NATURAL_PEAK_NITS)
    return float(pu21_encode(level))


def _glare(y_nits: Image) -> float:
    return max(float(np.mean(y_nits > GLARE_NITS)) - COMFORTABLE_SHARE, 0.0)


def _contrast(pu: Image, sigma: float) -> Image:
    return np.maximum(np.abs(pu - cv2.GaussianBlur(pu, (0, 0), sigma)) - VISIBLE_PU, 0)


SELECTION = MetricSpec(
    "selection_score", "PU21 units", (-600.0, 420.0), "higher", "PU21 luma, half size", "selection",
    "rise of highlights less glare", neutral=0.0, measure=selection_score,
)  # fmt: skip
ACCEPTANCE = MetricSpec(
    "acceptance_gain", "PU21 units", (-1200.0, 600.0), "higher", "PU21 luma, half size", "acceptance",
    "contrast gained in highlights less the rise of the mean", neutral=0.0, measure=acceptance_gain,
    stages=("verify",),
)  # fmt: skip
