"""Have the scores of two periods the same distribution? PSI says how far apart they are, KS how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError

Word = Literal["stable", "moderate", "shifted"]
FloatArray = NDArray[np.float64]

MODERATE_PSI = 0.1
SHIFTED_PSI = 0.25
"""The usual limits of PSI (Siddiqi, Credit Risk Scorecards, 2006): less is stable, more is shifted."""

MIN_SCORES = 50
"""Of each period: with fewer, PSI is made of chance."""

SMOOTHING = 0.5
"""Added to the count of each bin, so that an empty one is rare and not impossible."""

_Z95 = 1.6448536269514722
"""95 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Drift:
    """`psi` in nats (0 = equal), `psi_by_chance` the value that 5 % of pairs of equal periods exceed at this size.

    `ks` is the largest distance of the two distribution functions, in [0, 1]; `ks_p` its asymptotic p-value.
    """

    word: Word
    psi: float
    psi_by_chance: float
    ks: float
    ks_p: float
    reference_n: int
    current_n: int
    reference_median: float
    current_median: float


def compare_periods(reference: Sequence[float], current: Sequence[float]) -> Drift:
    """How the scores `current` differ from those of `reference`.

    Raises InputError when a period has fewer than MIN_SCORES, or a score that is not finite.
    """
    before, after = _checked("reference", reference), _checked("current", current)
    edges = decile_edges(before)
    psi, (ks, ks_p) = population_stability(before, after, edges), kolmogorov_smirnov(before, after)
    return Drift(
        word="stable" if psi < MODERATE_PSI else "moderate" if psi < SHIFTED_PSI else "shifted",
        psi=psi,
        psi_by_chance=_chi_square_95(edges.size) * (1 / before.size + 1 / after.size),
        ks=ks,
        ks_p=ks_p,
        reference_n=before.size,
        current_n=after.size,
        reference_median=float(np.median(before)),
        current_median=float(np.median(after)),
    )


def decile_edges(reference: FloatArray) -> FloatArray:
    """Inner edges, rising, of bins (a, b]: the nine deciles of `reference`.

    A value that is several deciles at once gets a bin of its own, or a fall below it would stay unseen.
    """
    deciles, counts = np.unique(np.quantile(reference, np.arange(1, 10) / 10), return_counts=True)
    return np.union1d(deciles, np.nextafter(deciles[counts > 1], -np.inf))


def population_stability(reference: FloatArray, current: FloatArray, edges: FloatArray) -> float:
    """Sum over bins of (q - p) ln(q / p), with p and q the smoothed shares of the two periods. Never negative."""
    shares = []
    for values in (reference, current):
        counts = np.bincount(np.searchsorted(edges, values), minlength=edges.size + 1) + SMOOTHING
        shares.append(counts / counts.sum())
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


def kolmogorov_smirnov(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Two-sample statistic and its asymptotic two-sided p-value (Smirnov, 1948)."""
    every = np.concatenate([first, second])
    shares = (np.searchsorted(np.sort(values), every, side="right") / values.size for values in (first, second))
    distance = float(np.max(np.abs(np.subtract(*shares))))
    return distance, kolmogorov_tail(distance * math.sqrt(first.size * second.size / (first.size + second.size)))


def kolmogorov_tail(x: float) -> float:
    """Share of Kolmogorov's distribution above `x`: 2 sum of (-1)^(k-1) exp(-2 k^2 x^2).

    Below 1 the series converges badly and its transform is summed: 1 - sqrt(2 pi)/x sum of
    exp(-(2k - 1)^2 pi^2 / (8 x^2)) (Feller, Annals of Mathematical Statistics 19, 1948).
    """
    if x < 0.05:  # the first term is exp(-493) there
        return 1.0
    if x < 1:
        below = sum(math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * x**2)) for k in range(1, 6))
        return 1 - math.sqrt(2 * math.pi) / x * below
    return 2 * sum((-1) ** (k - 1) * math.exp(-2 * k**2 * x**2) for k in range(1, 6))


def _chi_square_95(degrees: int) -> float:
    """95 % quantile of chi-square, which PSI n m / (n + m) follows between equal periods (Yurdakul, 2018).

    Wilson and Hilferty's approximation (PNAS 17, 1931), within 1 % from 2 degrees on.
    """
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + _Z95 * math.sqrt(spread)) ** 3


def _checked(name: str, scores: Sequence[float]) -> FloatArray:
    values = np.asarray(scores, np.float64)
    if values.size < MIN_SCORES:
        raise InputError(f"the {name} period has {values.size} scores: at least {MIN_SCORES} are needed")
    if not np.isfinite(values).all():
        raise InputError(f"the {name} period has a score that is not finite: remove its line")
    return values
