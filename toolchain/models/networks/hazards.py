"""Known flaws of the published networks that the production path mends; their published output keeps them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FFMPEG_WHITE = 65283
"""What FFmpeg makes of 10-bit limited code 940, white, when it decodes to 16-bit RGB; 65535 would be right."""

TRAINED_ON_HDRTV1K = frozenset({"agcm", "hdrtvnetpp", "hdrtvnetpp-hr", "lsn", "itmlut-tv1k"})
"""HDRTV1K's pictures were decoded that way. `lsn` is among them: its authors changed the default checkpoint to one
trained on HDRTV1K (HDRTVDM README, 14 January 2024); `lsn-3dm`, `lsn-davinci` and `itmlut-davinci` are not."""


def white_scale(model_id: str) -> float:
    """What a network's PQ signal, in [0, 1], is multiplied by to be true PQ: about 1.0039, or 1 for all others.

    Without it the light comes out 2 to 3 per cent low. The product may exceed 1: clamp it.
    """
    return 65535 / FFMPEG_WHITE if model_id in TRAINED_ON_HDRTV1K else 1.0


UNTRAINED_BETWEEN = {"itmlut-tv1k": (127, 128), "itmlut-davinci": (127, 128)}
"""Neighbouring 8-bit codes between which ITM-LUT's middle table has a vertex of its own, at 0.5. No training picture
held such a value, so what the table says there is left over from its start: a spike, on grey 195 nits between 61 and
57."""


def trained_signal(model_id: str, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """R'G'B' signals with those moved that the network gives no meaningful answer to: to the nearer 8-bit code."""
    if model_id not in UNTRAINED_BETWEEN:
        return signal
    low, high = (np.float32(code / 255) for code in UNTRAINED_BETWEEN[model_id])
    between = (signal > low) & (signal < high)
    return np.where(between, np.where(signal < (low + high) / 2, low, high), signal)
