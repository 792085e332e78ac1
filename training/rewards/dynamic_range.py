"""Is the scene's dynamic range graded right?"""

from __future__ import annotations

from analysis.mllm.frame_report import GRADES
from training.rewards.task import Answer, Task

CREDIT = (1.0, 0.5, 0.1, 0.0, 0.0)
"""By how many of the five grades the answer is off. One grade is within what the bar counts as near."""


def dynamic_range(task: Task, answer: Answer) -> float | None:
    """1 for the right grade, 0.5 beside it, 0.1 two off, else 0. `high` for `medium` earns 0.5."""
    if not task.asks("dynamic_range"):
        return None
    if answer.report is None:
        return 0.0
    off = abs(GRADES.index(answer.report.dynamic_range) - GRADES.index(task.truth.dynamic_range))
    return CREDIT[off]
