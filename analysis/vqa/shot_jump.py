"""Shot jump: two shots that matched in the source still match."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.flicker import tone_and_gain
from analysis.vqa.pooling import judged, nothing_measured
from analysis.vqa.view import MIDTONES_NITS, View, binned_mean

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
    _shots: dict[int, _Shot] = field(default_factory=dict)

    def add(self, view: View) -> None:
        shot = self._shots.setdefault(view.shot, _Shot(view.number))
        tone, gain = view.once(tone_and_gain)
        inside = (view.half_source_y >= MIDTONES_NITS[0]) & (view.half_source_y < MIDTONES_NITS[1])
        low, high = np.log2(MIDTONES_NITS)
        count, mean = binned_mean((tone[inside] - low) / (high - low), gain[inside], TONE_BINS)
        shot.first = min(shot.first, view.number)
        shot.pixels += inside.size
        shot.count += count
        shot.total += count * mean

    def result(self) -> GateResult:
        if len(self._shots) < 2:
            return nothing_measured(self.name, self.unit, self.limit, "no cut" if self._shots else "")
        jumps = [(_jump(a, b), b.first) for (_, a), (_, b) in pairwise(sorted(self._shots.items()))]
        known = [(jump, number) for jump, number in jumps if jump is not None]
        if not known:
            return nothing_measured(self.name, self.unit, self.limit, "no cut joins shots with mid-tones in common")
        value, frame = max(known)
        return judged(self.name, self.unit, value, self.limit, f"largest of {len(known)} cuts", [frame])


def _jump(before: _Shot, after: _Shot) -> float | None:
    common = (before.count >= MIN_SHARE * before.pixels) & (after.count >= MIN_SHARE * after.pixels)
    if not common.any():
        return None
    weight = np.sqrt(before.count[common] * after.count[common])
    return abs(float(np.average((after.gains() - before.gains())[common], weights=weight)))
