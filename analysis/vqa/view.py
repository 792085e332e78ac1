"""What the gates share of one frame pair, computed once and only when asked for.

Gates about areas work on the half-size picture, averaged in linear light as an eye at a distance does: that takes
coding noise out of colour differences and four fifths of the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.vqa.spec import FramePair, Image, JudgeControls
from toolchain.color.ictcp import LMS_PQ_TO_ICTCP, RGB_TO_LMS
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.color.pu21 import pu21_encode
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf_inverse, pq_eotf_inverse
from toolchain.models.anchor import anchored
from toolchain.models.spec import FloatArray

MIDTONES_NITS = (5.0, 60.0)
"""Where the convention of BT.2408 anchors an expansion: SDR signals of 21 % to 60 %. Published curves bend above:
BT.2446 A is a stop over the anchor at 100 nits, which is expansion and no error of exposure."""

LOG_FLOOR_NITS = 0.1
"""Added before a logarithm: below it, coding steps and not pictures decide."""

MIN_TONES_SHARE = 0.01
"""Below this share of the frame there are too few pixels of some tones to judge an exposure by."""

MAX_EXPOSURE_STOPS = 3.0
CONTRAST_RANGE = (0.8, 1.25)
FIT_NITS = 0.5
TINY_NITS = 1e-4
CURVE_BINS = 24
TABLE_STEPS = 16384
TABLE_TOP = 10.0


Value = TypeVar("Value")


class SourceView:
    """The source's side of a view: made once for a frame, shared by the views of all candidates.

    Derived pictures are float32 and computed when first asked for; names as in `View`.
    """

    def __init__(self, source_nits: Image):
        self.rgb = _finite(source_nits)
        self._known: dict[Callable[[SourceView], Any], Any] = {}
        self._exposed: dict[tuple[float, float], SourceView] = {}

    def once(self, measure: Callable[[SourceView], Value]) -> Value:
        """`measure` of this view, worked out at the first call: for what several gates or candidates need."""
        if measure not in self._known:
            self._known[measure] = measure(self)
        return self._known[measure]

    def exposed(self, mid_gain_ev: float, peak_nits: float) -> SourceView:
        """This picture with its mid-tones `mid_gain_ev` stops brighter and nothing done to it besides.

        All up to the mid-tones changes alike; towards white the change fades out, as it does in every model
        (`toolchain.models.anchor`): white was not asked to move. So an expansion earns much the same at any exposure.
        """
        if mid_gain_ev == 0:
            return self
        key = (mid_gain_ev, peak_nits)
        if key not in self._exposed:
            rgb = anchored(_as_displayed, mid_gain_ev)(self.rgb / np.float32(REFERENCE_WHITE_NITS))
            self._exposed[key] = SourceView(np.minimum(rgb, peak_nits))
        return self._exposed[key]

    @cached_property
    def y(self) -> Image:
        return luminance(self.rgb)

    @cached_property
    def pu(self) -> Image:
        return to_pu21(self.y)

    @cached_property
    def half(self) -> Image:
        return _half(self.rgb)

    @cached_property
    def half_y(self) -> Image:
        return luminance(self.half)

    @cached_property
    def half_pu(self) -> Image:
        return to_pu21(self.half_y)

    @cached_property
    def half_signal(self) -> Image:
        """BT.709 R'G'B' in 8-bit codes above black (219 = white), rebuilt from light."""
        rgb = mix(self.half, conversion_matrix("bt2020", "bt709"))
        return np.float32(219) * bt1886_eotf_inverse(rgb, REFERENCE_WHITE_NITS)

    @cached_property
    def half_itp(self) -> Image:
        return to_ictcp(self.half)

    @cached_property
    def soft_itp(self) -> Image:
        return _soft(self.half_itp)


