"""Flicker: the gain over the source does not move from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.metric import MakeGate, MetricSpec
from analysis.vqa.pooling import judged, nothing_measured
from analysis.vqa.spec import Image, JudgeControls
from analysis.vqa.tones import binned_mean
from analysis.vqa.view import View, stops
from toolchain.errors import AgentError

TILES = (16, 9)
TONE_BINS = 48
TONE_RANGE = (-4.0, 8.0)
"""log2 nits of the source: 0.06 to 256."""


@dataclass
class _Curve:
    """The tone curve of a window: each tone's gain in the first frame that has it."""

    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(TONE_BINS, np.bool_))
    tones: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TONE_BINS))
    gains: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TONE_BINS))

    def learn(self, tone: Image, gain: Image) -> None:
        low, high = TONE_RANGE
        position = (tone - low) / (high - low)
        count, tones = binned_mean(position, tone, TONE_BINS)
        new = (count > 0) & ~self.known
        if new.any():
            gains = binned_mean(position, gain, TONE_BINS)[1]
            self.tones[new], self.gains[new] = tones[new], gains[new]
            self.known |= new

    def at(self, tone: Image) -> Image:
        return np.interp(tone, self.tones[self.known], self.gains[self.known]).astype(np.float32)


@dataclass
class _Window:
    """Running sums of the gain's deviation in each tile; nothing grows with the number of frames."""

    last_number: int
    curve: _Curve = field(default_factory=lambda: _Curve())
    frames: int = 0
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TILES[0] * TILES[1] + 1))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TILES[0] * TILES[1] + 1))
    largest: tuple[float, int] = (-1.0, 0)

    def add(self, deviation: Image, number: int) -> None:
        tiles = cv2.resize(deviation, TILES, interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
        values = np.append(tiles, deviation.mean(dtype=np.float64))
        self.total += values
        self.squares += values**2
        self.frames += 1
        self.last_number = number
        self.largest = max(self.largest, (abs(float(values[-1])), number))

    def spread(self) -> NDArray[np.float64]:
        """Standard deviation over time in stops: the tiles, and the whole frame last."""
        mean = self.total / self.frames
        return np.sqrt(np.maximum(self.squares / self.frames - mean**2, 0))


@dataclass
class FlickerGate:
    """Standard deviation over time of the log gain at equal source luminance, in the worst window of frames.

    The gain of a static curve moves with the picture (a lamp enters, the mean gain rises), so each pixel's gain is
    held against the window's tone curve, each tone's gain where it is first seen: a static pointwise model scores
    next to 0 whatever moves, enters or fades in. `pick` reads the value from the spreads (tiles, whole frame last).
    Windows of one frame measure nothing, which passes only where `absent` says why there is nothing to measure.
    """

    name: str
    limit: float
    pick: Callable[[NDArray[np.float64]], float]
    absent: str = ""
    unit: str = "stop"
    _windows: dict[tuple[int, int], _Window] = field(default_factory=dict)

    def add(self, view: View) -> None:
        tone, gain = view.once(tone_and_gain)
        key = (view.shot, view.window)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(view.number - 1)
        if view.number <= window.last_number:
            raise AgentError(f"Frame {view.number} came after {window.last_number}; frames of a window must rise.")
        window.curve.learn(tone, gain)
        window.add(gain - window.curve.at(tone), view.number)

    def result(self) -> GateResult:
        measured = {key: window for key, window in self._windows.items() if window.frames > 1}
        if not measured:
            return nothing_measured(self.name, self.unit, self.limit, self.absent)
        value, key = max((self.pick(window.spread()), key) for key, window in measured.items())
        frames = [measured[key].largest[1]]
        return judged(self.name, self.unit, value, self.limit, f"worst in shot {key[0]}, window {key[1]}", frames)


def tone_and_gain(view: View) -> tuple[Image, Image]:
    """log2 source luminance and log2 output / source of each half-size pixel."""
    tone = stops(view.half_source_y)
    return tone, stops(view.half_output_y) - tone


def whole_frame(spread: NDArray[np.float64]) -> float:
    """The spread of the whole frame's gain."""
    return float(spread[-1])


def tiles_p95(spread: NDArray[np.float64]) -> float:
    """The 95th percentile of the tiles' spreads."""
    return float(np.percentile(spread[:-1], 95))


def _make(pick: Callable[[NDArray[np.float64]], float]) -> MakeGate:
    def gate(spec: MetricSpec, limit: float, controls: JudgeControls) -> FlickerGate:
        return FlickerGate(spec.name, limit, pick, "the video is one frame" if controls.single_frame else "")

    return gate


_DOMAIN = "half-size luminance, log2 gain over time at equal tones"
FLICKER = MetricSpec(
    "flicker", "stop", (0.0, 17.0), "lower", _DOMAIN, "gate", "how the brightness of the whole frame wavers",
    neutral=0.0, gate=_make(whole_frame), stages=("verify",),
)  # fmt: skip
FLICKER_TILE = MetricSpec(
    "flicker_tile", "stop", (0.0, 17.0), "lower", _DOMAIN, "gate", "how the brightness of places wavers",
    neutral=0.0, gate=_make(tiles_p95), stages=("verify",),
)  # fmt: skip
