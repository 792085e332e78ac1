"""Which frames speak for a shot: spread over it, not blank, not a flash; few are held at any time."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

MAX_HELD = 6
"""Full-resolution frames held for one shot, however long it is."""

FIRST_STEP = 4
"""One frame in so many is looked at, from the shot's first; doubled whenever MAX_HELD is passed."""

TWO_FROM_S, THREE_FROM_S = 2, 5
BLANK_DEVIATION = 4.0
"""Standard deviation of 8-bit Y' below which a picture is taken for black, a flash or a fade."""

FLASH_DISTANCE = 50.0
"""Distance of a frame's mean Y' from the shot's median, in 8-bit codes, from which it is taken for a flash."""


class KeyFrames:
    """Candidates of one shot, offered frame by frame."""

    def __init__(self) -> None:
        self._step = FIRST_STEP
        self._first: int | None = None
        self._held: list[tuple[int, VideoFrame, float, float]] = []

    def offer(self, number: int, frame: VideoFrame, luma: NDArray[np.uint8]) -> None:
        """Consider a frame; `luma` is its small Y' plane."""
        if self._first is None:
            self._first = number
        if (number - self._first) % self._step:
            return
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(luma))
        self._held.append((number, frame, mean, deviation))
        if len(self._held) > MAX_HELD:
            self._held = self._held[::2]
            self._step *= 2

    def merge(self, later: KeyFrames) -> None:
        """Take in the candidates of frames that turned out to belong to the same shot."""
        self._held += later._held

    def choose(self, duration_s: Fraction) -> list[tuple[int, VideoFrame]]:
        """One to three (number, frame), in order: one below 2 s, two below 5 s, else three."""
        wanted = 1 if duration_s < TWO_FROM_S else 2 if duration_s < THREE_FROM_S else 3
        usable = self._usable() or self._held
        low, high = self._held[0][0], self._held[-1][0]
        targets = [low + (high - low) * (2 * i + 1) / (2 * wanted) for i in range(wanted)]
        chosen = {min(usable, key=lambda held, t=target: abs(held[0] - t))[0] for target in targets}
        return [(number, frame) for number, frame, _, _ in usable if number in chosen]

    def _usable(self) -> list[tuple[int, VideoFrame, float, float]]:
        pictures = [held for held in self._held if held[3] >= BLANK_DEVIATION]
        if not pictures:
            return []
        median = float(np.median([mean for _, _, mean, _ in pictures]))
        return [held for held in pictures if abs(held[2] - median) < FLASH_DISTANCE]
