"""Unevenness: what is done to a colour is done wherever that colour is.

Fidelity takes a tone curve out and asks how far the rest lies off; faint patches of another colour or brightness stay
below what coding alone does to small places. Over larger areas coding averages out, and what all places of a colour
have in common is not uneven. Local tone mapping beyond the limit is turned away here, as by fidelity.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.metric import MetricSpec
from analysis.vqa.view import View

STEP = 3
"""Every third of the half-size pixels, which are means of 7x7 anyway."""

AREA = 15
"""Side of the areas in these steps: a fifth of a frame's width at working size."""

_WEIGHTS = np.array([1.0, 0.25, 1.0], np.float32)


def uneven_delta_e(view: View) -> float:
    """90th percentile of areas' dE-ITP (Rec. ITU-R BT.2124-0) that no function of the source's colour explains.

    The function: a polynomial of second order in I, Ct and Cp (third in I), fitted to each frame.
    """
    source = view.soft_source_itp[::STEP, ::STEP]
    change = view.soft_mapped_itp[::STEP, ::STEP] - source
    terms = view.of_source.once(lambda of: _terms(of.soft_itp[::STEP, ::STEP]))
    flat = change.reshape(-1, 3).astype(np.float64)
    explained = terms @ np.linalg.lstsq(terms, flat, rcond=None)[0]
    left = cv2.blur((flat - explained).reshape(change.shape).astype(np.float32), (AREA, AREA))
    return float(np.percentile(720 * np.sqrt(np.square(left) @ _WEIGHTS), 90))


def _terms(itp: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 11) terms of the polynomial at each pixel."""
    colour = itp.reshape(-1, 3).astype(np.float64)
    colour = (colour - colour.mean(axis=0)) / np.maximum(colour.std(axis=0), 1e-4)
    i, t, p = colour.T
    return np.stack([np.ones_like(i), i, t, p, i * i, t * t, p * p, i * t, i * p, t * p, i**3], axis=-1)


UNEVENNESS = MetricSpec(
    "unevenness", "dE-ITP", (0.0, 1100.0), "lower", "half-size light in ICtCp, means of areas", "gate",
    "patches where one colour becomes another than elsewhere", neutral=0.0, measure=uneven_delta_e,
)  # fmt: skip
