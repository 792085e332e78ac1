"""Every gate and metric of the registry keeps the same promises: finite, in range, neutral on nothing done, the
declared direction, the same with any number of threads and any order of shots, and memory that does not grow."""

from __future__ import annotations

import sys
import tracemalloc
import types
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from analysis.vqa.judge import SHARED_PICTURES, Judge
from analysis.vqa.metric import MetricSpec
from analysis.vqa.registry import GATES, MEASURES, METRICS, required_gates, stage_metrics
from analysis.vqa.spec import FramePair, JudgeControls, Limits, load_limits
from analysis.vqa.view import View
from tests.analysis.vqa import damage
from tests.analysis.vqa.pictures import HEIGHT, WIDTH, Image, expanded, pair, scene

LIMITS = load_limits()


def _flat(value: float, *size: int) -> Image:
    return np.full((*(size or (HEIGHT, WIDTH)), 3), value, np.float32)


def _holed(picture: Image, value: float) -> Image:
    damaged = picture.copy()
    damaged[10:30, 20:60] = value
    return damaged


NASTY: dict[str, Callable[[], tuple[Image, Image]]] = {
    "black": lambda: (_flat(0), _flat(0)),
    "white": lambda: (_flat(203), _flat(203)),
    "black to peak": lambda: (_flat(0), _flat(10000)),
    "peak to black": lambda: (_flat(203), _flat(0)),
    "one pixel": lambda: (_flat(60, 1, 1), _flat(90, 1, 1)),
    "one row": lambda: (_flat(60, 1, 7), _flat(90, 1, 7)),
    "one column": lambda: (scene()[:33, :1], scene()[:33, :1]),
    "odd": lambda: (scene()[:17, :33], expanded(scene())[:17, :33]),
    "no numbers": lambda: (scene(), _flat(np.nan)),
    "some no numbers": lambda: (scene(), _holed(scene(), np.nan)),
    "infinite": lambda: (scene(), _holed(scene(), np.inf)),
    "minus infinite": lambda: (scene(), _holed(scene(), -np.inf)),
    "source no numbers": lambda: (_holed(scene(), np.nan), scene()),
    "beyond all light": lambda: (_holed(scene(), 3e38), _holed(scene(), 3e38)),
    "negative": lambda: (_holed(scene(), -50), _holed(scene(), -3e38)),
    "not contiguous": lambda: (scene()[::2, ::-1], scene()[::2, ::-1]),
}

Results = tuple[dict[str, Any], dict[str, float], dict[str, str]]


def _judged(pairs: Iterable[FramePair], controls: JudgeControls | None = None) -> Results:
    """Gates by name, metrics, and what is missing of them; any warning is an error."""
    judge = Judge(LIMITS, controls or JudgeControls())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in pairs:
            judge.add(one)
        return {gate.gate: gate for gate in judge.gates()}, judge.metrics(), judge.missing()


@cache
def _nasty(name: str, frames: int, mid_gain_ev: float | None) -> Results:
    source, output = NASTY[name]()
    film = [pair(source, output, number) for number in range(frames)]
    return _judged(film, JudgeControls(mid_gain_ev=mid_gain_ev, single_frame=frames == 1))


