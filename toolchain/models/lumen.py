"""`lumen-fixed` and `lumen-shot`: this project's own expansion, a monotone curve with chroma terms.

Twenty-two numbers describe it (`Numbers`). `lumen-fixed` has them from a fit over many graded masters and never
changes them; `lumen-shot` asks a small network, which sees the shot's key frames, how this shot's differ. It is
held as contrast (d log HDR light / d log SDR light) at knots of SDR signal, above 0, so it rises whatever the numbers
are; its mean mid-tone gain is 0 by construction; its white ends at or below the peak and at or above 203 nits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolchain.color.primaries import convert
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf, bt1886_eotf_inverse
from toolchain.errors import AgentError
from toolchain.models.anchor import FADE_SIGNALS, MID_SIGNALS
from toolchain.models.curves import largest_component, luminance, smoothstep
from toolchain.models.spec import (
    Controls,
    FloatArray,
    ModelSpec,
    Picture,
    PixelFunction,
    RuntimeName,
    ShotContext,
)

KNOTS = (0.02, 0.06, 0.12, 0.2, 0.28, 0.36, 0.44, 0.52, 0.6, 0.68, 0.75, 0.82, 0.88, 0.93, 0.97, 1.0)
"""SDR signals at which the contrast is given. Closer towards white, where grades differ most; 1 below the first."""

HIGHLIGHT_KNOT = 9
"""From this knot on (signal 0.68) contrast above 1 follows the peak."""

CONTRAST_RANGE = (0.15, 3.0)
HIGHLIGHT_CONTRAST_RANGE = (0.25, 16.0)
SATURATION_RANGE_EV = (-1.0, 1.0)
OFFSET_RANGE_NITS = (-0.5, 0.5)
PUBLISHED_PEAK_NITS = 1000.0
SATURATION_SIGNALS = (0.1, 0.45, 0.8)
"""Signals up to, at and from which the first three chroma terms are whole."""

SMALL_SIZE = (144, 256)
"""Height and width of the picture that the network of `lumen-shot` sees."""

Run = Callable[[Mapping[str, NDArray[np.float32]]], Mapping[str, NDArray[np.float32]]]
"""The `condition` graph: {"small": (N, 3, 144, 256), "controls": (N, 2)} -> {"numbers": (N, 22)}."""


class Numbers(BaseModel):
    """The curve at a peak of 1000 nits. `saturation_ev`: log2 of the chroma factor in shadows, mid-tones, highlights,
    and added for pure colours. `level_mix`: 0 reads a pixel's level off its luminance, 1 off its largest component.
    `offset_nits`: light added (or taken) above black, which stays black."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contrast: tuple[float, ...] = Field(min_length=len(KNOTS), max_length=len(KNOTS))
    saturation_ev: tuple[float, float, float, float]
    level_mix: float
    offset_nits: float

    def vector(self) -> FloatArray:
        """(22,): log2 of the contrasts, then the rest in the order of the fields."""
        return np.array([*np.log2(self.contrast), *self.saturation_ev, self.level_mix, self.offset_nits])

    @classmethod
    def from_vector(cls, vector: FloatArray) -> Numbers:
        """The inverse of `vector`; what lies outside the allowed ranges is moved to their ends."""
        low, high = vector_limits()
        v = np.clip(np.asarray(vector, dtype=np.float64), low, high)
        contrast, saturation = np.exp2(v[: len(KNOTS)]), v[len(KNOTS) : -2]
        return cls.model_validate(
            {
                "contrast": contrast.tolist(),
                "saturation_ev": saturation.tolist(),
                "level_mix": float(v[-2]),
                "offset_nits": float(v[-1]),
            }
        )


VECTOR_SIZE = len(KNOTS) + 6


