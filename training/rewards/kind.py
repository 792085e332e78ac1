"""Are the distortions called by their right names?"""

from __future__ import annotations

from training.rewards.task import Answer, Task, pairs


def kind(task: Task, answer: Answer) -> float | None:
    """F1 of distortions whose box fits and whose type is right: 2 x right / (found + true).

    Noise found where there is noise and banding: 2 x 1 / (1 + 2) = 0.67; blur found there: 0. None for a pristine
    picture, which `boxes` judges.
    """
    if not task.asks("distortions") or not task.truth.distortions:
        return None
    if answer.report is None:
        return 0.0
    found, true = answer.report.distortions, task.truth.distortions
    right = sum(item.type == other.type for item, other, _ in pairs(found, true))
    return 2 * right / (len(found) + len(true))
