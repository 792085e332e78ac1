"""One training's state and its steps: weights, their moving average, the optimiser, the checkpoint of all three."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from toolchain.errors import UsageError

Model = TypeVar("Model", bound=nn.Module)
Loss = tuple[Tensor, dict[str, float]]


class LearningConfig(Protocol):
    """What of a recipe decides how it learns."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def average(self) -> float: ...
    @property
    def seed(self) -> int: ...
    def model_dump_json(self) -> str: ...


class Learner(Generic[Model]):
    """All that changes from step to step, and its file: a killed training goes on from it to the same result.

    Raises UsageError when the checkpoint belongs to another configuration.
    """

    def __init__(self, config: LearningConfig, model: Model, path: Path):
        self._config, self.step, self.path = config, 0, path
        self.model, self.average = model, copy.deepcopy(model).eval()
        self._fingerprint = config.model_dump_json()
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if path.exists():
            self._load()

    def learn(self, loss_of: Callable[[Model], Loss]) -> dict[str, float]:
        """One step down `loss_of`'s gradient; returns the loss and its named parts."""
        config = self._config
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout depends on the step alone: runs can resume
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * rate(config.steps, self.step)
        self.model.train()
        loss, parts = loss_of(self.model)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        # A young average would remember the start: its memory grows with the steps made.
        decay = min(config.average, self.step / (self.step + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
            # Running statistics of normalisation follow like weights; counters are no averages.
            for kept, new in zip(self.average.buffers(), self.model.buffers(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - decay)
        return {"loss": float(loss.detach()), **{f"train_{name}": value for name, value in parts.items()}}

    def save(self) -> None:
        """Write the checkpoint; the one before stays until the new one is whole."""
        partial = self.path.with_suffix(".partial")
        states = [part.state_dict() for part in (self.model, self.average, self.optimizer)]
        torch.save({"config": self._fingerprint, "step": self.step, "states": states}, partial)
        partial.replace(self.path)

    def _load(self) -> None:
        saved = torch.load(self.path, weights_only=True)
        if saved["config"] != self._fingerprint:
            raise UsageError(f"{self.path} is of another configuration: name another output folder, or remove it.")
        self.step = saved["step"]
        for part, state in zip((self.model, self.average, self.optimizer), saved["states"], strict=True):
            part.load_state_dict(state)


def rate(steps: int, step: int) -> float:
    """Share of the learning rate: linear warm-up over a twentieth, then half a cosine down to a hundredth."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
