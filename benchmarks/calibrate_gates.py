"""Prints the tables of docs/gates.md: what each gate says of good results and of known damage.

Run from the repository root: `python -m benchmarks.calibrate_gates [DATA_FOLDER] > docs/gates.tables.md`
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from analysis.schema import GateResult, Verdict
from analysis.vqa.judge import Judge
from analysis.vqa.registry import GATE_NAMES
from analysis.vqa.spec import FramePair, JudgeControls, Limits, load_limits
from analysis.vqa.verdict import judge_candidate
from benchmarks import gate_cases as cases

MODELS = ("direct203", "bt2446a", "bt2446b", "bt2446c", "spline")
CONTROLS = JudgeControls(peak_nits=1000.0, mid_gain_ev=0.0)
DAMAGES: tuple[tuple[str, cases.Damage, tuple[float, ...]], ...] = (
    ("exposure", cases.exposure, (-1.0, -0.75, 0.75, 1.0)),
    ("hue_median", cases.hue, (5.0, 10.0, 20.0)),
    ("crushing", cases.crush, (0.5, 1.0, 3.0)),
    ("clipping", cases.clip, (150.0, 100.0, 60.0)),
    ("noise", cases.grain, (5.0, 10.0, 20.0)),
    ("flicker", cases.flicker, (0.03, 0.05, 0.1)),
    ("flicker_tile", cases.tile_flicker, (0.07, 0.1, 0.2)),
    ("shot_jump", cases.jump, (0.35, 0.5, 1.0)),
    ("gamut_p3", cases.saturate, (1.5, 2.0, 3.0)),
    ("gamut", cases.negative, (2.0, 3.0, 4.0)),
    ("fidelity_p95", cases.shuffle, (5.0, 10.0, 20.0)),
)

Result = Callable[[list[cases.Image], int, int], list[cases.Image]]
"""(sources of a shot, its index, number of its first frame) -> outputs."""


def pairs(clip: cases.Clip, result: Result) -> Iterator[FramePair]:
    """The clip's frame pairs; `result` makes the outputs of a shot."""
    number = 0
    for shot, frames in enumerate(clip.shots):
        sources = [cases.to_nits(codes) for codes in frames]
        for source, output in zip(sources, result(sources, shot, number), strict=True):
            yield FramePair(shot, shot, number, source, output, np.zeros(source.shape[:2], np.float32))
            number += 1


def verdict(clip: cases.Clip, model_id: str, result: Result, limits: Limits) -> Verdict:
    """The verification verdict on one clip."""
    judge = Judge(limits, CONTROLS)
    for pair in pairs(clip, result):
        judge.add(pair)
    return judge_candidate(model_id, judge, "verify")


def good_table(clips: list[cases.Clip], limits: Limits) -> Iterator[str]:
    """Worst value of each gate over all clips for each model, coded in ten bits."""
    yield "| model | passed | " + " | ".join(GATE_NAMES) + " | selection | acceptance | outcomes |"
    yield "|---" * (len(GATE_NAMES) + 5) + "|"
    for model_id in MODELS:
        results = [
            verdict(clip, model_id, lambda sources, *_, m=model_id: expanded(m, sources), limits) for clip in clips
        ]
        yield _good_row(model_id, results)
        for clip, result in zip(clips, results, strict=True):
            failed = [f"{gate.gate} {gate.value:.3g}" for gate in result.gates if gate.state == "failed"]
            if failed:
                sys.stderr.write(f"{model_id} fails on {clip.name}: {', '.join(failed)}\n")


def _good_row(model_id: str, results: list[Verdict]) -> str:
    worst = [max(_value(result, name) for result in results) for name in GATE_NAMES]
    passed = sum(all(gate.state == "passed" for gate in result.gates) for result in results)
    scores = [_spread(results, name) for name in ("selection_score", "acceptance_gain")]
    outcomes = [result.outcome for result in results]
    counts = ", ".join(f"{name} {outcomes.count(name)}" for name in dict.fromkeys(outcomes))
    cells = [model_id, f"{passed}/{len(results)}", *(f"{value:.3g}" for value in worst), *scores, counts]
    return "| " + " | ".join(cells) + " |"


def _spread(results: list[Verdict], name: str) -> str:
    values = [result.metrics[name] for result in results]
    return f"{np.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def damage_table(clips: list[cases.Clip], limits: Limits) -> Iterator[str]:
    """For each damage to a good result (BT.2446 A): how many clips its own gate caught, and any gate."""
    yield "| damage | strength | median value | limit | caught by its gate | caught by any |"
    yield "|---|---|---|---|---|---|"
    good = {
        clip.name: [[cases.expand("bt2446a", cases.to_nits(codes)) for codes in shot] for shot in clip.shots]
        for clip in clips
    }
    for name, damage, strengths in DAMAGES:
        for strength in strengths:
            results = [
                verdict(clip, "bt2446a", _damaged(good[clip.name], damage, strength), limits) for clip in clips
            ]
            own = [_gate(result, name) for result in results]
            value = np.median([gate.value or 0.0 for gate in own])
            caught = sum(gate.state == "failed" for gate in own)
            rejected = sum(result.outcome == "reject" for result in results)
            row = (name, f"{strength:g}", f"{value:.3g}", f"{own[0].limit:g}")
            yield "| " + " | ".join((*row, f"{caught}/{len(own)}", f"{rejected}/{len(own)}")) + " |"


def expanded(model_id: str, sources: list[cases.Image]) -> list[cases.Image]:
    """A shot through a model and an encoder."""
    return cases.coded([cases.expand(model_id, source) for source in sources])


def _damaged(good: list[list[cases.Image]], damage: cases.Damage, strength: float) -> Result:
    def result(sources: list[cases.Image], shot: int, first: int) -> list[cases.Image]:
        return [damage(output, shot, first + n, strength) for n, output in enumerate(good[shot])]

    return result


def _gate(result: Verdict, name: str) -> GateResult:
    return next(gate for gate in result.gates if gate.gate == name)


def _value(result: Verdict, name: str) -> float:
    return _gate(result, name).value or 0.0


def main() -> None:
    """Print both tables as Markdown."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SDR2HDR_DATA", "../shared/data"))
    clips = list(cases.clips(root if root.is_dir() else None))
    limits = load_limits()
    for table in (good_table, damage_table):
        for line in table(clips, limits):
            sys.stdout.write(line + "\n")
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