def vector_limits() -> tuple[FloatArray, FloatArray]:
    """Lowest and highest values of `Numbers.vector`, each (22,)."""
    contrasts = [CONTRAST_RANGE] * HIGHLIGHT_KNOT + [HIGHLIGHT_CONTRAST_RANGE] * (len(KNOTS) - HIGHLIGHT_KNOT)
    ranges = [*np.log2(contrasts).tolist(), *[SATURATION_RANGE_EV] * 4, (0.0, 1.0), OFFSET_RANGE_NITS]
    low, high = np.array(ranges, dtype=np.float64).T
    return low, high


@cache
def gain_basis() -> tuple[FloatArray, FloatArray]:
    """Signals (1101,) from 0 to 1.1, and (1101, 16) `basis`: gain in EV = basis @ (contrast - 1).

    Contrast is linear in signal between the knots and held above the last. The gain is its excess over 1, integrated
    over log2 of SDR light, less its own mean over the mid-tones, so that every curve is anchored.
    """
    signals = np.linspace(0, 1.1, 1101)
    hats = np.stack([np.interp(signals, KNOTS, row, left=0.0) for row in np.eye(len(KNOTS))], axis=1)
    light_ev = np.log2(bt1886_eotf(np.maximum(signals, signals[1])))
    steps = np.diff(light_ev)[:, np.newaxis] * (hats[1:] + hats[:-1]) / 2
    basis = np.concatenate([np.zeros((1, len(KNOTS))), np.cumsum(steps, axis=0)])
    mid = np.stack([np.interp(MID_SIGNALS, signals, column) for column in basis.T], axis=1).mean(axis=0)
    return signals, basis - mid


def gain_curve(contrast: FloatArray, peak_nits: float) -> tuple[FloatArray, FloatArray]:
    """Signals and the gain in EV over the SDR picture at 203-nit white, for 16 contrasts at 1000 nits and a peak.

    Contrast above 1 from `HIGHLIGHT_KNOT` on is scaled by the display's headroom above 203 nits in EV against that
    of 1000 nits, and by less where white would pass the peak.
    """
    signals, basis = gain_basis()
    excess = np.asarray(contrast, dtype=np.float64) - 1
    highlights = np.where(np.arange(excess.size) >= HIGHLIGHT_KNOT, np.maximum(excess, 0), 0)
    rest, rise = basis @ (excess - highlights), basis @ highlights
    headroom_ev = np.log2(peak_nits / REFERENCE_WHITE_NITS)
    white = int(np.searchsorted(signals, 1.0 - 1e-9))
    share = headroom_ev / np.log2(PUBLISHED_PEAK_NITS / REFERENCE_WHITE_NITS)
    if rise[white] > 0:
        share = min(share, max(headroom_ev - rest[white], 0.0) / rise[white])
    gain_ev = rest + share * rise
    # A white below 203 nits would be darker than doing nothing.
    return signals, gain_ev + max(-gain_ev[white], 0.0) * smoothstep(*FADE_SIGNALS, signals)


def expand_with(numbers: Numbers, peak_nits: float) -> PixelFunction:
    """The numbers as a PixelFunction; native mid-tone gain within 0.02 EV of 0, not yet guarded."""
    signals, gain_ev = gain_curve(np.array(numbers.contrast), peak_nits)

    def expand(rgb: FloatArray) -> FloatArray:
        rgb = np.asarray(rgb, dtype=np.float64)
        largest, grey = largest_component(rgb), luminance(rgb)
        signal = bt1886_eotf_inverse(grey + numbers.level_mix * (largest - grey))
        gain = REFERENCE_WHITE_NITS * np.exp2(np.interp(signal, signals, gain_ev))
        nits = gain * grey
        # o L / (L + |o|): black stays black, the curve rises for either sign, and mid-tones move by o.
        fade = nits + abs(numbers.offset_nits)
        lifted = nits + numbers.offset_nits * np.divide(nits, fade, out=np.zeros_like(nits), where=fade > 0)
        lift = np.divide(lifted, nits, out=np.ones_like(nits), where=nits > 0)
        purity = np.divide(largest - rgb.min(axis=-1), largest, out=np.zeros_like(grey), where=largest > 0)
        chroma = np.exp2(_saturation_ev(numbers, signal, np.minimum(purity, 1.0)))[..., np.newaxis]
        out_grey = (lifted)[..., np.newaxis]
        return out_grey + chroma * (rgb * (gain * lift)[..., np.newaxis] - out_grey)

    return expand


