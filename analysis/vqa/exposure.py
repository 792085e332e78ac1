"""Exposure: mid-tones are as bright as they were asked to be."""

from __future__ import annotations

import numpy as np

from analysis.vqa.view import MIDTONES_NITS, View, stops


def error_stops(view: View, mid_gain_ev: float | None) -> float | None:
    """|log2 of the geometric-mean ratio output / source over source mid-tones, less `mid_gain_ev`|, in stops.

    Frames with hardly any mid-tones are judged by all that is darker, so that a raised black is seen too. None
    where there is neither, or no exposure was asked for (`mid_gain_ev` None).
    """
    if mid_gain_ev is None:
        return None
    source = view.half_source_y
    tones = (source >= MIDTONES_NITS[0]) & (source <= MIDTONES_NITS[1])
    if np.count_nonzero(tones) < 0.01 * tones.size:
        tones = source <= MIDTONES_NITS[1]
    if np.count_nonzero(tones) < 0.01 * tones.size:
        return None
    ratio = stops(view.half_output_y[tones]) - stops(source[tones])
    dark = float(np.mean(source[tones])) < 0.1
    return abs(float(np.mean(ratio)) - (0.0 if dark else mid_gain_ev))
