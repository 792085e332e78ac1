"""How many of the merged questions are answered right?"""

from __future__ import annotations

from collections import Counter

from analysis.mllm.frame_report import FrameReport
from analysis.mllm.prompts import Question
from training.rewards.task import Answer, Task


def merged(task: Task, answer: Answer) -> float | None:
    """Right / asked, each question exactly: grades and level equal, the same types as often each.

    Range and level right, contrast and types wrong: 0.5. None where one question alone is asked.
    """
    if task.choices is not None or len(task.questions) < 2:
        return None
    found = answer.report
    if found is None:
        return 0.0
    return sum(right(task.truth, found, question) for question in task.questions) / len(task.questions)


def right(truth: FrameReport, found: FrameReport, question: Question) -> bool:
    """Whether one question is answered exactly."""
    if question == "dynamic_range":
        return found.dynamic_range == truth.dynamic_range
    if question == "contrast":
        return found.contrast == truth.contrast
    if question == "quality":
        return found.level == truth.level
    return Counter(item.type for item in found.distortions) == Counter(item.type for item in truth.distortions)
