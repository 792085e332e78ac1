"""How good is the model that was chosen for the clip?"""

from __future__ import annotations

from training.rewards.task import Answer, Task


def choice(task: Task, answer: Answer) -> float | None:
    """Where the chosen candidate's quality lies between the clip's worst (0) and best (1) one.

    Candidates of quality 2, 5 and 6: the second earns 0.75. Not 0 or 1, because the second best is nearly as good. A
    name that is no candidate earns 0; candidates of equal quality all earn 1.
    """
    if task.choices is None:
        return None
    chosen = task.choices.get(answer.text.strip())
    if chosen is None:
        return 0.0
    worst, best = min(task.choices.values()), max(task.choices.values())
    return (chosen - worst) / (best - worst) if best > worst else 1.0
