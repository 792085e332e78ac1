"""`agent plan`, `agent analyze` and `agent verify`: look, and change nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import GainOption, Input, JsonOption, ModelOption, PeakOption, ProfileOption
from agent.cli.jobs import run_with_front_end
from agent.cli.render import human_events
from agent.outputs import check_input, default_output
from agent.runner import Outcome
from agent.state import JobSpec
from agent.store import RunStore

if TYPE_CHECKING:
    from analysis.schema import Analysis, Verdict


def plan(
    input_path: Input,
    profile: ProfileOption = "balanced",
    model: ModelOption = None,
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    json_events: JsonOption = False,
) -> int:
    """Say what would be done to IN and why, with an estimate of the time; render nothing."""
    source = check_input(input_path)
    job = JobSpec(
        input=source,
        output=default_output(source, "hevc"),
        profile=profile,
        model=model,
        peak_nits=peak_nits,
        mid_gain_ev=mid_gain,
        stop_after="plan",
    )
    outcome, _ = _look(job, json_events)
    if outcome.exit_code == 0 and not json_events:
        _print_plan(outcome, profile)
    if outcome.exit_code == 4:
        sys.stderr.write(f"nothing to do: {outcome.message}\n")
    return outcome.exit_code


def analyze(input_path: Input, json_output: JsonOption = False) -> int:
    """Describe IN: content, light, distortions and quality, for each shot and for the whole."""
    source = check_input(input_path)
    job = JobSpec(input=source, output=default_output(source, "hevc"), stop_after="analyse")
    outcome, analysis = _look(job, json_events=False)
    if outcome.exit_code == 4:
        sys.stderr.write(f"nothing to do: {outcome.message}\n")
    if analysis is not None:
        text = analysis.model_dump_json(indent=None if json_output else 2)
        sys.stdout.write((text if json_output else analysis.pooled.content.description) + "\n")
        if not json_output:
            _print_report(analysis)
    return outcome.exit_code


def verify(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The SDR source.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The HDR file made of it, by any tool.")],
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    json_output: JsonOption = False,
) -> int:
    """Compare OUT with SRC: every gate, and the gain over doing nothing. Exit 0 only when OUT is accepted."""
    from agent.verification import verify_files

    with human_events() as emit:
        verdict = verify_files(check_input(source), check_input(output), peak_nits, mid_gain, emit)
    if json_output:
        sys.stdout.write(verdict.model_dump_json() + "\n")
    else:
        _print_verdict(verdict)
    return 0 if verdict.passed else 4


def _look(job: JobSpec, json_events: bool) -> tuple[Outcome, Analysis | None]:
    """Run the job as far as it goes; nothing of it stays on disk but its record."""
    store = RunStore()
    outcome = run_with_front_end(job, store, json_events)
    from agent.workspace import Workspace

    run = store.get(outcome.run_id)
    analysis = Workspace(run.work).load_analysis() if outcome.exit_code == 0 else None
    run.clear_work()
    return outcome, analysis


def _print_plan(outcome: Outcome, profile_name: str) -> None:
    from agent.estimate import estimate_s
    from analysis.schema import Plan
    from analysis.selection.profile import load_profile
    from toolchain.video.facts import MediaFacts

    made = Plan.model_validate(outcome.state["plan_record"])
    facts = MediaFacts.model_validate(outcome.state["facts"])
    lines = [f"policy {made.policy}, {made.mode}"]
    lines += [f"restore with {step.model_id}: {step.reason}" for step in made.restore] or ["restore nothing"]
    for candidate in made.candidates:
        mark = f"{candidate.probability:4.0%}" if candidate.eligible else " out"
        lines.append(f"{mark}  {candidate.model_id:<10} {candidate.reason}")
    lines.append(f"about {estimate_s(facts, load_profile(profile_name)):.0f} s on this machine")
    sys.stdout.write("\n".join(lines) + "\n")


def _print_report(analysis: Analysis) -> None:
    report = analysis.pooled
    rows = [f"{name.replace('_', ' ')}: {value}" for name, value in report.luminance.model_dump().items()]
    rows += [
        f"distortion: {d.severity} {d.type.replace('_', ' ')} at {list(d.bbox_1000)}" for d in report.distortions
    ]
    rows.append(f"quality: {report.quality.level} ({report.quality.score:.1f} of 5)")
    rows.append(f"shots: {len(analysis.shots)}")
    sys.stdout.write("\n".join(rows) + "\n")


def _print_verdict(verdict: Verdict) -> None:
    for gate in verdict.gates:
        value = "" if gate.value is None else f"{gate.value:.3g}"
        limit = "" if gate.limit is None else f"(limit {gate.limit:.3g} {gate.unit})"
        sys.stdout.write(
            f"{gate.state.replace('_', ' '):<13}{gate.gate:<14}{value} {limit} {gate.detail}".rstrip() + "\n"
        )
    sys.stdout.write(json.dumps(verdict.outcome).strip('"').replace("_", " ") + f": {verdict.reason}\n")
