"""Drift of scores: values worked out by hand or published, and what chance does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.vqa.drift import (
    MIN_SCORES,
    SMOOTHING,
    compare_periods,
    decile_edges,
    kolmogorov_smirnov,
    kolmogorov_tail,
    population_stability,
)
from toolchain.errors import InputError


def test_psi_by_hand() -> None:
    """One inner edge: smoothed shares (8.5, 2.5) of 11 and (2.5, 8.5) of 11."""
    reference, current = np.array([0.0] * 8 + [2.0] * 2), np.array([0.0] * 2 + [2.0] * 8)
    assert pytest.approx(2 * 6 / 11 * math.log(8.5 / 2.5)) == population_stability(
        reference, current, np.array([1.0])
    )
    assert SMOOTHING == 0.5


def test_bins_are_the_references_deciles_with_the_edge_inside() -> None:
    edges = decile_edges(np.arange(1.0, 101))
    assert edges == pytest.approx(np.arange(10.9, 100, 9.9))
    assert np.bincount(np.searchsorted(edges, np.arange(1.0, 101))).tolist() == [10] * 10


def test_a_value_of_several_deciles_has_a_bin_of_its_own() -> None:
    constant = np.full(60, 5.0)
    assert decile_edges(constant).tolist() == [math.nextafter(5.0, 0.0), 5.0]
    for current in (4.0, 6.0):
        assert compare_periods(constant, np.full(60, current)).word == "shifted"
    same = compare_periods(constant, constant)
    assert (same.word, same.psi, same.ks, same.ks_p) == ("stable", 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "share"),
    # Smirnov, "Table for estimating the goodness of fit of empirical distributions", 1948: 1 - L(x).
    [(0.28, 1 - 0.000001), (0.50, 1 - 0.036055), (1.00, 1 - 0.730000), (1.36, 1 - 0.950514)],
)
def test_kolmogorovs_distribution_as_tabled(x: float, share: float) -> None:
    assert kolmogorov_tail(x) == pytest.approx(share, abs=1e-6)


def test_both_series_meet() -> None:
    assert kolmogorov_tail(1 - 1e-12) == pytest.approx(kolmogorov_tail(1.0), abs=1e-10)
    assert [kolmogorov_tail(x) for x in (0.0, 0.01)] == [1.0, 1.0]
    assert kolmogorov_tail(20.0) == 0.0


def test_ks_by_hand() -> None:
    """F1 - F2 is largest after 3: 3/4 against 1/4; tied values count on both sides at once."""
    distance, share = kolmogorov_smirnov(np.array([1.0, 2.0, 3.0, 5.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    assert distance == 0.5
    assert share == pytest.approx(kolmogorov_tail(0.5 * math.sqrt(2)))


@pytest.mark.parametrize(
    ("shift", "word"), [(0.0, "stable"), (0.4, "moderate"), (1.0, "shifted")], ids=["none", "some", "much"]
)
def test_words_follow_the_usual_limits(shift: float, word: str) -> None:
    """Two normal distributions `shift` standard deviations apart have PSI of about shift squared."""
    rng = np.random.default_rng(1)
    found = compare_periods(rng.normal(size=5000), rng.normal(shift, size=5000))
    assert found.word == word
    assert found.psi == pytest.approx(shift**2, abs=0.05 + 0.15 * shift**2)
    assert found.current_median - found.reference_median == pytest.approx(shift, abs=0.1)
    assert (found.ks_p > 0.01) == (shift == 0)


def test_chance_reaches_its_bound_once_in_twenty() -> None:
    rng = np.random.default_rng(2)
    pairs = [compare_periods(rng.normal(size=400), rng.normal(size=300)) for _ in range(1000)]
    assert 0.03 <= np.mean([pair.psi > pair.psi_by_chance for pair in pairs]) <= 0.07
    assert 0.02 <= np.mean([pair.ks_p < 0.05 for pair in pairs]) <= 0.07


@given(st.lists(st.floats(0, 100), min_size=50, max_size=80), st.lists(st.floats(0, 100), min_size=50, max_size=80))
def test_any_two_periods_have_finite_figures(reference: list[float], current: list[float]) -> None:
    found = compare_periods(reference, current)
    assert 0 <= found.psi < math.inf
    assert found.psi_by_chance > 0
    assert 0 <= found.ks <= 1
    assert 0 <= found.ks_p <= 1
    assert compare_periods(reference, list(reversed(reference))).psi == 0


def test_what_is_too_small_or_not_finite_is_refused() -> None:
    enough = [float(number) for number in range(MIN_SCORES)]
    with pytest.raises(InputError, match="the current period has 49 scores: at least 50"):
        compare_periods(enough, enough[1:])
    with pytest.raises(InputError, match="the reference period has a score that is not finite"):
        compare_periods([*enough, math.nan], enough)
