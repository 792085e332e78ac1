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
from analysis.vqa.tones import MAX_EXPOSURE_STOPS, MIDTONES_NITS, MIN_TONES_SHARE, ToneMatch, match_tones
from toolchain.color.ictcp import LMS_PQ_TO_ICTCP, RGB_TO_LMS
from toolchain.color.primaries import conversion_matrix, luminance_coefficients
from toolchain.color.pu21 import pu21_decode, pu21_encode
from toolchain.color.transfer import PQ_PEAK_NITS, REFERENCE_WHITE_NITS, bt1886_eotf_inverse, pq_eotf_inverse
from toolchain.models.anchor import anchored
from toolchain.models.spec import FloatArray

LOG_FLOOR_NITS = 0.1
"""Added before a logarithm: below it, coding steps and not pictures decide."""

TABLE_STEPS = 16384
TABLE_TOP = 10.0
PU_STEPS = 16


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
    """One frame pair and its derived pictures, float32.

    Values that are not finite are black here (the gamut gate counts them), light beyond PQ's is cut.

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
        _ = (
            self.of_source.half_y,
            self.of_source.soft_itp,
            self.reference.half_y,
            self.soft_mapped_itp,
            self.mapped_pu,
        )

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
    def tones(self) -> ToneMatch:
        """What was done to the source's tones in this frame."""
        return match_tones(self.half_source_y, self.half_output_y)

    @cached_property
    def mapped_pu(self) -> Image:
        """PU21 luma of the output taken back to the source's tones, working size; off by less than 0.1."""
        table = to_pu21(self.tones.back(_pu_steps()))
        return table[(self.output_pu * np.float32(PU_STEPS) + np.float32(0.5)).astype(np.int32)]

    @cached_property
    def half_mapped_itp(self) -> Image:
        """The output taken back to the source's tones, chromaticities untouched."""
        gain = self.tones.back(self.half_output_y) / np.maximum(self.half_output_y, np.float32(1e-4))
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


@cache
def _pu_steps() -> Image:
    """The luminance in nits of each step of a PU21 unit's `PU_STEPS`th part."""
    steps = np.arange(int(pu21_encode(TABLE_TOP**4)) * PU_STEPS + PU_STEPS + 1) / PU_STEPS
    return pu21_decode(steps).astype(np.float32)


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
    """Float32 in one piece within +-10000 nits; what is no number or infinite is black."""
    image = np.ascontiguousarray(image, np.float32)
    if cv2.checkRange(image, True, -PQ_PEAK_NITS, PQ_PEAK_NITS)[0]:
        return image
    return np.clip(np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0), -PQ_PEAK_NITS, PQ_PEAK_NITS)
