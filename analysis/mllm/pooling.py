"""From the reports of several pictures to one: of a shot's key frames, or of a video's shots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from analysis.mllm.code import SEVERITIES
from analysis.mllm.frame_report import CONTRASTS, GRADES, LEVELS, MAX_DISTORTIONS, FrameReport
from analysis.schema import Box, Distortion, Severity

SAME_PLACE_IOU = 0.3
"""Boxes of one type that overlap this much in two pictures are one defect."""
MOST_KEYS = 2


@dataclass(eq=False)
class _Defect:
    """One defect as several pictures show it."""

    items: list[Distortion] = field(default_factory=list)
    weights: dict[int, float] = field(default_factory=dict)
    key_weight: float = 0.0

    @property
    def weight(self) -> float:
        return sum(self.weights.values())

    @property
    def severity(self) -> Severity:
        ranks = sorted(SEVERITIES.index(item.severity) for item in self.items)
        return SEVERITIES[ranks[len(ranks) // 2]]

    def add(self, item: Distortion, picture: int, weight: float, is_key: bool) -> None:
        if is_key and picture not in self.weights:
            self.key_weight += weight
        self.weights[picture] = weight
        self.items.append(item)


def pool(reports: Sequence[FrameReport], weights: Sequence[float], least_share: float) -> FrameReport:
    """One report of several pictures; a single one is returned as it is. `reports` must not be empty.

    Grades and quality are those of the picture in the middle of their order (the lower one of two). A defect stays if
    pictures with at least `least_share` of the weight show it in about the same place; a type that so many show in
    changing places stays once, with a box around them all. Boxes and severities are medians. Key are the worst two of
    those that most of their own pictures call key.
    """
    if len(reports) == 1:
        return reports[0]
    total = sum(weights)
    shares = [weight / total for weight in weights]
    defects = _ranked(_defects(reports, shares, least_share))[:MAX_DISTORTIONS]
    key = [defect for defect in defects if defect.key_weight >= defect.weight / 2][:MOST_KEYS] or defects[:1]
    placed = sorted(((_distortion(defect), defect in key) for defect in defects), key=lambda pair: _raster(pair[0]))
    quality = _middle(reports, shares, [(LEVELS.index(item.level), item.score) for item in reports])
    return FrameReport(
        dynamic_range=_middle(reports, shares, [GRADES.index(item.dynamic_range) for item in reports]).dynamic_range,
        contrast=_middle(reports, shares, [CONTRASTS.index(item.contrast) for item in reports]).contrast,
        distortions=tuple(item for item, _ in placed),
        key=tuple(place for place, (_, is_key) in enumerate(placed) if is_key),
        level=quality.level,
        score=quality.score,
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _defects(reports: Sequence[FrameReport], shares: Sequence[float], least_share: float) -> list[_Defect]:
    kept: list[_Defect] = []
    for kind in dict.fromkeys(item.type for report in reports for item in report.distortions):
        whole = _Defect()
        places: list[_Defect] = []
        for picture, (report, share) in enumerate(zip(reports, shares, strict=True)):
            for index, item in enumerate(report.distortions):
                if item.type != kind:
                    continue
                near = [p for p in places if overlap(p.items[0].bbox_1000, item.bbox_1000) >= SAME_PLACE_IOU]
                if not near:
                    near = [_Defect()]
                    places += near
                for defect in (near[0], whole):
                    defect.add(item, picture, share, index in report.key)
        least = least_share - 1e-9
        kept += [place for place in places if place.weight >= least] or ([whole] if whole.weight >= least else [])
    return kept


def _ranked(defects: list[_Defect]) -> list[_Defect]:
    """Most severe first, then the most seen."""
    return sorted(defects, key=lambda defect: (-SEVERITIES.index(defect.severity), -defect.weight))


def _distortion(defect: _Defect) -> Distortion:
    boxes = [item.bbox_1000 for item in defect.items]
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    if all(overlap(boxes[0], box) >= SAME_PLACE_IOU for box in boxes):
        near = math.floor(median(lefts)), math.floor(median(tops))
        box = *near, math.ceil(median(rights)), math.ceil(median(bottoms))
    else:
        box = min(lefts), min(tops), max(rights), max(bottoms)
    return Distortion(type=defect.items[0].type, severity=defect.severity, bbox_1000=box)


def _middle(
    reports: Sequence[FrameReport], shares: Sequence[float], ranks: Sequence[int] | Sequence[tuple[int, float]]
) -> FrameReport:
    """The report at which, in rising rank, half of the weight is reached."""
    order = sorted(range(len(reports)), key=lambda index: ranks[index])
    reached = 0.0
    for index in order:
        reached += shares[index]
        if reached >= 0.5 - 1e-9:
            return reports[index]
    return reports[order[-1]]


def _raster(item: Distortion) -> tuple[int, int]:
    return item.bbox_1000[1], item.bbox_1000[0]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
