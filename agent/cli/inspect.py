"""`agent plan`, `agent analyze` and `agent verify`: look, and change nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import GainOption, Input, JsonOption, ModelOption, PeakOption, ProfileOption
from agent.cli.engine_options import (
    EngineModelOption,
    EngineOption,
    EngineUrlOption,
    FallbackOption,
    FamilyOption,
    chosen_analyser,
)
from agent.cli.jobs import run_with_front_end
from agent.cli.render import human_events, json_events, show, tell, write_line
from agent.outputs import check_input, check_model, default_output
from agent.runner import Outcome
from agent.state import JobSpec, State
from agent.store import Run, RunStore

if TYPE_CHECKING:
    from agent.report.record import Verification
    from analysis.schema import Analysis


def plan(
    input_path: Input,
    profile: ProfileOption = "balanced",
    model: ModelOption = None,
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    engine: EngineOption = None,
    engine_model: EngineModelOption = None,
    engine_url: EngineUrlOption = None,
    family: FamilyOption = None,
    fallback: FallbackOption = None,
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
            analyser=chosen_analyser(
                profile, engine=engine, model=engine_model, url=engine_url, family=family, fallback=fallback
            ),
            stop_after="plan",
        )
        outcome = run_with_front_end(job, RunStore(), events)
    if outcome.exit_code == 0 and events is None:
        _print_plan(outcome, profile)
    if outcome.exit_code == 4:
        tell(f"nothing to do: {outcome.message}")
    return outcome.exit_code


def analyze(
    input_path: Input,
    profile: ProfileOption = "balanced",
    engine: EngineOption = None,
    engine_model: EngineModelOption = None,
    engine_url: EngineUrlOption = None,
    family: FamilyOption = None,
    fallback: FallbackOption = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Also draw the key frames with what was found: .png or .jpg.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
    json_output: JsonOption = False,
) -> int:
    """Describe IN: content, light, distortions and quality, for each shot and for the whole."""
    source = check_input(input_path)
    if image is not None:
        _check_image(image, overwrite, source)
    asked = chosen_analyser(
        profile, engine=engine, model=engine_model, url=engine_url, family=family, fallback=fallback
    )
    job = JobSpec(
        input=source,
        output=default_output(source, "hevc"),
        profile=profile,
        analyser=asked,
        stop_after="analyse",
    )
    found: list[Analysis] = []

    def collect(run: Run, state: State) -> None:
        from agent.workspace import Workspace

        found.append(Workspace(run.work).load_analysis())
        if image is not None:
            _draw(image, run, state, overwrite)

    outcome = run_with_front_end(job, RunStore(), events=None, collect=collect)
    if outcome.exit_code == 4:
        tell(f"nothing to do: {outcome.message}")
    for analysis in found:
        if json_output:
            write_line(sys.stdout, analysis.model_dump_json())
        else:
            _print_report(analysis)
    if found and image is not None:
        tell(f"picture written to {image}")
    return outcome.exit_code


def _check_image(image: Path, overwrite: bool, source: Path) -> None:
    from agent.report.analysis_image import check_image_path

    check_image_path(image, overwrite, (source,))


def _draw(image: Path, run: Run, state: State, overwrite: bool) -> None:
    """The contact sheet, while the run's key frames are still there."""
    from agent.report.analysis_image import draw_analysis
    from agent.workspace import Workspace
    from toolchain.video.facts import MediaFacts

    draw_analysis(image, Workspace(run.work), MediaFacts.model_validate(state["facts"]), overwrite)


def verify(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The SDR source.", show_default=False)],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="The HDR file made of it, by any tool.", show_default=False)
    ],
    peak_nits: PeakOption = None,
    mid_gain: GainOption = None,
    limits: Annotated[
        Path | None, typer.Option("--limits", help="Gate limits, a YAML file like configs/gates/default.yaml.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write the verdict as a page, .html, with pictures.")
    ] = None,
    structure: Annotated[
        bool, typer.Option("--structure", help="Ask ColorVideoVDP too (extra cvvdp; some seconds more).")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")] = False,
) -> int:
    """Compare OUT with SRC: every gate, and the gain over doing nothing.

    Exit 0 when OUT is accepted; 4 when it is safe without a gain, rejected or uncertain; 3 when the two files cannot
    be compared.
    """
    from agent.verification import Asked, verify_files

    asked = Asked(
        source=check_input(source),
        output=check_input(output),
        peak_nits=peak_nits,
        mid_gain_ev=mid_gain,
        limits=limits,
        report=report,
        structure=structure,
        overwrite=overwrite,
    )
    with human_events() as emit:
        verification = verify_files(asked, emit)
    if json_output:
        write_line(sys.stdout, verification.model_dump_json())
    else:
        _print_verification(verification)
    if report is not None:
        tell(f"report written to {report}")
    return verification.exit_code


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
    for index, item in enumerate(report.distortions):
        key = ", key" if index in report.key_distortions else ""
        rows.append(f"distortion: {item.severity} {item.type.replace('_', ' ')} at {list(item.bbox_1000)}{key}")
    rows.append(f"quality: {report.quality.level} ({report.quality.score:.1f} of 5)")
    rows += [f"shots: {len(analysis.shots)}", f"analyser: {analysis.analyser}"]
    for row in rows:
        show(row)


def _print_verification(found: Verification) -> None:
    for gate in found.gates:
        value = "" if gate.value is None else f"{gate.value:.3g}"
        side = "at least" if gate.direction == "higher" else "at most"
        limit = "" if gate.limit is None else f"({side} {gate.limit:.3g} {gate.unit})"
        frames = f", frames {', '.join(map(str, gate.frames))}" if gate.state == "failed" and gate.frames else ""
        show(f"{gate.state.replace('_', ' '):<13}{gate.gate:<16}{value} {limit} {gate.detail}{frames}".rstrip())
    if found.gain_low is not None and found.gain_high is not None:
        interval = f"{found.gain_low:+.2f} to {found.gain_high:+.2f}, "
    else:
        interval = ""
    show(f"gain {found.gain:+.2f} {found.gain_unit} ({interval}noise {found.gain_noise:.2f})")
    show(f"{found.outcome.replace('_', ' ')}: {found.reason}")
    show(f"{found.summary} (exit {found.exit_code})")
