"""Typed progress events. The work yields them; front ends (CLI, JSON, service) only render them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class StepStarted(_Event):
    """A step of the run begins, e.g. `shots` or `render`."""

    type: Literal["step.started"] = "step.started"
    step: str


class Progress(_Event):
    """How far a step is. `total` is None while it is unknown (a stream without a frame count)."""

    type: Literal["step.progress"] = "step.progress"
    step: str
    done: int = Field(description="frames, or the step's own unit")
    total: int | None = None
    unit: str = "frames"


class StepCompleted(_Event):
    """A step ended well; `summary` is one short sentence for people."""

    type: Literal["step.completed"] = "step.completed"
    step: str
    summary: str = ""
    elapsed_s: float = 0.0


class Warned(_Event):
    """Something the user should know that did not stop the work."""

    type: Literal["warning"] = "warning"
    message: str


Event = Annotated[StepStarted | Progress | StepCompleted | Warned, Field(discriminator="type")]
Emit = Callable[[Event], None]


def ignore(_: Event) -> None:
    """An `Emit` for callers that do not show progress."""
