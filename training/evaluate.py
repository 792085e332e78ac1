"""How well FrameReports say what a picture is like: our own figures, with 95 % intervals over sources.

Every figure but mAP is a sum over frames divided by another (`training.evaluate_counts`), never a mean of means.
Two sets of answers to the same frames are compared on the same draws of sources, so what they share cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from analysis.schema import DistortionType
from toolchain.errors import InputError
from training.boxes import matches
from training.evaluate_counts import Frame, frame_counts
from training.vida import average_precision

BOOTSTRAPS = 1000
INTERVAL_PERCENT = (2.5, 97.5)


class Figure(BaseModel):
    """A figure and its 95 % interval. None: nothing to divide by, or fewer than two sources to draw from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    low: float | None
    high: float | None
    of: int


class TypeFigure(BaseModel):
    """One distortion type: how many there are, how many were found, and the F1 of the boxes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    true: int
    found: int
    hits: int
    f1: float | None


class Evaluation(BaseModel):
    """Every figure of one set of frames. `figures` stands in the order of FIGURES, `map` last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    sources: int
    figures: dict[str, Figure]
    types: dict[str, TypeFigure]


FIGURES: dict[str, str] = {
    "valid": "valid answers",
    "detection_f1": "detection F1: right type, IoU >= 0.5",
    "local_f1": "the same, boxes of at most 70 % of the frame",
    "type_f1": "F1 of the types of an image, wherever they are",
    "key_accuracy": "key distortions: right of those named, where there is any distortion",
    "key_f1": "key distortions: F1",
    "severity_exact": "severity of hits, exact",
    "severity_within_one": "severity of hits, within one step",
    "level_exact": "quality level, exact",
    "level_within_one": "quality level, within one",
    "pristine": "pristine frames recognised",
    "dynamic_range_exact": "dynamic-range grade, exact",
    "dynamic_range_within_one": "dynamic-range grade, within one",
    "contrast_exact": "contrast, exact",
    "mean_iou": "mean IoU of hits",
    "choice_accuracy": "best model chosen",
    "choice_regret": "quality lost by the model chosen (lower is better)",
    "map": "mAP at IoU 0.5 over the true types, unpooled",
}

Table = tuple[list[NDArray[np.bool_]], NDArray[np.int64]]
"""Of one type, by source: whether each prediction is a hit, and how many truths there are."""


@dataclass(frozen=True)
class _Sampled:
    """One figure, and what it is in every draw of sources; NaN where there is nothing to divide by."""

    value: float
    drawn: NDArray[np.float64]
    of: int


def evaluate(frames: Sequence[Frame], seed: int = 0) -> Evaluation:
    """All figures of `frames`; intervals are percentiles over draws of whole sources."""
    places = _places(frames)
    tables = _tables(frames, places)
    sampled = _sampled(frames, tables, places, seed)
    figures = {name: _figure(sampled[name]) for name in FIGURES}
    return Evaluation(frames=len(frames), sources=len(places), figures=figures, types=_types(tables))


def compare(frames: Sequence[Frame], others: Sequence[Frame], seed: int = 0) -> dict[str, Figure]:
    """Figure by figure, `frames` minus `others`, which answer the same frames in the same order. Else InputError.

    An interval that does not hold 0 is a difference that other sources of this kind would show too.
    """
    if [(item.id, item.source, item.truth) for item in frames] != [(i.id, i.source, i.truth) for i in others]:
        raise InputError("two sets of answers can only be compared on the same frames: give both the same truth")
    places = _places(frames)
    first, second = (_sampled(side, _tables(side, places), places, seed) for side in (frames, others))
    return {
        name: _figure(
            _Sampled(
                value=first[name].value - second[name].value,
                drawn=first[name].drawn - second[name].drawn,
                of=min(first[name].of, second[name].of),
            )
        )
        for name in FIGURES
    }


def _places(frames: Sequence[Frame]) -> dict[str, int]:
    return {source: place for place, source in enumerate(sorted({frame.source for frame in frames}))}


def _sampled(
    frames: Sequence[Frame], tables: Mapping[DistortionType, Table], places: Mapping[str, int], seed: int
) -> dict[str, _Sampled]:
    draws = _draws(len(places), seed)
    counts = [(places[frame.source], frame_counts(frame)) for frame in frames]
    sampled: dict[str, _Sampled] = {}
    for name in FIGURES:
        said = [(place, of_frame[name]) for place, of_frame in counts if name in of_frame]
        sampled[name] = _ratio(said, draws)
    sampled["map"] = _map(list(tables.values()), draws, len(frames))
    return sampled


def _draws(sources: int, seed: int) -> NDArray[np.int64]:
    """(BOOTSTRAPS, sources): how often each source is in each draw; no draws where there are fewer than two."""
    if sources < 2:
        return np.zeros((0, sources), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(sources, np.full(sources, 1 / sources), size=BOOTSTRAPS)


def _ratio(said: Sequence[tuple[int, tuple[float, float]]], draws: NDArray[np.int64]) -> _Sampled:
    """`said`: of each frame that says something, its source and its two summands."""
    sums = np.zeros((draws.shape[1], 2))
    for place, summands in said:
        sums[place] += summands
    whole = sums.sum(axis=0, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [np.where(pairs[:, 1] > 0, pairs[:, 0] / pairs[:, 1], np.nan) for pairs in (whole, draws @ sums)]
    return _Sampled(float(values[0][0]), values[1], len(said))


def _figure(sampled: _Sampled) -> Figure:
    kept = sampled.drawn[np.isfinite(sampled.drawn)]
    if not np.isfinite(sampled.value):
        return Figure(value=None, low=None, high=None, of=sampled.of)
    if not len(kept):
        return Figure(value=sampled.value, low=None, high=None, of=sampled.of)
    low, high = np.percentile(kept, INTERVAL_PERCENT)
    return Figure(value=sampled.value, low=float(low), high=float(high), of=sampled.of)


def _tables(frames: Sequence[Frame], places: Mapping[str, int]) -> dict[DistortionType, Table]:
    return {kind: _hits_by_source(frames, places, kind) for kind in get_args(DistortionType)}


def _map(tables: Sequence[Table], draws: NDArray[np.int64], frames: int) -> _Sampled:
    """Mean AP over the types that the truth has; in every draw over those that it has there."""
    true_tables = [(hits, true) for hits, true in tables if true.sum()]
    once = np.ones(draws.shape[1], dtype=np.int64)
    return _Sampled(_mean_ap(true_tables, once), np.array([_mean_ap(true_tables, row) for row in draws]), frames)


def _mean_ap(tables: Sequence[Table], times: NDArray[np.int64]) -> float:
    """NaN where no type has a truth in this draw; `times`: how often each source is in it."""
    found = []
    for hits, true in tables:
        if truths := int(true @ times):
            drawn = [flags for flags, count in zip(hits, times, strict=True) for _ in range(count)]
            found.append(average_precision(np.concatenate(drawn), truths))
    return float(np.mean(found)) if found else float("nan")


def _hits_by_source(frames: Sequence[Frame], places: Mapping[str, int], kind: DistortionType) -> Table:
    """Predictions stand in the order of the frames; the answers have no confidence that could order them."""
    flags: list[list[bool]] = [[] for _ in places]
    truths = np.zeros(len(places), dtype=np.int64)
    for frame in frames:
        place = places[frame.source]
        true = [item for item in frame.truth.distortions if item.type == kind]
        found = [item for item in (frame.found.distortions if frame.found else ()) if item.type == kind]
        hit = {index for index, _, _ in matches(found, true)}
        flags[place] += [index in hit for index in range(len(found))]
        truths[place] += len(true)
    return [np.array(of_source, dtype=bool) for of_source in flags], truths


def _types(tables: Mapping[DistortionType, Table]) -> dict[str, TypeFigure]:
    """Types that occur, true or found, in the schema's order."""
    types: dict[str, TypeFigure] = {}
    for kind, (hits, truths) in tables.items():
        true, found, right = int(truths.sum()), sum(map(len, hits)), int(sum(flags.sum() for flags in hits))
        if true or found:
            types[kind] = TypeFigure(true=true, found=found, hits=right, f1=2 * right / (true + found))
    return types


# For people


def markdown(evaluation: Evaluation, against: Mapping[str, Figure] | None = None) -> str:
    """Two tables: the figures with their intervals, and the types. `against`: what `compare` found."""
    lines = [f"{evaluation.frames} frames of {evaluation.sources} sources; intervals: 95 %, over sources.", ""]
    rows = [["figure", "value", "interval", "frames"], ["---"] * 4]
    for name, meaning in FIGURES.items():
        figure = evaluation.figures[name]
        rows.append([meaning, _number(figure.value), _interval(figure), str(figure.of)])
    if against is not None:
        rows[0] += ["against", "interval"]
        rows[1] += ["---"] * 2
        for row, name in zip(rows[2:], FIGURES, strict=True):
            row += [_number(against[name].value, "+.3f"), _interval(against[name], "+.3f")]
    types = [["type", "true", "found", "hits", "F1"], ["---"] * 5]
    types += [
        [kind, str(item.true), str(item.found), str(item.hits), _number(item.f1)]
        for kind, item in evaluation.types.items()
    ]
    lines += [_row(row) for row in rows] + [""] + [_row(row) for row in types]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _interval(figure: Figure, form: str = ".3f") -> str:
    return "-" if figure.low is None else f"{_number(figure.low, form)} to {_number(figure.high, form)}"
