"""Does the text parse and validate?"""

from __future__ import annotations

from training.rewards.task import Answer, Task


def form(task: Task, answer: Answer) -> float | None:
    """1 for an answer that is exactly what its family writes, else 0.

    `dr4 ct2 ; clean ; qj` earns 1; `dr4 ct2 clean qj` earns 0.
    """
    if task.choices is not None:
        return float(answer.text.strip() in task.choices)
    return float(answer.report is not None)
