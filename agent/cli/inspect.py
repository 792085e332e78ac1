"""`agent plan`, `agent analyze` and `agent verify`: look, and change nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import GainOption, Input, JsonOption, ModelOption, PeakOption, ProfileOption
from agent.cli.jobs import run_with_front_end
from agent.cli.render import human_events, json_events, show, tell, write_line
from agent.outputs import check_input, check_model, default_output
from agent.runner import Outcome
from agent.state import JobSpec
from agent.store import Run, RunStore

if TYPE_CHECKING:
    from analysis.schema import Analysis, Verdict


def plan(
    input_path: Input,
    profile: ProfileOption = "balanced",
    model: ModelOption = None,
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say what would be done to IN and why, with an estimate of the time; render nothing."""
    with json_events(as_json) as events:
        check_model(model)
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
        outcome = run_with_front_end(job, RunStore(), events)
    if outcome.exit_code == 0 and events is None:
        _print_plan(outcome, profile)
    if outcome.exit_code == 4:
        tell(f"nothing to do: {outcome.message}")
    return outcome.exit_code


def analyze(input_path: Input, json_output: JsonOption = False) -> int:
    """Describe IN: content, light, distortions and quality, for each shot and for the whole."""
    source = check_input(input_path)
    job = JobSpec(input=source, output=default_output(source, "hevc"), stop_after="analyse")
    found: list[Analysis] = []

    def collect(run: Run) -> None:
        from agent.workspace import Workspace

        found.append(Workspace(run.work).load_analysis())

    outcome = run_with_front_end(job, RunStore(), events=None, collect=collect)
    if outcome.exit_code == 4:
        tell(f"nothing to do: {outcome.message}")
    for analysis in found:
        if json_output:
            write_line(sys.stdout, analysis.model_dump_json())
        else:
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
        write_line(sys.stdout, verdict.model_dump_json())
    else:
        _print_verdict(verdict)
    return 0 if verdict.passed else 4


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
    for line in lines:
        show(line)


def _print_report(analysis: Analysis) -> None:
    report = analysis.pooled
    rows = [report.content.description]
    rows += [f"{name.replace('_', ' ')}: {value}" for name, value in report.luminance.model_dump().items()]
    rows += [
        f"distortion: {d.severity} {d.type.replace('_', ' ')} at {list(d.bbox_1000)}" for d in report.distortions
    ]
    rows.append(f"quality: {report.quality.level} ({report.quality.score:.1f} of 5)")
    rows.append(f"shots: {len(analysis.shots)}")
    for row in rows:
        show(row)


def _print_verdict(verdict: Verdict) -> None:
    for gate in verdict.gates:
        value = "" if gate.value is None else f"{gate.value:.3g}"
        limit = "" if gate.limit is None else f"(limit {gate.limit:.3g} {gate.unit})"
        show(f"{gate.state.replace('_', ' '):<13}{gate.gate:<14}{value} {limit} {gate.detail}".rstrip())
    show(f"{verdict.outcome.replace('_', ' ')}: {verdict.reason}")
