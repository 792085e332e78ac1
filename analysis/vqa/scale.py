"""What a score means: its percentile in a frozen benchmark, how sure that is, and a word for it.

A map belongs to one model, one benchmark and one preprocessing; with any other it is refused. Distortion scores are
ranks, not opinions: the words poor, fair and excellent follow the place in the benchmark and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from toolchain.errors import AgentError, InputError, UsageError

Label = Literal["poor", "fair", "excellent"]
Tail = Literal["inside", "below", "above"]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16,128}$")]

CONFIDENCE = 0.95
"""Of the interval around a percentile, and of the one around a score; both hold at once for at least 90 %."""

STORED_STEPS = 1000
"""A large benchmark is stored thinned to steps of at most 100 / STORED_STEPS points."""

_MAX_QUANTILES = 2 * STORED_STEPS + 2
_MAX_FILE_BYTES = 1 << 20
_MAX_VIDEOS = 1 << 40
_SHIPPED = ("shipped", "percentiles.json")
_REMEDY = "run `agent vqa calibrate DIR` again"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(_Record):
    """Where poor ends and excellent begins, in percentiles.

    The defaults are the quarters of the benchmark: provisional, until subjective tests say where viewers draw them.
    """

    poor_below: float = Field(default=25.0, gt=0, lt=100)
    excellent_from: float = Field(default=75.0, gt=0, lt=100)
    basis: str = "provisional: quarters of the benchmark, no subjective test"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.poor_below >= self.excellent_from:
            raise ValueError(f"poor_below {self.poor_below} must be less than excellent_from {self.excellent_from}")
        return self

    def label(self, percentile: float) -> Label:
        if percentile < self.poor_below:
            return "poor"
        return "fair" if percentile < self.excellent_from else "excellent"


@dataclass(frozen=True)
class Placement:
    """Where a score stands. `percentile`, `dkw_points`, `low` and `high` are in points of 0 to 100.

    [`low`, `high`] holds the percentile among all videos of the benchmark's kind (see `PercentileMap.place`).

    `tail` says that the score lies outside all of the benchmark, so that its percentile is the outermost one.
    `uncertain`: [`low`, `high`] reaches into another word than `label`.
    """

    percentile: float
    dkw_points: float
    low: float
    high: float
    label: Label
    uncertain: bool
    tail: Tail


class PercentileMap(_Record):
    """Scores of a frozen benchmark as quantiles. `scores` and `percentiles` rise strictly, one a stored quantile."""

    schema_version: Literal["1.0"] = "1.0"
    model_hash: Hash
    benchmark_hash: Hash
    preprocessing_hash: Hash
    n: int = Field(ge=1, le=_MAX_VIDEOS, description="videos in the benchmark")
    scores: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=_MAX_QUANTILES)
    percentiles: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(min_length=1)
    thresholds: Thresholds = Thresholds()
    score_half_width: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="split-conformal, in score units; None: not known"
    )
    command: str = Field(description="what made this map")
    version: str = Field(description="version of sdr2hdr-agent that made it")

    @model_validator(mode="after")
    def _is_a_scale(self) -> Self:
        if not len(self.scores) == len(self.percentiles) <= self.n:
            raise ValueError(
                f"{len(self.scores)} scores, {len(self.percentiles)} percentiles, {self.n} videos do not fit together"
            )
        for name, values in (("scores", self.scores), ("percentiles", self.percentiles)):
            if any(after <= before for before, after in pairwise(values)):
                raise ValueError(f"{name} must rise strictly")
        return self

    def percentile(self, score: float) -> float:
        """100 mid-rank / (n + 1), linear between stored quantiles, the outermost percentile beyond them."""
        return float(np.interp(score, self.scores, self.percentiles))

    def place(self, score: float) -> Placement:
        """The score's percentile, interval and word. Raises AgentError for a score that is not finite.

        The interval is the percentiles of the score's own interval, widened by the DKW half-width; beyond the
        benchmark, where nothing was seen, it reaches to the end of the scale.
        """
        if not math.isfinite(score):
            raise AgentError(f"a score of {score} has no percentile: only finite scores do")
        own, dkw = self.score_half_width or 0.0, dkw_half_width_points(self.n)
        low = 0.0 if score - own < self.scores[0] else max(0.0, self.percentile(score - own) - dkw)
        high = 100.0 if score + own > self.scores[-1] else min(100.0, self.percentile(score + own) + dkw)
        percentile, label = self.percentile(score), self.thresholds.label
        return Placement(
            percentile=percentile,
            dkw_points=dkw,
            low=low,
            high=high,
            label=label(percentile),
            uncertain=label(low) != label(high),
            tail="below" if score < self.scores[0] else "above" if score > self.scores[-1] else "inside",
        )


def dkw_half_width_points(n: int) -> float:
    """Half-width at CONFIDENCE of the band around a distribution seen through `n` values, in points, at most 100.

    Dvoretzky-Kiefer-Wolfowitz with Massart's constant (Annals of Probability 18(3), 1990).
    """
    return min(100.0, 100 * math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * n)))


def conformal_half_width(residuals: Sequence[float]) -> float:
    """Half-width of a score's interval at CONFIDENCE from held-out residuals (score minus truth), in score units.

    Split conformal: the ceil((n + 1) * CONFIDENCE)-th smallest absolute residual (Lei et al., JASA 113, 2018).
    Raises InputError when one is not finite, or there are too few (19) for the confidence.
    """
    sizes = sorted(abs(residual) for residual in residuals)
    if not all(math.isfinite(size) for size in sizes):
        raise InputError("a residual is not finite: each must be a number, score minus truth")
    rank = math.ceil((len(sizes) + 1) * CONFIDENCE)
    if rank > len(sizes):
        raise InputError(
            f"{len(sizes)} residuals are too few for a {CONFIDENCE:.0%} interval: at least 19 are needed"
        )
    return sizes[rank - 1]


def build_map(
    score_by_digest: Mapping[str, float],
    model_hash: str,
    preprocessing_hash: str,
    *,
    command: str,
    version: str,
    thresholds: Thresholds | None = None,
    score_half_width: float | None = None,
) -> PercentileMap:
    """The map of a benchmark given as scores by the SHA-256 of each file.

    `score_half_width`: see `conformal_half_width`. Raises InputError when the benchmark is empty or a score is not
    finite.
    """
    values = np.array(list(score_by_digest.values()), np.float64)
    if not values.size or not np.isfinite(values).all():
        bad = int(np.sum(~np.isfinite(values)))
        raise InputError(f"{values.size} scores, {bad} of them not finite, make no scale: finite ones are needed")
    scores, percentiles = _thinned(*mid_rank_percentiles(values))
    return PercentileMap(
        model_hash=model_hash,
        benchmark_hash=benchmark_hash(score_by_digest),
        preprocessing_hash=preprocessing_hash,
        n=values.size,
        scores=tuple(scores.tolist()),
        percentiles=tuple(percentiles.tolist()),
        thresholds=thresholds or Thresholds(),
        score_half_width=score_half_width,
        command=command,
        version=version,
    )


def mid_rank_percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values in rising order and 100 * mid-rank / (n + 1) of each; tied values share their mean rank."""
    distinct, counts = np.unique(values, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    return distinct, 100 * mid_rank / (values.size + 1)


def _thinned(scores: np.ndarray, percentiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends, and on each side of every STORED_STEPS-th of the scale the nearest one there is."""
    steps = np.linspace(0, 100, STORED_STEPS + 1)
    right = np.searchsorted(percentiles, steps)
    kept = np.unique(np.clip(np.concatenate([right - 1, right]), 0, len(scores) - 1))
    return scores[kept], percentiles[kept]


def benchmark_hash(score_by_digest: Mapping[str, float]) -> str:
    """SHA-256 of the lines `digest score`, sorted by digest, each score in Python's shortest exact notation."""
    lines = (f"{digest} {float(score)!r}\n" for digest, score in sorted(score_by_digest.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_map(path: Path, model_hash: str, preprocessing_hash: str) -> PercentileMap:
    """The map in a JSON file, for the model that runs. Raises UsageError when it is none, or another model's."""
    try:
        with path.open("rb") as file:
            found = PercentileMap.model_validate_json(file.read(_MAX_FILE_BYTES))
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is not a percentile map ({_reason(error)}): {_REMEDY}") from error
    difference = mismatch(found, model_hash, preprocessing_hash)
    if difference:
        raise UsageError(f"{path} cannot be used: {difference}; {_REMEDY}")
    return found


def mismatch(found: PercentileMap, model_hash: str, preprocessing_hash: str) -> str:
    """What tells a map's model from the one that runs, for people; empty when they are one."""
    pairs = (("model", found.model_hash, model_hash), ("preprocessing", found.preprocessing_hash, preprocessing_hash))
    return " and ".join(
        f"it was made with the {name} {theirs[:12]} and the {name} here is {ours[:12]}"
        for name, theirs, ours in pairs
        if theirs != ours
    )


def shipped_map(model_hash: str, preprocessing_hash: str) -> PercentileMap | None:
    """The map that comes with the program; None when there is none for this model and preprocessing."""
    file = resources.files("analysis.vqa").joinpath(*_SHIPPED)
    if not file.is_file():
        return None
    found = PercentileMap.model_validate_json(file.read_bytes())
    return None if mismatch(found, model_hash, preprocessing_hash) else found


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
