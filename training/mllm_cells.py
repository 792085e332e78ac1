"""From what cells say to a report: no language model, only thresholds that the validation split has chosen.

A type's cells above its threshold form regions. Where one ends, its cells say themselves, or those at its rim show: a
cell of which a fourth is damaged is told apart by a fourth of the probability that a wholly damaged one has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from analysis.mllm.code import BOX_STEP, MAX_CODED, TYPE_WORDS, WHOLE, grid_box
from analysis.mllm.diagnostic import CELLS
from analysis.mllm.frame_report import CONTRASTS, GRADES, FrameReport
from analysis.schema import Box, Distortion, DistortionType
from toolchain.errors import InputError
from training.boxes import GLOBAL_SHARE, matches
from training.data.distortions import SEVERITY, permitted
from training.data.distortions_layout import Damage
from training.data.distortions_regions import area_share
from training.data.distortions_score import report
from training.mllm_collate import edge_waves

TYPES = tuple(TYPE_WORDS)
LEAST_SHARE = 0.01
"""Of the frame: the smallest region that is reported, half of the smallest that training makes."""
STRENGTHS = (2, 3, 4)
"""That stand for each severity where the report's key and score follow from strengths."""
EVEN = 0.5
THRESHOLDS = (0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
"""What is tried for each type, the strictest first."""
CHANGES = (("edges_told", True), ("whole_share", 0.55), ("whole_share", 0.4), ("full", 0.8), ("full", 0.6))
"""What else of a read-out is tried, one after another."""

_EDGES = np.linspace(0, 1000, 101)
_WAVES = edge_waves(_EDGES.tolist())
_WAVES /= np.linalg.norm(_WAVES, axis=1, keepdims=True)

Floats = NDArray[np.float32]
Share = Annotated[float, Field(gt=0, le=1)]


class ReadOut(BaseModel):
    """How cell probabilities are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(default="", description="to which it was fitted")
    thresholds: dict[DistortionType, Share] = Field(description="probability at which a cell is damaged, by type")
    full: Share = Field(default=1.0, description="probability that speaks of a wholly damaged cell, or less if none")
    whole_share: Share = Field(default=GLOBAL_SHARE, description="damaged cells of the frame that make all of it so")
    edges_told: bool = Field(default=False, description="a region ends where its cells say, not where they fade")

    @field_validator("thresholds")
    @classmethod
    def _every_type(cls, given: dict[DistortionType, float]) -> dict[DistortionType, float]:
        if given.keys() != set(TYPES):
            raise ValueError(f"thresholds are given for {sorted(given)}, one for each of {TYPES} is needed")
        return given

    @classmethod
    def even(cls) -> ReadOut:
        """Every cell that is more likely damaged than not: for maps that are exact."""
        return cls(thresholds=dict.fromkeys(TYPES, EVEN))


def load_read_out(path: Path) -> ReadOut:
    """InputError where the file holds none."""
    try:
        return ReadOut.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        problem = " ".join(str(error).split())[:300]
        raise InputError(f"{path} holds no read-out ({problem}): remove it, and it is fitted again") from error


@dataclass(frozen=True)
class Described:
    """A frame in a network's words: probabilities of cells (9, 16, types, severities) and of grades (6,), and the
    edges of the region that each cell lies in (9, 16, 4, waves), as `training.mllm_collate` defines them."""

    cells: Floats
    grades: Floats
    regions: Floats


@dataclass(frozen=True)
class Region:
    """One distortion as its cells tell it; `sureness` is their mean probability."""

    damage: Damage
    sureness: float

    @property
    def distortion(self) -> Distortion:
        kind, strength, box = self.damage.kind, self.damage.strength, self.damage.box
        return Distortion(type=kind, severity=SEVERITY[strength - 1], bbox_1000=box)


def read_report(told: Described, read_out: ReadOut) -> FrameReport:
    """The report that a description speaks of.

    Of two types that cannot be told apart where they lie over one another, the surer one is meant. Key distortion,
    score and level follow from the distortions as they do in the training data.
    """
    found = [region for kind in TYPES for region in regions(told, kind, read_out.thresholds[kind], read_out)]
    kept = _agreeing(sorted(found, key=lambda region: -region.sureness))[:MAX_CODED]
    steps = len(GRADES) - 1
    dynamic_range, contrast = ((part > EVEN).sum() for part in (told.grades[:steps], told.grades[steps:]))
    return report([region.damage for region in kept], GRADES[dynamic_range], CONTRASTS[contrast])


def regions(told: Described, kind: DistortionType, threshold: float, read_out: ReadOut) -> Iterator[Region]:
    """The regions of one type, at another threshold than the read-out's perhaps."""
    cells = told.cells[:, :, TYPES.index(kind)]
    damaged = cells[..., 0] >= threshold
    if damaged.mean() >= read_out.whole_share:
        yield _region(cells[damaged], kind, WHOLE)
        return
    count, places, frames, _ = cv2.connectedComponentsWithStats(damaged.astype(np.uint8), connectivity=4)
    for index in range(1, count):
        own = places == index
        likely = np.where(damaged & ~own, 0, cells[..., 0])
        box = _told_box(told.regions[own]) if read_out.edges_told else _box(likely, frames[index], read_out.full)
        if area_share(box) >= LEAST_SHARE:
            yield _region(cells[own], kind, WHOLE if area_share(box) > GLOBAL_SHARE else box)


def _told_box(said: Floats) -> Box:
    """The box that cells (n, 4, waves) agree on: each edge where its waves fit best, however faint they are."""
    x0, y0, x1, y1 = (int(_EDGES[place]) for place in (said.sum(0) @ _WAVES.T).argmax(1))
    return _no_line((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))


def _region(inside: Floats, kind: DistortionType, box: Box) -> Region:
    """`inside` (cells, severities). As severe as more than half of what is damaged says."""
    sums = inside.sum(0)
    severity = int((sums[1:] > EVEN * sums[0]).sum())
    return Region(Damage(kind, STRENGTHS[severity], box), float(sums[0] / len(inside)))


def _box(likely: Floats, frame: NDArray[np.int32], full: float) -> Box:
    """A region's box from (9, 16) probabilities and its x, y, width and height in cells."""
    x, y, width, height = frame[:4].tolist()
    top, left = max(0, y - 1), max(0, x - 1)
    window = likely[top : y + height + 1, left : x + width + 1]
    # Rows times columns, as the shares of a box are.
    rows, strengths, columns = np.linalg.svd(window, full_matrices=False)
    down, across = (np.abs(side) for side in (rows[:, 0], columns[0]))
    peak = strengths[0] * down.max() * across.max()
    scale = np.sqrt(min(1.0, peak / full))
    y0, y1 = _reach(down / down.max() * scale, y - top, height)
    x0, x1 = _reach(across / across.max() * scale, x - left, width)
    ends = ((left + x0) / CELLS[1], (top + y0) / CELLS[0], (left + x1) / CELLS[1], (top + y1) / CELLS[0])
    clipped = np.clip(np.rint(1000 * np.array(ends)), 0, 1000).astype(int).tolist()
    return _no_line((clipped[0], clipped[1], clipped[2], clipped[3]))


def _no_line(box: Box) -> Box:
    """On the answers' grid, and one step wide and high where its edges fell together."""
    x0, y0 = (min(edge, 1000 - BOX_STEP) for edge in box[:2])
    return grid_box((x0, y0, max(box[2], x0 + BOX_STEP), max(box[3], y0 + BOX_STEP)))


def _reach(shares: Floats, first: int, count: int) -> tuple[float, float]:
    """Where a region of `count` cells from `first` begins and ends, from the shares of its cells and neighbours."""
    last = first + count - 1
    before, after = float(shares[:first].sum()), float(shares[last + 1 :].sum())
    begin, end = 1 - float(shares[first]), 1 - float(shares[last])
    if count == 1:
        begin = end = begin / 2
    return first + begin - before, last + 1 - end + after


def _agreeing(found: Sequence[Region]) -> list[Region]:
    kept: list[Region] = []
    for region in found:
        if all(_may_stand_beside(region.damage, other.damage) for other in kept):
            kept.append(region)
    return kept


def _may_stand_beside(one: Damage, other: Damage) -> bool:
    """Either permitted together, or mostly beside one another."""
    if permitted(one.kind, other.kind):
        return True
    sides = [min(one.box[i + 2], other.box[i + 2]) - max(one.box[i], other.box[i]) for i in (0, 1)]
    shared = max(0, sides[0]) * max(0, sides[1]) / 1e6
    return shared <= EVEN * min(area_share(one.box), area_share(other.box))


# The fit


@dataclass(frozen=True)
class _Counts:
    """(types, thresholds): boxes found, and those of them that are hits; and how many there are in truth."""

    found: NDArray[np.int64]
    hits: NDArray[np.int64]
    true: int


def fit_read_out(frames: Sequence[Described], reports: Sequence[FrameReport], model: str = "") -> ReadOut:
    """The read-out of the highest detection F1 on frames of the *validation* split."""
    best, highest = _fitted(frames, reports, ReadOut.even().model_copy(update={"model": model}))
    for change in CHANGES:
        tried, f1 = _fitted(frames, reports, best.model_copy(update=dict([change])))
        if f1 > highest:
            best, highest = tried, f1
    return best


def _fitted(frames: Sequence[Described], reports: Sequence[FrameReport], start: ReadOut) -> tuple[ReadOut, float]:
    """`start` with the best thresholds, and the F1 they give."""
    counts = _count(frames, reports, start)
    chosen, f1 = _best_thresholds(counts)
    thresholds = {kind: THRESHOLDS[place] for kind, place in zip(TYPES, chosen, strict=True)}
    return start.model_copy(update={"thresholds": thresholds}), f1


def _best_thresholds(counts: _Counts) -> tuple[list[int], float]:
    """One threshold a type, by its place, that together give the highest F1 of all types, and that F1.

    Dinkelbach's method: what maximises 2 hits - F1 (found + true), with the F1 of the round before, until it stays.
    """
    f1 = 0.0
    while True:
        chosen = (2 * counts.hits - f1 * counts.found).argmax(1)  # the strictest of equals
        hits, found = (np.take_along_axis(part, chosen[:, None], 1).sum() for part in (counts.hits, counts.found))
        now = float(2 * hits / max(1, found + counts.true))
        if now <= f1:
            return chosen.tolist(), f1
        f1 = now


def _count(frames: Sequence[Described], reports: Sequence[FrameReport], read_out: ReadOut) -> _Counts:
    found, hits = (np.zeros((len(TYPES), len(THRESHOLDS)), np.int64) for _ in range(2))
    for frame, truth in zip(frames, reports, strict=True):
        for place, kind in enumerate(TYPES):
            true = [item for item in truth.distortions if item.type == kind]
            surest = frame.cells[:, :, place, 0].max()
            for step, threshold in enumerate(THRESHOLDS):
                if surest >= threshold:
                    said = [region.distortion for region in regions(frame, kind, threshold, read_out)]
                    found[place, step] += len(said)
                    hits[place, step] += len(matches(said, true))
    return _Counts(found, hits, sum(len(truth.distortions) for truth in reports))
