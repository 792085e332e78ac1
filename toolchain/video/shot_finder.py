"""Where shots begin: cut scores in, shot starts out, with a guard against flashes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

CUT_SCORE = 10.0
"""`scdet` score (0..100) from which a change may be a cut: 12 of 12 hard cuts found at this value."""

FLASH_S = Fraction(35, 100)
"""A change that returns to the old picture within this time is a flash, not a cut."""

MIN_SHOT_S = Fraction(2, 5)
"""A cut closer than this to the one before (or to the end) starts no shot of its own."""

MAX_SHOT_S = Fraction(10)
"""Longer shots are split, so that no segment of the render is too long to repeat."""

_RETURNED = 0.5
"""Share of the jump: closer than this to the old picture, the change has been taken back."""


@dataclass(frozen=True)
class Start:
    """Frame number that begins a shot, and whether a cut was seen there."""

    frame: int
    hard_cut: bool


@dataclass
class _Candidate:
    frame: int
    time_s: Fraction
    before: NDArray[np.uint8]
    jump: float


class ShotFinder:
    """Feed frames in order; `push` and `finish` return the shot starts that have become certain.

    A start is certain once FLASH_S has passed without a return to the picture before it.
    """

    def __init__(self) -> None:
        self._last_luma: NDArray[np.uint8] | None = None
        self._candidate: _Candidate | None = None
        self._start_s: Fraction | None = None
        self._hard_start = True

    def push(self, number: int, time_s: Fraction, luma: NDArray[np.uint8], score: float) -> list[Start]:
        """`luma` is the small Y' plane (uint8, one size throughout); `score` the `scdet` score of this frame."""
        if self._start_s is None:
            self._start_s = time_s
        waiting = self._candidate is not None
        starts = self._decide(time_s, luma)
        long_enough = time_s - self._start_s >= MIN_SHOT_S or not self._hard_start
        # The frame that takes a flash back is itself a large change, hence `waiting`.
        if not waiting and score >= CUT_SCORE and self._last_luma is not None and long_enough:
            self._candidate = _Candidate(number, time_s, self._last_luma, _distance(luma, self._last_luma))
        if self._candidate is None and time_s - self._start_s >= MAX_SHOT_S:
            starts.append(self._begin(Start(number, False), time_s))
        self._last_luma = luma
        return starts

    def finish(self, end_s: Fraction) -> list[Start]:
        """`end_s` is the end of the last frame. A cut too close to it starts nothing."""
        candidate, self._candidate = self._candidate, None
        if candidate is None or end_s - candidate.time_s < MIN_SHOT_S:
            return []
        return [self._begin(Start(candidate.frame, True), candidate.time_s)]

    def certain_before(self, number: int) -> int:
        """Frames below this number belong to shots that no later frame can change."""
        return self._candidate.frame if self._candidate else number

    def _decide(self, time_s: Fraction, luma: NDArray[np.uint8]) -> list[Start]:
        candidate = self._candidate
        if candidate is None:
            return []
        if time_s - candidate.time_s > FLASH_S:
            self._candidate = None
            return [self._begin(Start(candidate.frame, True), candidate.time_s)]
        if _distance(luma, candidate.before) < _RETURNED * candidate.jump:
            self._candidate = None
        return []

    def _begin(self, start: Start, time_s: Fraction) -> Start:
        self._start_s, self._hard_start = time_s, start.hard_cut
        return start


def _distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference in 8-bit codes."""
    return cv2.norm(a, b, cv2.NORM_L1) / a.size