def _film(
    change: Callable[[Image, int, int], Image], good: Callable[[Image], Image] = lambda x: x
) -> list[FramePair]:
    """Two shots of two consecutive frames; `change` gets the good output, the shot and the frame.

    The bright patch is held for graphics."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[30:60, 100:130] = 1
    return [
        FramePair(
            shot, shot, 2 * shot + n, source := damage.rich_scene(shot, 2 * n), change(good(source), shot, n), mask
        )
        for shot in (0, 1)
        for n in range(2)
    ]


@cache
def _good() -> Results:
    return _judged(_film(lambda output, shot, n: output, expanded))


@cache
def _unchanged() -> Results:
    return _judged(_film(lambda output, shot, n: output))


def _value(spec: MetricSpec, results: Results) -> float:
    gates, metrics, missing = results
    if spec.role != "gate":
        assert spec.name in metrics, missing
        return metrics[spec.name]
    if gates[spec.name].state == "not_measured":
        pytest.skip(f"not measured here: {gates[spec.name].detail}")
    return gates[spec.name].value


def test_every_entry_says_what_it_is():
    names = [spec.name for spec in MEASURES]
    assert len(set(names)) == len(names)
    for spec in MEASURES:
        low, high = spec.range
        assert low < high, spec.name
        assert spec.unit and spec.domain and spec.description and spec.stages, spec.name
        assert spec.neutral is None or low <= spec.neutral <= high, spec.name
        if spec.role == "gate":
            assert (spec.measure is None) != (spec.gate is None), spec.name
            assert spec.direction != "neither", spec.name
        else:
            assert spec.measure is not None, spec.name
            assert spec.required, spec.name


def test_every_gate_has_a_limit_and_every_limit_a_gate():
    other = {"selection_noise", "acceptance_noise", "calibration"}
    assert set(Limits.model_fields) - other == {spec.name for spec in GATES}


@pytest.mark.parametrize("spec", MEASURES, ids=lambda spec: spec.name)
def test_nasty_content_gives_a_number_in_range_or_a_reason(spec: MetricSpec):
    for name in NASTY:
        for frames, mid_gain_ev in ((1, 0.0), (2, None)):
            gates, metrics, missing = _nasty(name, frames, mid_gain_ev)
            if spec.role != "gate":
                assert (spec.name in metrics) != bool(missing.get(spec.name)), (name, "neither a value nor a reason")
                value = metrics.get(spec.name)
            else:
                value = gates[spec.name].value
                assert (value is None) == (gates[spec.name].state == "not_measured"), name
                assert gates[spec.name].detail, name
            if value is not None:
                assert spec.range[0] <= value <= spec.range[1], (name, value)


@pytest.mark.parametrize("spec", MEASURES, ids=lambda spec: spec.name)
def test_nothing_done_is_neutral_and_a_good_result_in_range(spec: MetricSpec):
    if spec.neutral is not None:
        assert _value(spec, _unchanged()) == pytest.approx(spec.neutral, abs=1e-3 * (spec.range[1] - spec.range[0]))
    assert spec.range[0] <= _value(spec, _good()) <= spec.range[1]


@pytest.mark.parametrize(
    "spec", [spec for spec in MEASURES if spec.direction != "neither"], ids=lambda spec: spec.name
)
def test_damage_moves_it_the_declared_way(spec: MetricSpec):
    change = damage.OF[spec.name]
    good, bad = (_value(spec, results) for results in (_good(), _judged(_film(change, expanded))))
    assert spec.range[0] <= bad <= spec.range[1]
    assert bad > good if spec.direction == "lower" else bad < good


def test_threads_and_the_order_of_shots_and_windows_change_no_bit():
    frames = _film(lambda output, shot, n: output, expanded)
    windows = [
        FramePair(one.shot, window, 2 * window + n, one.source_nits, one.output_nits, one.graphics_mask)
        for window, (a, b) in enumerate([(0, 1), (2, 3), (1, 0), (3, 2)])
        for n, one in enumerate((frames[a], frames[b]))
    ]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one_thread = _judged(windows)
        cv2.setNumThreads(4)
        assert _judged(windows) == one_thread
        assert _judged([*windows[4:], *windows[:4]]) == one_thread
    finally:
        cv2.setNumThreads(before)


def test_a_source_shared_between_candidates_changes_no_bit():
    frames = _film(lambda output, shot, n: output, expanded)
    alone, shared = Judge(LIMITS, JudgeControls()), Judge(LIMITS, JudgeControls())
    for one in frames:
        alone.add(one)
        view = damage.used_source_view(one.source_nits)
        shared.add(one, view)
    assert alone.gates() == shared.gates()
    assert alone.metrics() == shared.metrics()


def test_memory_does_not_grow_with_the_pictures():
    source = scene()
    output, judge = expanded(source), Judge(LIMITS, JudgeControls())
    tracemalloc.start()
    try:
        for number in range(5):
            judge.add(pair(source, output, number))
        start = tracemalloc.get_traced_memory()[0]
        for number in range(5, 45):
            judge.add(pair(source, output, number))
        grown = tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()
    assert grown / 40 < 8 * 1024, "bytes a frame; its picture has 172800"


def test_the_cost_names_everything_that_is_measured():
    judge = Judge(LIMITS, JudgeControls())
    judge.add(pair(scene(), expanded(scene())))
    judge.gates()
    cost = judge.cost()
    assert set(cost) == {SHARED_PICTURES, *(spec.name for spec in MEASURES)}
    assert list(cost.values()) == sorted(cost.values(), reverse=True)
    assert min(cost.values()) >= 0
    assert cost[SHARED_PICTURES] > 0


def _reached(function: Callable[..., Any]) -> set[str]:
    """The functions that `function` runs through, less what every measure shares (`analysis.vqa.view`)."""
    found: set[str] = set()
    waiting = [function]
    while waiting:
        current = waiting.pop()
        name = f"{current.__module__}.{current.__name__}"
        if (
            current.__module__.startswith("analysis.vqa.")
            and current.__module__ != View.__module__
            and name not in found
        ):
            found.add(name)
            module = sys.modules[current.__module__]
            called = (getattr(module, one, None) for one in current.__code__.co_names)
            waiting += [one for one in called if isinstance(one, types.FunctionType)]
    return found


def test_selection_and_acceptance_share_neither_metric_nor_function():
    select, accept = ([spec for spec in METRICS if spec.role == role] for role in ("selection", "acceptance"))
    assert (len(select), len(accept)) == (1, 1)
    first, second = select[0].measure, accept[0].measure
    assert first is not None
    assert second is not None
    chosen, accepted = _reached(first), _reached(second)
    assert chosen and accepted
    assert not chosen & accepted
    assert select[0].direction == accept[0].direction == "higher"
    assert select[0].neutral == accept[0].neutral == 0


def test_a_pilot_never_sees_the_acceptance_gain_nor_time():
    pilot = {spec.name for spec in stage_metrics("pilot")}
    assert "expected_gain" in pilot
    assert "acceptance_gain" not in pilot
    assert not {"flicker", "flicker_tile"} & set(required_gates("pilot"))
    assert set(required_gates("verify")) == {spec.name for spec in GATES if spec.required}
