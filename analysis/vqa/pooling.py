"""From numbers of single frames to one gate value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from analysis.schema import GateDirection, GateResult
from analysis.vqa.view import View

MAX_NAMED_FRAMES = 5
NO_INPUT = "its input was not there"


class Gate(Protocol):
    """A guard that takes frame views one by one, keeps numbers only, and answers when asked."""

    name: str

    def add(self, view: View) -> None: ...

    def result(self) -> GateResult: ...


@dataclass
class FrameGate:
    """A gate measured on each frame alone; its value is the worse quartile of the worst shot.

    The worst shot, because a film with one ruined shot is ruined; the quartile and not the extreme, because one
    frame in a fade or a flash must not decide. `direction` "lower" passes up to the limit and takes the upper
    quartile, "higher" passes from the limit on and takes the lower one. `measure` gives None for a frame it has
    nothing to say about. Where that holds for all frames, the gate passes with value 0 if `absent` tells why nothing
    can be wrong, and is not measured if `absent` is empty.
    """

    name: str
    unit: str
    limit: float
    measure: Callable[[View], float | None]
    absent: str
    direction: GateDirection = "lower"
    _values: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def add(self, view: View) -> None:
        value = self.measure(view)
        if value is not None:
            self._values.setdefault(view.shot, []).append((float(value), view.number))

    def result(self) -> GateResult:
        if not self._values:
            return nothing_measured(self.name, self.unit, self.limit, self.absent, direction=self.direction)
        return pooled(self.name, self.unit, self._values, self.limit, direction=self.direction)


def pooled(
    name: str,
    unit: str,
    values: Mapping[int, list[tuple[float, int]]],
    limit: float,
    detail: str = "",
    direction: GateDirection = "lower",
) -> GateResult:
    """The worse quartile of the worst shot; `values`: (value, frame number) of each shot, at least one.

    A value that is no number is worse than any number.
    """
    sign = 1 if direction == "lower" else -1
    ranked = {
        shot: sorted((-sign * value if np.isfinite(value) else -np.inf, number) for value, number in measured)
        for shot, measured in values.items()
    }
    badness, first = max((-frames[(len(frames) - 1) // 4][0], -shot) for shot, frames in ranked.items())
    shot, worst = -first, ranked[-first][:MAX_NAMED_FRAMES]
    text = f"worst in shot {shot}" + (f"; {detail}" if detail else "")
    return judged(name, unit, sign * badness, limit, text, (number for _, number in worst), direction)


def judged(
    name: str,
    unit: str,
    value: float,
    limit: float,
    detail: str,
    frames: Iterable[int] = (),
    direction: GateDirection = "lower",
) -> GateResult:
    """A measured gate: passed up to its limit, or from it on where higher is better. Not finite fails."""
    finite = bool(np.isfinite(value))
    passed = finite and (value <= limit if direction == "lower" else value >= limit)
    worst = float(np.finfo(np.float32).max) * (1 if direction == "lower" else -1)
    return GateResult(
        gate=name,
        state="passed" if passed else "failed",
        value=round(float(value), 6) if finite else worst,
        limit=limit,
        unit=unit,
        direction=direction,
        detail=detail,
        frames=tuple(sorted(frames)),
    )


def nothing_measured(
    name: str,
    unit: str,
    limit: float,
    absent: str,
    missing: str = NO_INPUT,
    direction: GateDirection = "lower",
) -> GateResult:
    """A gate without input: vacuously passed (0, or the limit where higher is better) where `absent` says why.

    Else not measured, and `missing` says why that is: what was not there, and what would bring it.
    """
    if absent:
        value = 0.0 if direction == "lower" else limit
        return GateResult(
            gate=name, state="passed", value=value, limit=limit, unit=unit, direction=direction, detail=absent
        )
    return GateResult(
        gate=name, state="not_measured", value=None, limit=limit, unit=unit, direction=direction, detail=missing
    )
