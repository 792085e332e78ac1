"""Are the worst distortions named as the worst?"""

from __future__ import annotations

from training.rewards.task import Answer, Task, pairs


def key(task: Task, answer: Answer) -> float | None:
    """F1 of key distortions: a named one is right if its box fits a true key one's and the types agree.

    One named of two, and right: 2 x 1 / (1 + 2) = 0.67. Not precision, which naming a single sure one would
    maximise. None for a pristine picture.
    """
    if not task.asks("distortions") or not task.truth.distortions:
        return None
    if answer.report is None:
        return 0.0
    found = tuple(answer.report.distortions[index] for index in answer.report.key)
    true = tuple(task.truth.distortions[index] for index in task.truth.key)
    right = sum(item.type == other.type for item, other, _ in pairs(found, true))
    return 2 * right / (len(found) + len(true)) if found or true else None
