"""What GRPO rewards, one file each: plain functions of a task and an answer, and their order.

A reward lies in 0..1, or is None where the task does not ask for what it judges. An answer that cannot be read earns
0 wherever it is asked. Nothing here mends an answer, and decoding is not constrained while these are in use:
otherwise `form` would mean nothing.
"""

from __future__ import annotations

from training.rewards.boxes import boxes
from training.rewards.choice import choice
from training.rewards.dynamic_range import dynamic_range
from training.rewards.form import form
from training.rewards.key import key
from training.rewards.kind import kind
from training.rewards.merged import merged
from training.rewards.score import score
from training.rewards.severity import severity
from training.rewards.task import Answer, Reward, Task, read

REWARDS: tuple[Reward, ...] = (form, boxes, kind, severity, key, score, dynamic_range, merged, choice)
"""In the order in which they are logged."""
NAMES: tuple[str, ...] = tuple(reward.__name__ for reward in REWARDS)

__all__ = ["NAMES", "REWARDS", "Answer", "Reward", "Task", "read", "rewards_of", "weighted"]


def rewards_of(task: Task, text: str) -> dict[str, float | None]:
    """Every reward of what a model wrote, by name."""
    answer = read(task, text)
    return {reward.__name__: reward(task, answer) for reward in REWARDS}


def weighted(rewards: dict[str, float | None], weights: dict[str, float]) -> float:
    """The mean of the rewards that apply, by their weights (1 where none is given), in 0..1."""
    applying = {name: value for name, value in rewards.items() if value is not None}
    total = sum(weights.get(name, 1.0) for name in applying)
    return sum(weights.get(name, 1.0) * value for name, value in applying.items()) / total if total else 0.0
