"""Segments begin at shots; colour tables are held over a shot and eased only where there is no cut."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.segments import ShotValues, plan_segments
from toolchain.video.shots import Shot


def shots_of(lengths: list[int], cuts: list[bool] | None = None) -> list[Shot]:
    shots, start = [], 0
    for index, length in enumerate(lengths):
        hard = index > 0 and (cuts is None or cuts[index])
        shots.append(
            Shot(index=index, start_frame=start, end_frame=start + length, hard_cut=hard, key_frames=(start,))
        )
        start += length
    return shots


def level_at(values: ShotValues[float], number: int) -> float:
    held = values.at(number)
    other = held.own if held.other is None else held.other
    return held.own + held.other_share * (other - held.own)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.floats(0.1, 10))
def test_segments_cover_every_frame_once_and_begin_at_shots(lengths: list[int], target_s: float) -> None:
    shots = shots_of(lengths)
    total = sum(lengths)
    segments = plan_segments(shots, list(range(total)), Fraction(1, 25), target_s)
    assert segments[0].start_frame == 0
    assert segments[-1].end_frame == total
    assert all(a.end_frame == b.start_frame for a, b in pairwise(segments))
    starts = {shot.start_frame for shot in shots}
    assert all(segment.start_frame in starts for segment in segments)
    for segment in segments[:-1]:
        assert (segment.end_frame - segment.start_frame) / 25 >= target_s - 1 / 25


def test_table_is_held_over_a_shot_and_changes_at_a_cut() -> None:
    tables = ShotValues(shots_of([50, 50]), 25.0, lambda shot: 100.0 * (1 + shot.index))
    levels = [level_at(tables, n) for n in range(100)]
    assert levels == [100.0] * 50 + [200.0] * 50


def test_table_is_eased_where_no_cut_explains_a_change() -> None:
    shots = shots_of([50, 50], cuts=[False, False])
    tables = ShotValues(shots, 25.0, lambda shot: 100.0 * (1 + shot.index))
    levels = np.array([level_at(tables, n) for n in range(100)])
    assert levels[0] == 100.0
    assert levels[-1] == 200.0
    steps = np.diff(levels)
    assert np.all(steps >= 0)
    assert steps.max() < 5.0  # 100 units over one second of 25 frames


def test_a_resumed_render_sees_the_same_tables() -> None:
    shots = shots_of([30, 60, 40], cuts=[False, False, False])
    whole = ShotValues(shots, 30.0, lambda shot: 100.0 + 50 * shot.index)
    resumed = ShotValues(shots, 30.0, lambda shot: 100.0 + 50 * shot.index)
    expected = [level_at(whole, n) for n in range(130)]
    assert [level_at(resumed, n) for n in range(90, 130)] == expected[90:]
