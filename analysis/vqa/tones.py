"""The tone curve between a source and what became of it, and how to take it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import Image

MIDTONES_NITS = (5.0, 60.0)
"""Where the convention of BT.2408 anchors an expansion: SDR signals of 21 % to 60 %. Published curves bend above:
BT.2446 A is a stop over the anchor at 100 nits, which is expansion and no error of exposure."""

MIN_TONES_SHARE = 0.01
"""Below this share of the frame there are too few pixels of some tones to judge an exposure by."""

MAX_EXPOSURE_STOPS = 3.0
CONTRAST_RANGE = (0.8, 1.25)
FIT_NITS = 0.5
TINY_NITS = 1e-4
CURVE_BINS = 24

_KNEE = float(np.log2(MIDTONES_NITS[1]))


@dataclass(frozen=True)
class ToneMatch:
    """What an expansion did to tones: fitted exposure and contrast below highlights, a curve above. All log2 nits.

    What an expansion may do is raise highlights by any rising curve and give the tones below another exposure and,
    within a quarter, another contrast (BT.2446 B has 1.16). What it may not do is change their order, or colours, or
    one place and not another. So below 60 nits a straight line in log light is taken out, and above it the mean
    source luminance for each output luminance, made monotone. A standard roll-off such as the BT.2390 EETF is no fit
    here: it undoes one particular expansion and reads every other one as damage.
    """

    level: float
    contrast: float
    matched: NDArray[np.float64]
    source: NDArray[np.float64]

    def back(self, output_y: Image) -> Image:
        """Output luminance in nits, any shape, brought back to the source's tones; float32 nits."""
        matched = (_log2(output_y) - np.float32(self.level)) / np.float32(self.contrast)
        if self.matched.size:
            high = matched > _KNEE
            matched[high] = np.interp(matched[high], self.matched, self.source)
        return np.exp2(matched)


def match_tones(source_y: Image, output_y: Image) -> ToneMatch:
    """The tones of `output_y` against those of `source_y`, luminance in nits of the same pixels."""
    source, output = _log2(source_y), _log2(output_y)
    level, contrast = _fit_line(source, output, (source_y >= FIT_NITS) & (source_y <= MIDTONES_NITS[1]))
    matched = (output - np.float32(level)) / np.float32(contrast)
    high = matched > _KNEE
    curve = _monotone_curve(matched[high], source[high]) if high.any() else (np.empty(0), np.empty(0))
    return ToneMatch(level, contrast, *curve)


def binned_mean(
    position: NDArray[np.floating], values: NDArray[np.floating], bins: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count and mean of `values` in `bins` equal bins of `position` in [0, 1); outer values fall in the end bins."""
    index = _bins(position, bins)
    count = np.bincount(index, minlength=bins)
    return count, np.bincount(index, weights=values.ravel(), minlength=bins) / np.maximum(count, 1)


def _bins(position: NDArray[np.floating], bins: int) -> NDArray[np.int32]:
    return np.clip((position * bins).astype(np.int32), 0, bins - 1).ravel()


def _log2(nits: Image) -> Image:
    return np.log2(np.maximum(nits, np.float32(TINY_NITS)))


def _fit_line(source: Image, output: Image, fitted: NDArray[np.bool_]) -> tuple[float, float]:
    """(level, contrast) of output = level + contrast * source over the fitted pixels, both bounded."""
    if np.count_nonzero(fitted) < MIN_TONES_SHARE * fitted.size:
        return 0.0, 1.0
    x, y = source[fitted], output[fitted]
    deviation = x - x.mean(dtype=np.float64)
    variance = float(np.mean(deviation**2))
    contrast = float(np.mean(deviation * y)) / variance if variance > 0.1 else 1.0
    contrast = float(np.clip(contrast, *CONTRAST_RANGE))
    shift = float(np.median(y - x))
    shift = float(np.clip(shift, -MAX_EXPOSURE_STOPS, MAX_EXPOSURE_STOPS))
    return float(np.median(x)) * (1 - contrast) + shift, contrast


def _monotone_curve(matched: Image, source: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, y) of the source's level over the matched one, from the knee to the brightest pixel."""
    top = float(matched.max())
    index = _bins((matched - _KNEE) / max(top - _KNEE, 1e-3), CURVE_BINS)
    count = np.bincount(index, minlength=CURVE_BINS)
    used = count > 0
    x, y = (
        np.bincount(index, weights=values, minlength=CURVE_BINS)[used] / count[used] for values in (matched, source)
    )
    # The brightest of both belong together; without this end a highlight that fills less than a bin is cut.
    x, y = np.r_[_KNEE, x, top], np.r_[_KNEE, y, source.max()]
    return x, np.maximum.accumulate(np.maximum(y, _KNEE))
