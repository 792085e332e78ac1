"""How a video is cut into resumable pieces, and which colour table each frame gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from toolchain.lut import Lut3d, blend
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


class ShotTables:
    """The LUT of every frame: held over a shot, eased across boundaries that are not cuts.

    `bake_shot(shot)` makes a shot's table; equal shots may return the same object. Only the shots around the frame
    being rendered are kept.
    """

    def __init__(self, shots: Sequence[Shot], frame_rate: float, bake_shot: Callable[[Shot], Lut3d]):
        self._shots = shots
        self._ease_frames = max(1, round(EASE_S * frame_rate))
        self._bake_shot = bake_shot
        self._tables: dict[int, Lut3d] = {}
        self._current = 0

    def shot_at(self, number: int) -> Shot:
        """The shot that holds frame `number`; frames are asked for in rising order."""
        while not self._shots[self._current].start_frame <= number < self._shots[self._current].end_frame:
            self._current += 1 if number >= self._shots[self._current].end_frame else -1
        return self._shots[self._current]

    def table_at(self, number: int) -> Lut3d:
        """The table for frame `number`."""
        shot = self.shot_at(number)
        own = self._table(shot.index)
        return self._eased(shot, number, own)

    def _eased(self, shot: Shot, number: int, own: Lut3d) -> Lut3d:
        half = self._ease_frames / 2
        if not shot.hard_cut and shot.index > 0 and number - shot.start_frame < half:
            weight = 0.5 - (number - shot.start_frame + 0.5) / self._ease_frames
            return self._mix(own, self._table(shot.index - 1), weight)
        following = shot.index + 1
        if following < len(self._shots) and not self._shots[following].hard_cut:
            to_boundary = shot.end_frame - number
            if to_boundary <= half:
                weight = 0.5 - (to_boundary - 0.5) / self._ease_frames
                return self._mix(own, self._table(following), weight)
        return own

    @staticmethod
    def _mix(own: Lut3d, other: Lut3d, weight: float) -> Lut3d:
        return own if other is own or weight <= 0 else blend(own, other, weight)

    def _table(self, index: int) -> Lut3d:
        if index not in self._tables:
            self._tables = {key: table for key, table in self._tables.items() if abs(key - index) <= 1}
            self._tables[index] = self._bake_shot(self._shots[index])
        return self._tables[index]
