"""From gates and gain to a verdict: gates first, and no gain buys back a failed gate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.schema import GateResult, Verdict
from analysis.vqa.judge import Judge
from analysis.vqa.registry import required_gates, stage_metric
from analysis.vqa.spec import DO_NOTHING, FramePair, JudgeControls, Limits, Stage

BOOTSTRAP_SAMPLES = 2000
SEED = 20240203

BASELINE_GATES = frozenset(
    {
        "fidelity_median", "fidelity_p95", "unevenness", "noise", "sharpness", "ringing", "banding", "contours",
        "structure_vmaf", "structure", "hue_median", "hue_p95", "skin", "harm",
    }
)  # fmt: skip
"""How far colours, detail and grain lie from the source's, and the output from a master. What doing nothing shows
there is the coding of the file: it is the baseline, and a person who asked for it by name is told of it and gets it.
With restoring in between it is no longer the baseline, and nothing is excused."""

Outcome = Literal["accept", "accept_no_gain", "reject", "uncertain"]


@dataclass(frozen=True)
class Gain:
    """A stage's gain over doing nothing with its 95 % interval (None: too few units to form one) and its noise."""

    mean: float
    low: float | None
    high: float | None
    noise: float


def verify_pairs(
    pairs: Iterable[FramePair],
    model_id: str,
    limits: Limits,
    controls: JudgeControls,
    stage: Stage = "verify",
    *,
    restored: bool = False,
) -> Verdict:
    """Judge a stream of frame pairs to its end. No pairs at all: uncertain. `restored`: as in `decide`."""
    judge = Judge(limits, controls, stage)
    for pair in pairs:
        judge.add(pair)
    return judge_candidate(model_id, judge, stage, restored=restored)


def judge_candidate(model_id: str, judge: Judge, stage: Stage, *, restored: bool = False) -> Verdict:
    """The verdict on what the judge has seen, by the stage's own gain metric (see `registry.stage_metric`)."""
    gates, gain = judge.gates(), measure_gain(judge, stage)
    outcome, reason = decide(model_id, gates, gain, stage, restored=restored)
    return Verdict(
        model_id=model_id,
        outcome=outcome,
        gain=gain.mean,
        gain_low=gain.low,
        gain_high=gain.high,
        gates=gates,
        metrics=judge.metrics(),
        reason=reason,
    )


def measure_gain(judge: Judge, stage: Stage) -> Gain:
    """Mean and bootstrap interval over shots (single shot: windows, else frames) of the stage's metric."""
    return gain_of(judge.units(stage_metric(stage).name), judge.limits, stage)


def gain_of(units: NDArray[np.float64], limits: Limits, stage: Stage = "verify") -> Gain:
    """The gain in a metric's values of shots, windows or frames, whichever are resampled."""
    noise = limits.selection_noise if stage == "pilot" else limits.acceptance_noise
    low, high = bootstrap_interval(units) if units.size > 1 else (None, None)
    return Gain(float(units.mean()) if units.size else 0.0, low, high, noise)


def bootstrap_interval(units: NDArray[np.float64], samples: int = BOOTSTRAP_SAMPLES) -> tuple[float, float]:
    """95 % percentile interval of the mean by resampling units with replacement; the seed is fixed."""
    random = np.random.default_rng(SEED)
    means = units[random.integers(0, units.size, (samples, units.size))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def decide(
    model_id: str, gates: Sequence[GateResult], gain: Gain, stage: Stage, *, restored: bool = False
) -> tuple[Outcome, str]:
    """Outcome, and why in one sentence without its full stop. `restored`: the picture was cleaned before `model_id`.

    In order: failed gate, missing gate, doing nothing, harm, no gain, doubt, gain.
    """
    failed = [gate for gate in gates if gate.state == "failed"]
    untouched = model_id == DO_NOTHING and not restored
    excused = [gate for gate in failed if untouched and gate.gate in BASELINE_GATES]
    if len(failed) > len(excused):
        return "reject", _failures(failed)
    measured = {gate.gate for gate in gates if gate.state != "not_measured"}
    missing = [name for name in required_gates(stage) if name not in measured]
    if missing:
        return "uncertain", f"Not measured: {', '.join(missing)}"
    if excused:
        return "accept_no_gain", f"Doing nothing gains nothing; not held against it: {_failures(excused)}"
    if model_id == DO_NOTHING:
        return "accept_no_gain", "Doing nothing is safe and gains nothing"
    return _weigh(gain, stage)


def _weigh(gain: Gain, stage: Stage) -> tuple[Outcome, str]:
    if not math.isfinite(gain.mean):
        return "uncertain", "Not measured: the gain is no number"
    text = f"gain {gain.mean:+.2f}" + (f" ({gain.low:+.2f} to {gain.high:+.2f})" if gain.low is not None else "")
    if gain.high is not None and gain.high < -gain.noise:
        return "reject", f"Worse than doing nothing: {text}"
    if gain.mean <= gain.noise:
        return "accept_no_gain", f"No measured improvement: {text}, test-retest noise {gain.noise:.2f}"
    if gain.low is None and stage == "verify":
        return "uncertain", f"One frame forms no interval: {text}"
    if gain.low is not None and gain.low <= 0:
        return "uncertain", f"The interval of the gain includes 0: {text}"
    return "accept", f"All gates passed; measured {text}"


def _failures(gates: Iterable[GateResult]) -> str:
    return "; ".join(_failure(gate) for gate in gates)


def _failure(gate: GateResult) -> str:
    frames = f", frames {', '.join(map(str, gate.frames))}" if gate.frames else ""
    side = "over" if gate.direction == "lower" else "under"
    return f"{gate.gate} {gate.value:.4g} {gate.unit} is {side} its limit of {gate.limit:.4g} ({gate.detail}{frames})"
