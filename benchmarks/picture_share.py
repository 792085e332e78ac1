"""Shares of cases that are not independent: many come from one picture, and those go right or wrong together.

An interval that takes each case for a new one (Wilson's, as for a coin) is too narrow then. Here pictures are drawn
with replacement, each with all of its cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.damage.figures import Share

SAMPLES = 2000
SEED = 20251120


@dataclass(frozen=True)
class PictureShare:
    """Cases by the picture they come from, and whether each counts."""

    cases: tuple[tuple[str, bool], ...]

    @classmethod
    def of(cls, cases: Iterable[tuple[str, bool]]) -> PictureShare:
        return cls(tuple(cases))

    @property
    def count(self) -> int:
        return sum(counts for _, counts in self.cases)

    @property
    def pictures(self) -> int:
        return len({picture for picture, _ in self.cases})

    @property
    def interval(self) -> tuple[float, float]:
        """95 % in percent: percentiles of a bootstrap over pictures, fixed seed.

        Where no case counts, or every one does, resampling shows no spread: Wilson's interval of that share then, as
        if each picture were one case.
        """
        if self.count in (0, len(self.cases)):
            pictures = self.pictures
            return Share(pictures if self.count else 0, pictures).interval
        names = sorted({picture for picture, _ in self.cases})
        tables = np.zeros((len(names), 2))
        for picture, counts in self.cases:
            tables[names.index(picture)] += counts, 1
        drawn = tables[np.random.default_rng(SEED).integers(0, len(names), (SAMPLES, len(names)))].sum(axis=1)
        low, high = np.percentile(100 * drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
        return float(low), float(high)

    def as_json(self) -> dict[str, float]:
        """Count, total, percent, interval, and how many pictures it rests on."""
        low, high = self.interval
        percent = 100 * self.count / len(self.cases) if self.cases else 0.0
        rounded = {"percent": round(percent, 2), "low": round(low, 2), "high": round(high, 2)}
        return {"count": self.count, "total": len(self.cases), "pictures": self.pictures, **rounded}