class View:
    """One frame pair and its derived pictures, float32. Values not finite are black here; the gamut gate counts them.

    `half_*` pictures are averaged 2x2; `*_y` is luminance in nits, `*_pu` PU21 units, `soft_*` ICtCp blurred.
    `of_source`: the view of the same `source_nits` that an earlier pair has made; None makes one. `controls`: what
    the output was asked to be; None asks for 1000 nits and the source's own mid-tones.
    """

    def __init__(self, pair: FramePair, of_source: SourceView | None = None, controls: JudgeControls | None = None):
        self.pair = pair
        self.controls = controls or JudgeControls()
        self.shot, self.window, self.number = pair.shot, pair.window, pair.number
        self.of_source = of_source or SourceView(pair.source_nits)
        self.output = _finite(pair.output_nits)
        self._known: dict[Callable[[View], Any], Any] = {}

    def once(self, measure: Callable[[View], Value]) -> Value:
        """`measure` of this view, worked out at the first call: for what several gates need."""
        if measure not in self._known:
            self._known[measure] = measure(self)
        return self._known[measure]

    def prepare(self) -> None:
        """Work out the pictures that several gates and metrics share, so that none of them is charged for all."""
        _ = self.of_source.half_y, self.of_source.soft_itp, self.reference.half_y, self.soft_mapped_itp

    @property
    def source(self) -> Image:
        return self.of_source.rgb

    @property
    def source_y(self) -> Image:
        return self.of_source.y

    @property
    def source_pu(self) -> Image:
        return self.of_source.pu

    @property
    def half_source(self) -> Image:
        return self.of_source.half

    @property
    def half_source_y(self) -> Image:
        return self.of_source.half_y

    @property
    def half_source_itp(self) -> Image:
        return self.of_source.half_itp

    @property
    def soft_source_itp(self) -> Image:
        return self.of_source.soft_itp

    @cached_property
    def mid_gain_ev(self) -> float:
        """The exposure that is neither gain nor harm, in stops: the one asked for, else the output's own.

        Its own is the median log gain of mid-tones, at most three stops; 0 in a frame that has hardly any.
        """
        if self.controls.mid_gain_ev is not None:
            return self.controls.mid_gain_ev
        tones = (self.half_source_y >= MIDTONES_NITS[0]) & (self.half_source_y <= MIDTONES_NITS[1])
        if np.count_nonzero(tones) < MIN_TONES_SHARE * tones.size:
            return 0.0
        gain = float(np.median(stops(self.half_output_y[tones]) - stops(self.half_source_y[tones])))
        return float(np.clip(gain, -MAX_EXPOSURE_STOPS, MAX_EXPOSURE_STOPS))

    @property
    def reference(self) -> SourceView:
        """The source at the exposure `mid_gain_ev`: what doing nothing would be there. The source itself at 0."""
        return self.of_source.exposed(self.mid_gain_ev, self.controls.peak_nits)

    @cached_property
    def output_y(self) -> Image:
        return luminance(self.output)

    @cached_property
    def half_output(self) -> Image:
        return _half(self.output)

    @cached_property
    def half_output_y(self) -> Image:
        return luminance(self.half_output)

    @cached_property
    def output_pu(self) -> Image:
        return to_pu21(self.output_y)

    @cached_property
    def half_output_pu(self) -> Image:
        return to_pu21(self.half_output_y)

    @cached_property
    def half_mapped_itp(self) -> Image:
        """The output taken back to the source's tones by `matched_luminance`, chromaticities untouched."""
        target = matched_luminance(self.half_source_y, self.half_output_y)
        gain = target / np.maximum(self.half_output_y, np.float32(1e-4))
        return to_ictcp(np.asarray(self.half_output * gain[..., None], np.float32))

    @cached_property
    def soft_mapped_itp(self) -> Image:
        return _soft(self.half_mapped_itp)


def mix(rgb: Image, matrix: NDArray[np.float64]) -> Image:
    """A 3x3 or 1x3 matrix on each pixel, float32."""
    return np.asarray(cv2.transform(rgb, matrix.astype(np.float32)), np.float32)


def luminance(rgb_nits: Image) -> Image:
    """BT.2020 luminance, HxW, in nits."""
    return mix(rgb_nits, luminance_coefficients("bt2020")[None])


def largest(rgb: Image) -> Image:
    """The largest component of each pixel, HxW."""
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def smallest(rgb: Image) -> Image:
    """The smallest component of each pixel, HxW."""
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.float32)


