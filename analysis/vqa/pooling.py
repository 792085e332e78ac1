"""From numbers of single frames to one gate value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from analysis.schema import GateResult
from analysis.vqa.view import View

MAX_NAMED_FRAMES = 5


class Gate(Protocol):
    """A guard that takes frame views one by one, keeps numbers only, and answers when asked."""

    name: str

    def add(self, view: View) -> None: ...

    def result(self) -> GateResult: ...


@dataclass
class FrameGate:
    """A gate measured on each frame alone; its value is the upper quartile of the worst shot.

    The worst shot, because a film with one ruined shot is ruined; the upper quartile and not the maximum, because
    one frame in a fade or a flash must not decide. `measure` gives None for a frame it has nothing to say about.
    Where that holds for all frames, the gate passes with value 0 if `absent` tells why nothing can be wrong, and is
    not measured if `absent` is empty.
    """

    name: str
    unit: str
    limit: float
    measure: Callable[[View], float | None]
    absent: str
    detail: str = ""
    _values: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def add(self, view: View) -> None:
        value = self.measure(view)
        if value is not None:
            self._values.setdefault(view.shot, []).append((float(value), view.number))

    def result(self) -> GateResult:
        if not self._values:
            return nothing_measured(self.name, self.unit, self.limit, self.absent)
        value, first = max((_upper_quartile(values), -shot) for shot, values in self._values.items())
        shot = -first
        worst = sorted(self._values[shot], key=lambda item: (-item[0], item[1]))[:MAX_NAMED_FRAMES]
        detail = f"worst in shot {shot}" + (f"; {self.detail}" if self.detail else "")
        return judged(self.name, self.unit, value, self.limit, detail, (number for _, number in worst))


def judged(name: str, unit: str, value: float, limit: float, detail: str, frames: Iterable[int] = ()) -> GateResult:
    """A measured gate: passed up to and including its limit. A value that is not finite fails."""
    passed = bool(np.isfinite(value) and value <= limit)
    value = round(value, 6) if np.isfinite(value) else float(np.finfo(np.float32).max)
    return GateResult(
        gate=name,
        state="passed" if passed else "failed",
        value=value,
        limit=limit,
        unit=unit,
        detail=detail,
        frames=tuple(sorted(frames)),
    )


def nothing_measured(name: str, unit: str, limit: float, absent: str) -> GateResult:
    """A gate without input: vacuously passed where `absent` says why, else not measured."""
    if absent:
        return GateResult(gate=name, state="passed", value=0.0, limit=limit, unit=unit, detail=absent, frames=())
    detail = "its input was not there"
    return GateResult(gate=name, state="not_measured", value=None, limit=limit, unit=unit, detail=detail, frames=())


def _upper_quartile(values: list[tuple[float, int]]) -> float:
    return float(np.percentile([value for value, _ in values], 75, method="higher"))
