"""Is the quality score close?"""

from __future__ import annotations

import math

from training.rewards.task import Answer, Task

SIGMA = 0.5
"""Of scores 1..5: one level off (0.8) earns 0.28, two earn 0.006."""


def score(task: Task, answer: Answer) -> float | None:
    """exp(-d^2 / (2 x 0.5^2)), d the distance of the scores. 3.0 for 3.4 earns 0.73."""
    if not task.asks("quality"):
        return None
    if answer.report is None:
        return 0.0
    return math.exp(-((answer.report.score - task.truth.score) ** 2) / (2 * SIGMA**2))
