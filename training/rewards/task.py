"""What was asked about a picture, what is true of it, and what an answer says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.mllm.code import encode_parts, joined
from analysis.mllm.families import Family, Size, family
from analysis.mllm.frame_report import AnswerError, FrameReport
from analysis.mllm.prompts import FIELDS, QUESTIONS, Question
from analysis.schema import Distortion
from training.boxes import HIT_IOU, assignment, iou_table

SAME_KIND_BONUS = 1e-3
"""What the right type adds to a pair's IoU: it decides between boxes that fit equally well, and nothing else."""


@dataclass(frozen=True)
class Task:
    """One prompt. `questions` are those it asks; `choices`: quality by candidate, where it asks for a candidate.

    `size`: width and height of the frame as it is shown, which some families count boxes in.
    """

    truth: FrameReport
    questions: tuple[Question, ...] = QUESTIONS
    family: str = "compact"
    size: Size = (224, 140)
    choices: Mapping[str, float] | None = None

    def asks(self, question: Question) -> bool:
        return self.choices is None and question in self.questions


@dataclass(frozen=True)
class Answer:
    """`report` is None where the text is no valid answer; what was not asked for is the truth's."""

    text: str
    report: FrameReport | None


Reward = Callable[[Task, Answer], float | None]


def read(task: Task, text: str) -> Answer:
    """The answer in a text. It has to answer what the task asks, all of it and nothing else."""
    if task.choices is not None:
        return Answer(text, None)
    try:
        entry = family(task.family)
        whole = text if set(task.questions) == set(QUESTIONS) else _completed(task, entry, text)
        return Answer(text, entry.parse(whole, task.size))
    except AnswerError:
        return Answer(text, None)


def pairs(found: tuple[Distortion, ...], true: tuple[Distortion, ...]) -> list[tuple[Distortion, Distortion, float]]:
    """(found, true, IoU), one to one by the Hungarian method on boxes alone; IoU >= 0.5."""
    if not found or not true:
        return []
    overlap = iou_table([item.bbox_1000 for item in found], [item.bbox_1000 for item in true])
    worth = overlap.copy()
    for row, item in enumerate(found):
        for column, other in enumerate(true):
            worth[row, column] += SAME_KIND_BONUS * (item.type == other.type)
    # One pair more is worth more than any sum of IoUs.
    worth[overlap >= HIT_IOU] += 2.0 * min(overlap.shape)
    worth[overlap < HIT_IOU] = 0.0
    chosen = assignment(-worth)
    return [(found[i], true[j], float(overlap[i, j])) for i, j in chosen if overlap[i, j] >= HIT_IOU]


def _completed(task: Task, entry: Family, text: str) -> str:
    """An answer to some questions as one to all: the truth says the rest, so that one reader serves for both."""
    return _completed_code(task, text) if entry.name == "compact" else _completed_json(task, entry, text)


def _completed_code(task: Task, text: str) -> str:
    parts, left = encode_parts(task.truth), text.split(" ; ")
    for name in ("dynamic_range", "contrast"):
        if name in task.questions and left:
            parts[name] = left.pop(0)
    if "quality" in task.questions and left:
        parts["quality"] = left.pop()
    if "distortions" in task.questions:
        parts["distortions"] = " ; ".join(left)
    elif left:
        raise AnswerError("the answer says more than was asked")
    return joined(parts)


def _completed_json(task: Task, entry: Family, text: str) -> str:
    try:
        answer = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer is no JSON ({str(error)[:80]})") from error
    asked = {name for question in task.questions for name in FIELDS[question]}
    if not isinstance(answer, dict) or set(answer) != asked:
        raise AnswerError(f"the answer does not have exactly the fields {', '.join(sorted(asked))}")
    return json.dumps(json.loads(entry.write(task.truth, task.size)) | answer)


def _unique(found: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(found)) < len(found):
        raise ValueError("a name stands twice in one object")
    return dict(found)
