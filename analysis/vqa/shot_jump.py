"""Shot jump: two shots that matched in the source still match."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.flicker import tone_and_gain
from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import judged, nothing_measured
from analysis.vqa.tones import MIDTONES_NITS, binned_mean
from analysis.vqa.view import View

TONE_BINS = 16
MIN_SHARE = 0.002
"""A tone counts where it fills this share of both shots."""


@dataclass
class _Shot:
    """How often each tone occurs in a shot and the sum of its gains."""

    first: int
    pixels: int = 0
    count: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TONE_BINS))
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(TONE_BINS))

    def joined(self, other: _Shot) -> _Shot:
        return _Shot(
            min(self.first, other.first),
            self.pixels + other.pixels,
            self.count + other.count,
            self.total + other.total,
        )

    def gains(self) -> NDArray[np.float64]:
        return self.total / np.maximum(self.count, 1)


@dataclass
class ShotJumpGate:
    """Change of the log gain of equal mid-tones (5 to 60 nits) from one shot to the next judged one, in stops.

    Compared tone by tone, so that a bright shot after a dark one is no jump. Highlights stay out: a model that adapts
    them to the shot does what it is for. Cuts whose two sides share no mid-tone hold nothing to compare.
    """

    limit: float
    name: str = "shot_jump"
    unit: str = "stop"
    _windows: dict[tuple[int, int], _Shot] = field(default_factory=dict)

    def add(self, view: View) -> None:
        shot = self._windows.setdefault((view.shot, view.window), _Shot(view.number))
        tone, gain = view.once(tone_and_gain)
        inside = (view.half_source_y >= MIDTONES_NITS[0]) & (view.half_source_y < MIDTONES_NITS[1])
        low, high = np.log2(MIDTONES_NITS)
        count, mean = binned_mean((tone[inside] - low) / (high - low), gain[inside], TONE_BINS)
        shot.first = min(shot.first, view.number)
        shot.pixels += inside.size
        shot.count += count
        shot.total += count * mean

    def result(self) -> GateResult:
        shots = self._shots()
        if len(shots) < 2:
            return nothing_measured(self.name, self.unit, self.limit, "no cut" if shots else "")
        jumps = [(_jump(a, b), b.first) for a, b in pairwise(shots)]
        known = [(jump, number) for jump, number in jumps if jump is not None]
        if not known:
            return nothing_measured(self.name, self.unit, self.limit, "no cut joins shots with mid-tones in common")
        value, frame = max(known)
        return judged(self.name, self.unit, value, self.limit, f"largest of {len(known)} cuts", [frame])

    def _shots(self) -> list[_Shot]:
        """Whole shots in order. Summed only now and in one order, so that the order of arrival changes no bit."""
        shots: dict[int, _Shot] = {}
        for (number, _), window in sorted(self._windows.items(), key=lambda item: item[0]):
            shots[number] = shots[number].joined(window) if number in shots else window
        return list(shots.values())


def _jump(before: _Shot, after: _Shot) -> float | None:
    common = (before.count >= MIN_SHARE * before.pixels) & (after.count >= MIN_SHARE * after.pixels)
    if not common.any():
        return None
    weight = np.sqrt(before.count[common] * after.count[common])
    return abs(float(np.average((after.gains() - before.gains())[common], weights=weight)))


SHOT_JUMP = MetricSpec(
    "shot_jump", "stop", (0.0, 34.0), "lower", "half-size luminance of mid-tones, log2 gain", "gate",
    "how equal tones change from shot to shot", neutral=0.0, gate=lambda spec, limit, controls: ShotJumpGate(limit),
)  # fmt: skip
