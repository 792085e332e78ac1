"""What one frame's answer adds to every figure of `training.evaluate`.

A figure of a set is a sum over its frames divided by another such sum. A frame without a valid answer has found
nothing and graded nothing right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from analysis.mllm.frame_report import CONTRASTS, GRADES, LEVELS, FrameReport
from analysis.schema import Distortion, Severity
from training.boxes import is_local, matches

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Counts = dict[str, tuple[float, float]]
"""Figure: what it divides, and what it divides by. A figure that a frame says nothing of is missing."""
Hits = list[tuple[int, int, float]]


@dataclass(frozen=True)
class Frame:
    """One frame's truth and answer. `found`: None where there was none, or none that is valid.

    `choices`: the measured quality of the frame's clip after each candidate model, higher is better, where it is
    known; `choice`: the candidate that was chosen for it.
    """

    id: str
    source: str
    truth: FrameReport
    found: FrameReport | None
    choices: Mapping[str, float] = field(default_factory=dict)
    choice: str | None = None


def frame_counts(frame: Frame) -> Counts:
    """What one frame adds to every figure that it says something of."""
    true, found = frame.truth, frame.found
    defects = found.distortions if found else ()
    hits = matches(defects, true.distortions)
    counts: Counts = {"valid": (found is not None, 1), "detection_f1": _f1(len(hits), defects, true.distortions)}
    counts["local_f1"] = _overlap_f1(_local(defects), _local(true.distortions))
    counts["type_f1"] = _type_f1(defects, true.distortions)
    counts |= _hit_counts(hits, defects, true.distortions) | _key_counts(true, found)
    counts |= _steps("level", LEVELS.index(true.level), LEVELS.index(found.level) if found else None)
    grade = GRADES.index(true.dynamic_range)
    counts |= _steps("dynamic_range", grade, GRADES.index(found.dynamic_range) if found else None)
    contrast = CONTRASTS.index(true.contrast)
    counts["contrast_exact"] = (found is not None and CONTRASTS.index(found.contrast) == contrast, 1)
    if not true.distortions:
        counts["pristine"] = (found is not None and not found.distortions, 1)
    return counts | _choice_counts(frame)


def _f1(hits: int, found: Sequence[object], true: Sequence[object]) -> tuple[float, float]:
    return 2 * hits, len(found) + len(true)


def _overlap_f1(found: Sequence[Distortion], true: Sequence[Distortion]) -> tuple[float, float]:
    return _f1(len(matches(found, true)), found, true)


def _type_f1(found: Sequence[Distortion], true: Sequence[Distortion]) -> tuple[float, float]:
    named, present = {item.type for item in found}, {item.type for item in true}
    return 2 * len(named & present), len(named) + len(present)


def _local(defects: Sequence[Distortion]) -> list[Distortion]:
    return [item for item in defects if is_local(item.bbox_1000)]


def _hit_counts(hits: Hits, found: Sequence[Distortion], true: Sequence[Distortion]) -> Counts:
    if not hits:
        return {}
    steps = [abs(SEVERITIES.index(found[i].severity) - SEVERITIES.index(true[j].severity)) for i, j, _ in hits]
    return {
        "severity_exact": (sum(step == 0 for step in steps), len(hits)),
        "severity_within_one": (sum(step <= 1 for step in steps), len(hits)),
        "mean_iou": (sum(overlap for _, _, overlap in hits), len(hits)),
    }


def _key_counts(true: FrameReport, found: FrameReport | None) -> Counts:
    """Accuracy is the track's: a named key is right that meets any true one, even one that another met already."""
    named = [found.distortions[index] for index in found.key] if found else []
    keys = [true.distortions[index] for index in true.key]
    counts: Counts = {"key_f1": _overlap_f1(named, keys)}
    if true.distortions:
        counts["key_accuracy"] = (sum(bool(matches([item], keys)) for item in named), len(named))
    return counts


def _steps(name: str, true: int, found: int | None) -> Counts:
    step = abs(found - true) if found is not None else None
    return {f"{name}_exact": (step == 0, 1), f"{name}_within_one": (step is not None and step <= 1, 1)}


def _choice_counts(frame: Frame) -> Counts:
    """A choice outside the candidates, or none, is as bad as the worst candidate."""
    if not frame.choices:
        return {}
    best = max(frame.choices.values())
    got = frame.choices.get(frame.choice or "", min(frame.choices.values()))
    right = frame.choice in frame.choices and got == best
    return {"choice_accuracy": (right, 1), "choice_regret": (best - got, 1)}
