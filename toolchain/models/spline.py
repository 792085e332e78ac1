"""`spline`: highlight expansion fitted to one shot's histogram and held over the shot.

Mid-tones stay the SDR picture at 203-nit white. Above a knee a cubic gain rises to the shot's own peak: small
highlights reach `peak_nits`, a snow scene or a white page, bright all over, hardly exceeds 203 nits. Every number is
an average over the histogram, so a histogram that changes little changes the curve little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf_inverse
from toolchain.errors import UsageError
from toolchain.models.curves import largest_component, luminance, smoothstep
from toolchain.models.spec import Controls, FloatArray, ModelSpec, PixelFunction, ShotContext, ShotTone

KNEE_RANGE = (0.62, 0.85)
"""Signals the knee may take: above the mid-tones the convention fixes, and with room left below white."""

DIFFUSE_WHITE_RANKS = (0.80, 0.98)
"""The pixels between these ranks estimate the shot's diffuse white: bright surfaces, without small highlights."""

BRIGHT_SIGNALS = (0.65, 0.95)
BRIGHT_SHARE_SCALE = 0.2
"""A pixel counts as bright from none to all between these signals; at this share of them 1/e of the gain is left."""

SHADOW_END_SIGNAL = 0.25
DARK_SIGNALS = (0.05, 0.25)
"""Dark shots keep their shadows: a share of pixels below these signals takes the deepening away."""


@dataclass(frozen=True)
class Curve:
    """The gain over the SDR picture at 203-nit white, in EV, as a function of signal."""

    knee_signal: float
    white_gain_ev: float
    shadow_depth_ev: float

    def gain_ev(self, signal: FloatArray) -> FloatArray:
        """Cubic Hermite above the knee: slope 0 there, 3/2 of the mean slope at white, straight on above it."""
        t = np.maximum((signal - self.knee_signal) / (1 - self.knee_signal), 0)
        highlights = np.where(t <= 1, 1.5 * t**2 - 0.5 * t**3, 1.5 * t - 0.5)
        shadows = np.clip(1 - signal / SHADOW_END_SIGNAL, 0, 1) ** 2
        return self.white_gain_ev * highlights - self.shadow_depth_ev * shadows


def fit_curve(
    tone: ShotTone | None, peak_nits: float, strength: float, knee_shift: float, shadow_depth_ev: float
) -> Curve:
    """The shot's curve. `tone` None: small highlights are assumed, white reaches `peak_nits`.

    Raises UsageError for a histogram that is empty or holds negative or non-finite shares.
    """
    headroom_ev = np.log2(peak_nits / REFERENCE_WHITE_NITS)
    if tone is None:
        return Curve(float(np.mean(KNEE_RANGE)) + knee_shift, min(strength, 1) * headroom_ev, shadow_depth_ev)
    shares, signals = _histogram(tone)
    bright_share = float(shares @ smoothstep(*BRIGHT_SIGNALS, signals))
    dark_share = float(shares @ (1 - smoothstep(*DARK_SIGNALS, signals)))
    use = min(strength * float(np.exp(-bright_share / BRIGHT_SHARE_SCALE)), 1.0)
    knee = float(np.clip(_diffuse_white(shares, signals), *KNEE_RANGE)) + knee_shift
    return Curve(knee, use * headroom_ev, shadow_depth_ev * (1 - dark_share))


def _histogram(tone: ShotTone) -> tuple[FloatArray, FloatArray]:
    """Shares that sum to 1, and the Y' of each bin's centre."""
    shares = np.asarray(tone.histogram, dtype=np.float64)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
        raise UsageError("A shot's luma histogram must hold finite shares >= 0 with a sum above 0: measure it again.")
    return shares / shares.sum(), (np.arange(shares.size) + 0.5) / shares.size


def _diffuse_white(shares: FloatArray, signals: FloatArray) -> float:
    """Mean Y' between two ranks: unlike a percentile, it cannot jump over an empty stretch of the histogram."""
    low, high = DIFFUSE_WHITE_RANKS
    ranks = np.clip(np.concatenate([[0.0], np.cumsum(shares)]), low, high)
    return float(np.diff(ranks) @ signals / (high - low))


@dataclass(frozen=True)
class Spline:
    """The adaptive model of the catalogue; see the module's docstring."""

    spec: ModelSpec

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        names = ("strength", "knee_shift", "shadow_depth_ev")
        extra = {name: controls.extra.get(name, self.spec.parameters[name].default) for name in names}
        curve = fit_curve(shot.tone if shot else None, controls.peak_nits, **extra)

        def expand(rgb: FloatArray) -> FloatArray:
            rgb = np.asarray(rgb, dtype=np.float64)
            # Half luminance, half the largest component: a red lamp is a highlight too, a red coat less so.
            level = 0.5 * luminance(rgb) + 0.5 * largest_component(rgb)
            gain_ev = curve.gain_ev(bt1886_eotf_inverse(level))
            return rgb * (REFERENCE_WHITE_NITS * np.exp2(gain_ev))[..., np.newaxis]

        return expand
