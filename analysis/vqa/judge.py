"""The streaming judge that pilot and verification share: frame pairs in, gates and metrics out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.registry import METRICS, make_gates
from analysis.vqa.spec import FramePair, JudgeControls, Limits
from analysis.vqa.view import SourceView, View


class Judge:
    """Takes frame pairs one by one and keeps a few numbers of each, never a picture.

    Shots and windows may come in any order, the frames of one window in rising order. The same pairs give the same
    answers with any number of threads.
    """

    def __init__(self, limits: Limits, controls: JudgeControls):
        self.limits = limits
        self.controls = controls
        self._gates = make_gates(limits, controls)
        self._places: list[tuple[int, int, int]] = []
        self._values: dict[str, list[float]] = {metric.name: [] for metric in METRICS}

    def add(self, pair: FramePair, of_source: SourceView | None = None) -> None:
        """Measure one pair. `of_source`: what was derived of the same source for another pair, to be shared.

        Raises AgentError where frames of a window do not rise.
        """
        view = View(pair, of_source, self.controls)
        for gate in self._gates:
            gate.add(view)
        for metric in METRICS:
            self._values[metric.name].append(metric.measure(view))
        self._places.append((pair.shot, pair.window, pair.number))

    def gates(self) -> tuple[GateResult, ...]:
        """Every gate in registry order, also those that were not measured."""
        return tuple(gate.result() for gate in self._gates)

    def metrics(self) -> dict[str, float]:
        """Each metric's mean over `units`; empty before the first pair."""
        return {metric.name: float(self.units(metric.name).mean()) for metric in METRICS} if self._places else {}

    def units(self, metric: str) -> NDArray[np.float64]:
        """The metric's means to resample: one a shot; for a single shot one a window, else one a frame."""
        rows = sorted(zip(self._places, self._values[metric], strict=True))
        for depth in (1, 2, 3):
            groups: dict[tuple[int, ...], list[float]] = {}
            for place, value in rows:
                groups.setdefault(place[:depth], []).append(value)
            if len(groups) > 1:
                break
        return np.array([np.mean(values) for values in groups.values()], np.float64)
