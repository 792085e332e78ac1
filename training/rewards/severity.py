"""Is the damage graded as severe as it is?"""

from __future__ import annotations

from typing import get_args

from analysis.schema import Severity
from training.rewards.task import Answer, Task, pairs

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CREDIT = (1.0, 0.6, 0.2)
"""By how many grades the answer is off. A wrong box or type earns 0: ungated, models learn to grade blindly."""


def severity(task: Task, answer: Answer) -> float | None:
    """2 x credit / (found + true) over distortions whose box fits and whose type is right.

    Minor noise called moderate, and nothing else there: 0.6; minor noise called moderate blur: 0. None for a pristine
    picture.
    """
    if not task.asks("distortions") or not task.truth.distortions:
        return None
    if answer.report is None:
        return 0.0
    found, true = answer.report.distortions, task.truth.distortions
    credit = sum(
        CREDIT[abs(SEVERITIES.index(item.severity) - SEVERITIES.index(other.severity))]
        for item, other, _ in pairs(found, true)
        if item.type == other.type
    )
    return 2 * credit / (len(found) + len(true))
