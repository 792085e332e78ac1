"""What a measured number is: the spec that stands beside every formula and says all that its users must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from analysis.schema import GateDirection
from analysis.vqa.pooling import FrameGate, Gate
from analysis.vqa.spec import JudgeControls, Stage
from analysis.vqa.view import View

Place = tuple[int, int, int]
"""Shot, window and frame number."""

Direction = Literal["lower", "higher", "neither"]
Role = Literal["gate", "selection", "acceptance", "description"]

BOTH_STAGES: tuple[Stage, ...] = ("pilot", "verify")

MakeGate = Callable[["MetricSpec", float, JudgeControls], Gate]
"""(spec, limit, controls) -> a fresh gate."""


class Meter(Protocol):
    """A metric that needs more than one frame: takes every pair, those of a glance too, and answers when asked."""

    def add(self, view: View) -> None: ...

    def values(self) -> Mapping[Place, float]:
        """Its values so far by the shot, window and frame they stand for."""
        ...


@dataclass(frozen=True)
class MetricSpec:
    """One number that is measured of a result, and what it means.

    `range` holds every finite value, ends included; `direction` is the better side, "neither" for a description.
    `domain` is what the numbers are taken on. `neutral` is the value where output equals source, None where that
    depends on the picture. `needs`: whether the source takes part. `stages`: where it is measured; a pilot sees
    single frames. `required` (gates): without it no result is certain; an optional gate that cannot run is shown as
    not measured and leaves the verdict as it is, one that fails rejects like any other. `description`: one phrase.

    `measure` gives one frame's value, None for a frame that has nothing to say; `absent` is the reason where that
    holds for all of them (for a gate: why nothing can be wrong, empty where it is then not measured). A gate that is
    more than a number of each frame is made by `gate` instead, a metric that is more by `meter`.
    """

    name: str
    unit: str
    range: tuple[float, float]
    direction: Direction
    domain: str
    role: Role
    description: str
    neutral: float | None = None
    measure: Callable[[View], float | None] | None = None
    gate: MakeGate | None = None
    meter: Callable[[], Meter] | None = None
    absent: str = ""
    needs: Literal["source", "nothing"] = "source"
    stages: tuple[Stage, ...] = BOTH_STAGES
    required: bool = True

    def make_gate(self, limit: float, controls: JudgeControls) -> Gate:
        """A fresh gate at that limit. Only for specs whose role is "gate"."""
        if self.gate is not None:
            return self.gate(self, limit, controls)
        assert self.measure is not None  # noqa: S101 - tests/conformance/test_metrics.py holds every entry to it
        return FrameGate(self.name, self.unit, limit, self.measure, self.absent, direction=self.gate_direction)

    @property
    def gate_direction(self) -> GateDirection:
        """On which side of its limit a gate passes: at most the limit ("lower") or at least ("higher")."""
        return "higher" if self.direction == "higher" else "lower"
