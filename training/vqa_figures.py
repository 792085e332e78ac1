"""How well scores follow labels: correlations with intervals, and pairs in the right order.

Rows of one title share their content, so intervals come from drawing whole titles (percentile bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.floating]
Measure = Callable[[Values, Values], float]

BOOTSTRAPS = 1000
EQUAL = 0.02
"""Labels closer than this are no pair: metrics themselves do not tell them apart."""


def srcc(scores: Values, labels: Values) -> float:
    """Spearman's rank correlation; ties share their mean rank. NaN where either side is constant."""
    return plcc(_ranks(scores), _ranks(labels))


def plcc(scores: Values, labels: Values) -> float:
    """Pearson's correlation. NaN where either side is constant or there are fewer than two."""
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(labels) == 0:
        return float("nan")
    return float(np.corrcoef(scores, labels)[0, 1])


def fitted(scores: Values, labels: Values) -> Values:
    """The scores after the monotone logistic of four numbers that is usually fitted before Pearson's correlation
    (VQEG); the scores themselves where there is nothing to fit."""
    if not np.isfinite(plcc(scores, labels)):
        return scores
    return _logistic(_fit_logistic(scores, labels), scores)


def interval(measure: Measure, scores: Values, labels: Values, titles: Sequence[str], seed: int = 0) -> list[float]:
    """[value, lower, upper]: the measure and its 95 % interval over titles; NaN bounds where there is one title."""
    value = measure(scores, labels)
    groups = [np.flatnonzero(np.array(titles) == title) for title in sorted(set(titles))]
    if len(groups) < 2:
        return [value, float("nan"), float("nan")]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([groups[index] for index in rng.integers(len(groups), size=len(groups))])
        found.append(measure(scores[drawn], labels[drawn]))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return [value, float(low), float(high)]


def ordered_share(scores: Values, labels: Values, titles: Sequence[str]) -> tuple[float, int]:
    """Share of pairs of one title whose scores stand in the labels' order, and how many pairs there are."""
    right = total = 0
    for title in sorted(set(titles)):
        at = np.flatnonzero(np.array(titles) == title)
        label, score = labels[at][:, None] - labels[at], scores[at][:, None] - scores[at]
        pairs = label > EQUAL
        right += int(np.count_nonzero(pairs & (score > 0)))
        total += int(np.count_nonzero(pairs))
    return (right / total if total else float("nan")), total


def _ranks(values: Values) -> Values:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[where].astype(np.float64)


def _logistic(numbers: Numbers, scores: Values) -> Values:
    low, rise, middle, width = (float(number) for number in numbers)
    return low + rise / (1 + np.exp(-np.clip((scores - middle) / width, -60, 60)))


def _fit_logistic(scores: Values, labels: Values, rounds: int = 60) -> Numbers:
    """Levenberg and Marquardt's least squares from the labels' range and the scores' middle."""
    spread = float(np.std(scores)) * np.sign(plcc(scores, labels) or 1.0)
    numbers: Numbers = np.array([labels.min(), np.ptp(labels), np.median(scores), spread or 1.0])
    damping, error = 1e-2, float(np.sum((_logistic(numbers, scores) - labels) ** 2))
    for _ in range(rounds):
        jacobian = np.stack([_slope(numbers, scores, index) for index in range(4)], axis=1)
        normal = jacobian.T @ jacobian
        downhill = jacobian.T @ (labels - _logistic(numbers, scores))
        step = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal) + 1e-12), downhill, rcond=None)[0]
        tried = numbers + step
        tried[3] = np.copysign(max(abs(tried[3]), 1e-4), numbers[3])
        new_error = float(np.sum((_logistic(tried, scores) - labels) ** 2))
        better = new_error < error
        damping = damping / 3 if better else damping * 5
        if better:
            numbers, error = tried, new_error
    return numbers


def _slope(numbers: Numbers, scores: Values, index: int) -> Values:
    reach = np.zeros(4)
    reach[index] = 1e-5 * max(abs(numbers[index]), 1e-3)
    return (_logistic(numbers + reach, scores) - _logistic(numbers - reach, scores)) / (2 * reach[index])
