"""PU21-PSNR: how far the result, taken back to the source's tones, lies from the source as a signal."""

from __future__ import annotations

import numpy as np

from analysis.vqa.metric import MetricSpec
from analysis.vqa.view import View

PEAK_PU = 256.0
"""What PU21's own PSNR takes for the peak, an SDR white of 100 nits (Mantiuk and Azimi, PCS 2021: pu21_metric)."""

CEILING_DB = 60.0
"""A quarter of a PU21 unit RMS, which is about the rounding to ten bits; what lies closer is shown as this."""


def psnr_db(view: View) -> float:
    """20 log10(256 / RMS difference of PU21 luma) of the down-mapped output and the source, dB, at most 60."""
    # No dot product: BLAS sums in another order with another number of threads.
    rms = float(np.sqrt(np.mean(np.square(view.mapped_pu - view.source_pu), dtype=np.float64)))
    return CEILING_DB if rms == 0 else min(float(20 * np.log10(PEAK_PU / rms)), CEILING_DB)


PU_PSNR = MetricSpec(
    "pu_psnr", "dB", (-8.0, CEILING_DB), "higher", "PU21 luma of the down-mapped result", "description",
    "signal-to-noise ratio against the source after down-mapping", neutral=CEILING_DB, measure=psnr_db,
)  # fmt: skip
