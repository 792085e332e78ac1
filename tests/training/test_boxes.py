"""Boxes paired with boxes: against every possible pairing of small cases."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.schema import Box, Distortion, DistortionType
from training.boxes import assignment, iou_table, is_local, matches


def noise(box: Box, kind: DistortionType = "noise") -> Distortion:
    return Distortion(type=kind, severity="minor", bbox_1000=box)


def test_the_overlap_of_boxes() -> None:
    boxes: list[Box] = [(0, 0, 100, 100), (50, 0, 150, 100), (100, 0, 200, 100)]
    assert iou_table(boxes[:1], boxes) == pytest.approx(np.array([[1.0, 1 / 3, 0.0]]))
    assert iou_table([], boxes).shape == (0, 3)


def test_a_box_is_local_up_to_seven_tenths_of_the_frame() -> None:
    assert is_local((0, 0, 1000, 700)) and not is_local((0, 0, 1000, 701))


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements=st.sampled_from([-9.0, -2.5, -1.0, 0.0, 0.5, 3.0]),
    )
)
def test_an_assignment_costs_the_least_of_all(cost: np.ndarray) -> None:
    pairs = assignment(cost)
    few, many = sorted(cost.shape)
    assert len(pairs) == len({row for row, _ in pairs}) == len({column for _, column in pairs}) == few
    table = cost if cost.shape[0] == few else cost.T
    least = min(
        sum(table[row, column] for row, column in enumerate(order)) for order in permutations(range(many), few)
    )
    assert sum(cost[pair] for pair in pairs) == pytest.approx(least)


def test_as_many_pairs_as_there_can_be_and_then_the_best() -> None:
    """The first box alone would fit the second truth better, but then the second box would have none."""
    true = [noise((0, 0, 100, 100)), noise((0, 0, 100, 80))]
    found = [noise((0, 0, 100, 75)), noise((0, 0, 100, 41))]
    assert [pair[:2] for pair in matches(found, true)] == [(0, 0), (1, 1)]
    assert [pair[:2] for pair in matches(found[:1], true)] == [(0, 1)]
    assert matches(found[:1], true)[0][2] == pytest.approx(75 / 80)


def test_one_pair_more_is_worth_more_than_a_nearer_one() -> None:
    """IoU .145 and .2 as two pairs, or .99 as one."""
    true = [noise((0, 70, 100, 200)), noise((0, 0, 100, 100))]
    found = [noise((0, 0, 100, 99)), noise((0, 0, 100, 20))]
    assert [pair[:2] for pair in matches(found, true, least_iou=0.1)] == [(0, 0), (1, 1)]


def test_pairs_are_of_one_type_and_overlap_by_half() -> None:
    true = [noise((0, 0, 100, 100))]
    assert matches([noise((0, 0, 100, 50))], true) and not matches([noise((0, 0, 100, 49))], true)
    other = [noise((0, 0, 100, 100), "motion_blur")]
    assert not matches(other, true) and matches(other, true, same_type=False)
    assert matches([], true) == matches(true, []) == []
