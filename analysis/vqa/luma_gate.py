"""A gate whose numbers come from libvmaf: pictures go to disk as they come, one run measures them all at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.libvmaf import LibvmafUnavailable, LumaFile, measure
from analysis.vqa.metric import MetricSpec
from analysis.vqa.pooling import nothing_measured, pooled
from analysis.vqa.view import View

STRIDE = 6
"""Of each window the first frame and every sixth after it: two of the twelve that a balanced profile reads.
Neighbours look alike, and these measures need no consecutive frames."""

Codes = NDArray[np.uint16]
Row = dict[str, float]


@dataclass
class _Pending:
    """Pictures of one size that wait to be measured, and the shot and number of each."""

    output: LumaFile
    source: LumaFile
    places: list[tuple[int, int]] = field(default_factory=list)

    def close(self) -> None:
        self.output.close()
        self.source.close()


@dataclass
class LumaGate:
    """`value` of libvmaf's numbers for (output, source) as ten-bit codes, pooled as every frame gate is.

    `codes` makes the two HxW pictures of a view, `features` and `model` are `libvmaf.measure`'s, `remark` makes words
    of all rows. Where libvmaf cannot run the gate is not measured and says why. Memory holds numbers only.
    """

    spec: MetricSpec
    limit: float
    codes: Callable[[View], tuple[Codes, Codes]]
    features: tuple[str, ...]
    value: Callable[[Row], float]
    model: str = ""
    remark: Callable[[list[Row]], str] = lambda rows: ""
    _seen: Counter[tuple[int, int]] = field(default_factory=Counter)
    _pending: dict[tuple[int, ...], _Pending] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)
    _values: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    _missing: str = ""

    def __post_init__(self) -> None:
        self.name = self.spec.name

    def add(self, view: View) -> None:
        key = (view.shot, view.window)
        self._seen[key] += 1
        if (self._seen[key] - 1) % STRIDE:
            return
        output, source = self.codes(view)
        height, width = output.shape
        if (height, width) not in self._pending:
            self._pending[height, width] = _Pending(LumaFile(width, height), LumaFile(width, height))
        pending = self._pending[height, width]
        pending.output.append(output)
        pending.source.append(source)
        pending.places.append((view.shot, view.number))

    def result(self) -> GateResult:
        try:
            for size in list(self._pending):
                self._measure(self._pending.pop(size))
        except LibvmafUnavailable as error:
            self._missing = str(error)
        side = self.spec.gate_direction
        if self._missing or not self._values:
            missing = (self._missing,) if self._missing else ()
            return nothing_measured(self.name, self.spec.unit, self.limit, "", *missing, direction=side)
        return pooled(self.name, self.spec.unit, self._values, self.limit, self.remark(self._rows), side)

    def _measure(self, pending: _Pending) -> None:
        try:
            rows = measure(pending.output, pending.source, self.features, self.model)
            for (shot, number), row in zip(pending.places, rows, strict=True):
                self._values.setdefault(shot, []).append((self.value(row), number))
            self._rows += rows
        finally:
            pending.close()