def stops(nits: Image) -> Image:
    """log2 of light, with the floor that keeps black finite."""
    return np.log2(np.maximum(nits, 0) + np.float32(LOG_FLOOR_NITS))


def to_pu21(nits: Image) -> Image:
    """PU21 (banding_glare) units by table; off by less than 0.05."""
    return _look_up(_tabulate(pu21_encode), nits)


def to_ictcp(rgb_nits: Image) -> Image:
    """ICtCp as `toolchain.color.ictcp.ictcp_from_nits` has it, by table; off by less than 1e-4."""
    lms = _look_up(_tabulate(pq_eotf_inverse), mix(rgb_nits, RGB_TO_LMS))
    return mix(lms, LMS_PQ_TO_ICTCP)


def binned_mean(
    position: NDArray[np.floating], values: NDArray[np.floating], bins: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count and mean of `values` in `bins` equal bins of `position` in [0, 1); outer values fall in the end bins."""
    index = np.clip((position * bins).astype(np.int32), 0, bins - 1).ravel()
    count = np.bincount(index, minlength=bins)
    total = np.bincount(index, weights=values.ravel(), minlength=bins)
    return count, total / np.maximum(count, 1)


def matched_luminance(source_y: Image, output_y: Image) -> Image:
    """`output_y` brought back to the source's range: fitted exposure and contrast below highlights, a curve above.

    What an expansion may do is raise highlights by any rising curve and give the tones below another exposure and,
    within a quarter, another contrast (BT.2446 B has 1.16). What it may not do is change their order, or colours, or
    one place and not another. So below 60 nits a straight line in log light is taken out, and above it the mean
    source luminance for each output luminance, made monotone. A standard roll-off such as the BT.2390 EETF is no fit
    here: it undoes one particular expansion and reads every other one as damage.
    """
    source, output = (np.log2(np.maximum(y, np.float32(TINY_NITS))) for y in (source_y, output_y))
    level, contrast = _fit_line(source, output, (source_y >= FIT_NITS) & (source_y <= MIDTONES_NITS[1]))
    matched = (output - np.float32(level)) / np.float32(contrast)
    knee = float(np.log2(MIDTONES_NITS[1]))
    high = matched > knee
    if high.any():
        matched[high] = _monotone_curve(matched[high], source[high], knee)
    return np.exp2(matched)


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


def _monotone_curve(matched: Image, source: Image, knee: float) -> Image:
    top = float(matched.max())
    scale = 1 / max(top - knee, 1e-3)
    count, mean = binned_mean((matched - knee) * scale, source, CURVE_BINS)
    centres = knee + (np.arange(CURVE_BINS) + 0.5) / (CURVE_BINS * scale)
    used = count > 0
    levels = np.maximum.accumulate(np.maximum(mean[used], knee))
    return np.interp(matched, np.append(knee, centres[used]), np.append(knee, levels)).astype(np.float32)


@cache
def _tabulate(function: Callable[[NDArray[np.float64]], NDArray[np.floating]]) -> Image:
    """The function of nits at fourth-root spacing up to 10000, finer in the dark as the eye is."""
    table = function(np.linspace(0, TABLE_TOP, TABLE_STEPS) ** 4).astype(np.float32)
    table.flags.writeable = False
    return table


def _look_up(table: Image, nits: Image) -> Image:
    position = np.sqrt(np.sqrt(np.clip(nits, 0, TABLE_TOP**4)))
    return table[(position * np.float32((TABLE_STEPS - 1) / TABLE_TOP) + np.float32(0.5)).astype(np.int32)]


def _as_displayed(rgb: FloatArray) -> FloatArray:
    return rgb * REFERENCE_WHITE_NITS


def _half(image: Image) -> Image:
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.float32)


def _soft(image: Image) -> Image:
    """A box of 7x7: what a model does to colours it does to areas; what a good encoder does is finer."""
    return np.asarray(cv2.blur(image, (7, 7)), np.float32)


def _finite(image: Image) -> Image:
    image = np.ascontiguousarray(image, np.float32)
    return image if np.isfinite(image).all() else np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
