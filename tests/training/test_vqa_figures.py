"""Correlations, intervals and ordered pairs against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.vqa_figures import fitted, interval, ordered_share, plcc, srcc


def test_rank_correlation_by_hand() -> None:
    # d = 0, 1, 1, 0 over 4 ranks: 1 - 6 * 2 / (4 * 15)
    assert srcc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])) == pytest.approx(0.8)


def test_ties_share_their_mean_rank() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1]
    assert srcc(np.array([0.0, 5.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(expected)


def test_a_constant_side_has_no_correlation() -> None:
    assert math.isnan(plcc(np.ones(4), np.arange(4.0)))
    assert math.isnan(srcc(np.arange(4.0), np.ones(4)))
    np.testing.assert_array_equal(fitted(np.ones(4), np.arange(4.0)), np.ones(4))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_fit_straightens_a_logistic_relation(sign: int) -> None:
    scores = np.linspace(-4, 4, 60)
    labels = 0.1 + 0.8 / (1 + np.exp(-sign * (scores - 0.5) / 0.4))
    assert abs(plcc(scores, labels)) < 0.95
    assert plcc(fitted(scores, labels), labels) == pytest.approx(1, abs=1e-4)


def test_the_fit_is_never_worse_than_the_raw_scores() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(80)
    scores = labels + 0.2 * rng.standard_normal(80)
    assert plcc(fitted(scores, labels), labels) >= plcc(scores, labels) - 1e-3


def test_an_interval_holds_its_value_and_needs_two_titles() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(60)
    scores = labels + 0.3 * rng.standard_normal(60)
    titles = [f"t{index // 6}" for index in range(60)]
    value, low, high = interval(srcc, scores, labels, titles)
    assert low < value < high
    assert interval(srcc, scores, labels, titles) == [value, low, high]
    assert math.isnan(interval(srcc, scores, labels, ["t"] * 60)[1])


def test_pairs_are_counted_within_titles() -> None:
    scores, labels = np.array([0.9, 0.1, 0.2, 0.8]), np.array([1.0, 0.0, 1.0, 0.0])
    assert ordered_share(scores, labels, ["a", "a", "b", "b"]) == (0.5, 2)
    assert math.isnan(ordered_share(scores, labels, ["a", "b", "c", "d"])[0])