def _saturation_ev(numbers: Numbers, signal: FloatArray, purity: FloatArray) -> FloatArray:
    low, middle, high = SATURATION_SIGNALS
    shadows, mid_tones, highlights, pure = numbers.saturation_ev
    level = shadows + (mid_tones - shadows) * smoothstep(low, middle, signal)
    level = level + (highlights - mid_tones) * smoothstep(middle, high, signal)
    return level + pure * purity**2


@cache
def shipped_numbers(file: str = "lumen-fixed.json") -> Numbers:
    """The fitted numbers of this package. AgentError when the file is not usable: the installation is broken."""
    resource = files("toolchain.models.shipped") / file
    try:
        return Numbers.model_validate(json.loads(resource.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise AgentError(f"The numbers {file} cannot be used: {error}; install the package again.") from error


@dataclass(frozen=True)
class LumenFixed:
    """One fitted curve for every picture."""

    spec: ModelSpec

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        return expand_with(shipped_numbers(), controls.peak_nits)


@dataclass(frozen=True)
class LumenShot:
    """The fitted curve, adapted to a shot by a network. Without key frames it is `lumen-fixed` exactly.

    `run`: the network's `condition` graph; by default a session of the runtime in use.
    """

    spec: ModelSpec
    run: Run | None = None

    def bind(self, shot: ShotContext | None, controls: Controls) -> PixelFunction:
        if shot is None or not shot.pictures:
            return expand_with(shipped_numbers(), controls.peak_nits)
        return expand_with(self.numbers(shot.pictures, controls), controls.peak_nits)

    def numbers(self, pictures: tuple[Picture, ...], controls: Controls) -> Numbers:
        """The mean over the key frames of what the network says of each."""
        small = np.stack([small_picture(picture) for picture in pictures])
        conditions = np.repeat(control_vector(controls)[np.newaxis], len(pictures), axis=0)
        run = self.run or session_run(self.spec.id, controls.runtime)
        vectors = np.concatenate(
            [
                run({"small": small[i : i + 1], "controls": conditions[i : i + 1]})["numbers"]
                for i in range(len(small))
            ]
        )
        return Numbers.from_vector(vectors.mean(axis=0))


def small_picture(picture: Picture) -> NDArray[np.float32]:
    """(H, W, 3) display-linear BT.2020 -> (3, 144, 256) BT.709 R'G'B' signal in [0, 1]; the aspect is not kept."""
    light = np.clip(convert(np.asarray(picture, dtype=np.float32), "bt2020", "bt709"), 0.0, 1.0)
    signal = bt1886_eotf_inverse(light).astype(np.float32)
    height, width = SMALL_SIZE
    resized = np.clip(cv2.resize(signal, (width, height), interpolation=cv2.INTER_AREA), 0.0, 1.0)
    return np.ascontiguousarray(resized.transpose(2, 0, 1), dtype=np.float32)


def control_vector(controls: Controls) -> NDArray[np.float32]:
    """(2,) in [0, 1]: log2 of the peak over 203 nits by that of 10000; mid-gain from -2 to 2 EV (native: as 0)."""
    peak = np.log2(controls.peak_nits / REFERENCE_WHITE_NITS) / np.log2(10000.0 / REFERENCE_WHITE_NITS)
    return np.array([peak, ((controls.mid_gain_ev or 0.0) + 2) / 4], dtype=np.float32)


def session_run(model_id: str, runtime: RuntimeName | None) -> Run:
    """The model's `condition` graph in the session that this process shares."""
    from toolchain.models.sessions import session

    return session(model_id, "condition", runtime).run
