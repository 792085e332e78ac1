"""How a video is cut into resumable pieces, and what is held over a shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from toolchain.video.shots import Shot

EASE_S = 1.0
"""Where no cut explains a change of parameters, it is spread over this long."""


@dataclass(frozen=True)
class Segment:
    """Frames [start_frame, end_frame), rendered into one closed-GOP file."""

    index: int
    start_frame: int
    end_frame: int


def plan_segments(shots: Sequence[Shot], pts: Sequence[int], time_base: Fraction, target_s: float) -> list[Segment]:
    """Join whole shots into segments of at least `target_s` seconds (the last may be shorter)."""
    segments: list[Segment] = []
    start = 0
    for shot in shots:
        last = shot.end_frame == shots[-1].end_frame
        end_pts = pts[-1] if last else pts[shot.end_frame]
        if last or (end_pts - pts[start]) * time_base >= target_s:
            segments.append(Segment(len(segments), start, shot.end_frame))
            start = shot.end_frame
    return segments


Value = TypeVar("Value")


@dataclass(frozen=True)
class Held(Generic[Value]):
    """What one frame gets: its shot's own value and, near a boundary that is no cut, a share of the neighbour's."""

    shot: Shot
    own: Value
    other: Value | None = None
    other_share: float = 0.0


class ShotValues(Generic[Value]):
    """A value made once a shot and held over it, eased across boundaries that are not cuts.

    `make(shot)` makes a shot's value; equal shots may return the same object, which is then not eased. Only the shots
    around the frame being rendered are kept. Frames are asked for in rising order.
    """

    def __init__(self, shots: Sequence[Shot], frame_rate: float, make: Callable[[Shot], Value]):
        self._shots = shots
        self._ease_frames = max(1, round(EASE_S * frame_rate))
        self._make = make
        self._values: dict[int, Value] = {}
        self._current = 0

    def at(self, number: int) -> Held[Value]:
        """What frame `number` gets."""
        shot = self._shot_at(number)
        own = self._value(shot.index)
        half = self._ease_frames / 2
        if not shot.hard_cut and shot.index > 0 and number - shot.start_frame < half:
            share = 0.5 - (number - shot.start_frame + 0.5) / self._ease_frames
            return self._held(shot, own, shot.index - 1, share)
        following = shot.index + 1
        to_boundary = shot.end_frame - number
        if following < len(self._shots) and not self._shots[following].hard_cut and to_boundary <= half:
            return self._held(shot, own, following, 0.5 - (to_boundary - 0.5) / self._ease_frames)
        return Held(shot, own)

    def _held(self, shot: Shot, own: Value, other_index: int, share: float) -> Held[Value]:
        other = self._value(other_index)
        return Held(shot, own) if other is own or share <= 0 else Held(shot, own, other, share)

    def _shot_at(self, number: int) -> Shot:
        while not self._shots[self._current].start_frame <= number < self._shots[self._current].end_frame:
            self._current += 1 if number >= self._shots[self._current].end_frame else -1
        return self._shots[self._current]

    def _value(self, index: int) -> Value:
        if index not in self._values:
            self._values = {key: value for key, value in self._values.items() if abs(key - index) <= 1}
            self._values[index] = self._make(self._shots[index])
        return self._values[index]
