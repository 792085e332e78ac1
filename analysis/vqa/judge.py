"""The streaming judge that pilot and verification share: frame pairs in, gates and metrics out."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult
from analysis.vqa.metric import Place
from analysis.vqa.registry import make_gates, stage_metrics
from analysis.vqa.spec import FramePair, JudgeControls, Limits, Stage
from analysis.vqa.view import SourceView, View

SHARED_PICTURES = "shared pictures"

Answer = TypeVar("Answer")


class Judge:
    """Takes frame pairs one by one and keeps a few numbers of each.

    What looks at several frames keeps pictures, and how many does not depend on how long the video is: a clip of a
    window, and on disk those that libvmaf reads at the end.

    Shots and windows may come in any order, the frames of one window in rising order. The same pairs give the same
    answers with any number of threads.
    """

    def __init__(self, limits: Limits, controls: JudgeControls, stage: Stage = "verify"):
        self.limits = limits
        self.controls = controls
        self._gates = make_gates(limits, controls, stage)
        self._metrics = stage_metrics(stage)
        self._meters = {metric.name: metric.meter() for metric in self._metrics if metric.meter}
        self._values: dict[str, dict[Place, float]] = {metric.name: {} for metric in self._metrics}
        self._empty = True
        self._seconds: dict[str, float] = {}

    def add(self, pair: FramePair, of_source: SourceView | None = None) -> None:
        """Measure one pair. `of_source`: what was derived of the same source for another pair, to be shared.

        Raises AgentError where frames of a window do not rise.
        """
        view = View(pair, of_source, self.controls)
        self._empty = False
        for name, meter in self._meters.items():
            self._timed(name, lambda meter=meter: meter.add(view))
        if pair.glance:
            return
        self._timed(SHARED_PICTURES, view.prepare)
        for gate in self._gates:
            self._timed(gate.name, lambda gate=gate: gate.add(view))
        for metric in self._metrics:
            if metric.measure is None:
                continue
            value = self._timed(metric.name, lambda measure=metric.measure: measure(view))
            if value is not None:
                self._values[metric.name][pair.shot, pair.window, pair.number] = value

    def gates(self) -> tuple[GateResult, ...]:
        """Every gate in registry order, also those that were not measured."""
        return tuple(self._timed(gate.name, gate.result) for gate in self._gates)

    def metrics(self) -> dict[str, float]:
        """Each metric's mean over `units`; those that no frame had anything to say to are left out (`missing`)."""
        units = {metric.name: self.units(metric.name) for metric in self._metrics}
        return {name: float(values.mean()) for name, values in units.items() if values.size}

    def missing(self) -> dict[str, str]:
        """Why each metric that `metrics` leaves out was not measured."""
        measured = self.metrics()
        return {
            metric.name: "no frames" if self._empty else metric.absent
            for metric in self._metrics
            if metric.name not in measured
        }

    def units(self, metric: str) -> NDArray[np.float64]:
        """The metric's means to resample: one a shot; for a single shot one a window, else one a frame."""
        meter = self._meters.get(metric)
        values = self._timed(metric, meter.values) if meter else self._values[metric]
        rows = sorted(values.items())
        groups: dict[tuple[int, ...], list[float]] = {}
        for depth in (1, 2, 3):
            groups = {}
            for place, value in rows:
                groups.setdefault(place[:depth], []).append(value)
            if len(groups) > 1:
                break
        return np.array([np.mean(values) for values in groups.values()], np.float64)

    def cost(self) -> dict[str, float]:
        """CPU seconds so far of each gate and metric, and of the pictures they share, largest first.

        Of the calling thread and of programs that have ended; OpenCV's own threads are not in it: set them to one
        before measuring.
        """
        return dict(sorted(self._seconds.items(), key=lambda item: -item[1]))

    def _timed(self, name: str, work: Callable[[], Answer]) -> Answer:
        start = _cpu_s()
        answer = work()
        self._seconds[name] = self._seconds.get(name, 0.0) + _cpu_s() - start
        return answer


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime
