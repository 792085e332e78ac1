"""The expanding models that are formulas of a standard: doing nothing, and BT.2446 methods A, B and C.

Each is exactly its published curve at the default `peak_nits` of 1000. At another peak, method A has the peak in
its own equations (`toolchain.color.tonescale`). B and C end at a white of their own (288 and 333 nits); the light
they add above reference white is scaled to the headroom a display has above it:

    white(peak) = 203 + (white(1000) - 203) (peak - 203) / (1000 - 203)

and mid-tones, up to signal 0.6, keep their published level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.color import tonescale
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf_inverse
from toolchain.models.curves import grey_nits, luminance, scaled_highlights
from toolchain.models.spec import Controls, FloatArray, ModelSpec, PixelFunction, ShotContext

PUBLISHED_PEAK_NITS = 1000.0
KNEE_SIGNAL = 0.6
"""Where the highlights that follow the peak begin: above skin, below a lit white wall."""


@dataclass(frozen=True)
class Direct203:
    """SDR light carried unchanged, white at 203 nits. Takes no control. BT.2408-7, section 5.1."""

    spec: ModelSpec

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        return lambda rgb: tonescale.direct203(np.asarray(rgb, dtype=np.float64))


@dataclass(frozen=True)
class Bt2446A:
    """Method A for this peak. Super-white is held at white, as the method's luma ends there."""

    spec: ModelSpec

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        return lambda rgb: tonescale.bt2446a_expand(_signal(rgb), controls.peak_nits)


@dataclass(frozen=True)
class PublishedCurve:
    """A standard's curve from SDR signal to nits at 1000 nits peak, its highlights scaled for other peaks."""

    spec: ModelSpec
    curve: Callable[[FloatArray], FloatArray]

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        return _with_peak(lambda rgb: self.curve(_signal(rgb)), controls.peak_nits)


def bt2446b(spec: ModelSpec) -> PublishedCurve:
    """Method B: Report ITU-R BT.2446-1, section 5."""
    return PublishedCurve(spec, lambda signal: tonescale.bt2446b_expand(signal, PUBLISHED_PEAK_NITS))


def bt2446c(spec: ModelSpec) -> PublishedCurve:
    """Method C without crosstalk: Report ITU-R BT.2446-1, section 6."""
    return PublishedCurve(spec, tonescale.bt2446c_expand)


def _signal(rgb: FloatArray) -> FloatArray:
    return bt1886_eotf_inverse(np.asarray(rgb, dtype=np.float64))


def _with_peak(expand: PixelFunction, peak_nits: float) -> PixelFunction:
    if peak_nits == PUBLISHED_PEAK_NITS:
        return expand
    knee_nits, white_nits = (float(level) for level in grey_nits(expand, [KNEE_SIGNAL, 1.0]))
    headroom = (peak_nits - REFERENCE_WHITE_NITS) / (PUBLISHED_PEAK_NITS - REFERENCE_WHITE_NITS)
    target_nits = REFERENCE_WHITE_NITS + (white_nits - REFERENCE_WHITE_NITS) * headroom

    def scaled(rgb: FloatArray) -> FloatArray:
        nits = expand(rgb)
        before = luminance(nits)
        after = scaled_highlights(before, knee_nits, white_nits, target_nits)
        return nits * np.divide(after, before, out=np.ones_like(before), where=before > 0)[..., np.newaxis]

    return scaled
