"""`agent vqa ...`: how good a video looks, as its place in a benchmark.

The score is a distortion ranking, learned from synthetic damage and reference metrics. It is no mean opinion score,
and whatever shows it says so.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.commands import JsonOption
from agent.cli.render import JsonEvents, human_events, json_events, show, tell, write_line
from agent.outputs import check_input
from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.events import Emit

if TYPE_CHECKING:
    from agent.scoring import Benchmark, Ranker
    from agent.tasks.messages import ScoreResult
    from analysis.vqa.drift import Drift
    from analysis.vqa.scale import PercentileMap, Placement, Thresholds

app = typer.Typer(help="Rank videos by their distortions, against a benchmark.", no_args_is_help=True)

_BETTER = {"lower": "lower is better", "higher": "higher is better", "neither": "neither is better"}
SCALE = "distortion ranking, not MOS"
NO_MAP = "no percentile map for this model: run `agent vqa calibrate DIR` and name its map with --map"


@app.command("metrics")
def metrics(json_output: Annotated[bool, typer.Option("--json", help="One object a line.")] = False) -> int:
    """List everything that is measured of a result: unit, range, better side, and what the numbers are taken on."""
    from analysis.vqa.registry import MEASURES

    for spec in MEASURES:
        facts = {
            "name": spec.name,
            "role": spec.role if spec.required or spec.role != "gate" else "optional gate",
            "unit": spec.unit,
            "range": spec.range,
            "better": spec.direction,
            "domain": spec.domain,
            "stages": spec.stages,
            "description": spec.description,
        }
        if json_output:
            write_line(sys.stdout, json.dumps(facts))
        else:
            low, high = spec.range
            show(f"{spec.name:<18}{facts['role']:<14}{spec.unit:<20}{low:g} to {high:g}, {_BETTER[spec.direction]}")
            show(f"{'':<18}{spec.description}; on {spec.domain}")
    return 0


@app.command("score")
def score(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Videos, SDR or HDR.", show_default=False)],
    map_file: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Made by `agent vqa calibrate`; else the shipped one."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Rank each FILE by its distortions: 0 (worst) to 100, and its percentile in a benchmark.

    With --json a line `vqa.score` for each file that could be scored, which `agent vqa drift` reads, and a line
    `vqa.failed` for each that could not. Exit 3 when one could not.
    """
    from agent.scoring import Scorer, current_ranker

    with json_events(as_json) as events, Scorer() as scorer:
        scale = _load_scale(map_file, current_ranker())
        failed = 0
        for file in files:
            try:
                source = check_input(file)
                result = scorer(source)
            except InputError as error:
                if len(files) == 1:
                    raise
                failed += 1
                _show_failure(file, error, events)
            else:
                _show_score(source, result, scale, events)
        if failed:
            raise InputError(f"{failed} of {len(files)} files could not be scored: see above")
        _show_end(events, {"message": f"scored {len(files)}"})
    return 0


@app.command("calibrate")
def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The benchmark's videos, at any depth.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The map.")] = Path("percentiles.json"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing map.")] = False,
    poor_below: Annotated[float | None, typer.Option(help="Percentile below which a video is poor (25).")] = None,
    excellent_from: Annotated[float | None, typer.Option(help="Percentile from which it is excellent (75).")] = None,
    residuals: Annotated[
        Path | None,
        typer.Option(
            "--residuals", metavar="FILE", help="CSV or NDJSON with a column `residual`: score minus truth."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Score every video below DIR and write the percentile map of their scores.

    A stopped command goes on where it was when it is run again. Videos that cannot be scored are skipped and named.
    """
    from agent.scoring import current_ranker, score_benchmark
    from analysis.vqa.scale import build_map
    from toolchain.files import write_atomic

    with json_events(as_json) as events:
        target, thresholds = _check_target(out, overwrite), _thresholds(poor_below, excellent_from)
        half_width, ranker = _half_width(residuals), current_ranker()
        with _progress(events) as emit:
            benchmark = score_benchmark(folder, ranker, emit)
        made = build_map(
            benchmark.score_by_digest,
            ranker.model_hash,
            ranker.preprocessing_hash,
            command=shlex.join(["agent", "vqa", "calibrate", folder.resolve().name]),
            version=version("sdr2hdr-agent"),
            thresholds=thresholds,
            score_half_width=half_width,
        )
        write_atomic(target, made.model_dump_json(indent=1) + "\n")
        _show_map(target, made, benchmark, events)
    return 0


@app.command("drift")
def drift(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Scores of the period to compare with.")],
    current: Annotated[Path, typer.Argument(metavar="CURRENT", help="Scores of the period in question.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> int:
    """Say whether the scores of two periods have one distribution: PSI over the reference's deciles, and KS.

    Each is a file, or a folder of files: what `agent vqa score --json` printed, or CSV with a header. The column
    `score` is needed; `model_hash` and `preprocessing_hash` are compared where they stand. Exit 0 whatever is found.
    """
    from analysis.vqa.drift import compare_periods
    from analysis.vqa.score_table import read_table

    before, after = read_table(reference), read_table(current)
    if len(before.makers | after.makers) > 1:
        models = ", ".join(sorted(f"{model[:12]}/{way[:12]}" for model, way in before.makers | after.makers))
        raise InputError(f"the scores are of several models ({models}): score both periods with one")
    found = compare_periods(before.values, after.values)
    if as_json:
        from pydantic import TypeAdapter

        write_line(sys.stdout, TypeAdapter(type(found)).dump_json(found).decode())
    else:
        show(_drift_sentence(found))
    return 0


def _load_scale(path: Path | None, ranker: Ranker) -> PercentileMap | None:
    from analysis.vqa.scale import load_map, shipped_map

    if path is None:
        return shipped_map(ranker.model_hash, ranker.preprocessing_hash)
    return load_map(path, ranker.model_hash, ranker.preprocessing_hash)


def _thresholds(poor_below: float | None, excellent_from: float | None) -> Thresholds:
    from pydantic import ValidationError

    from analysis.vqa.scale import Thresholds

    given = {"poor_below": poor_below, "excellent_from": excellent_from}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return Thresholds(**chosen, basis="chosen at calibration") if chosen else Thresholds()
    except ValidationError as error:
        raise UsageError(
            f"--poor-below and --excellent-from cannot be {poor_below} and {excellent_from} "
            "(25 and 75 when not given): two rising percentiles between 0 and 100 are needed"
        ) from error


def _half_width(residuals: Path | None) -> float | None:
    from analysis.vqa.scale import conformal_half_width
    from analysis.vqa.score_table import read_table

    return None if residuals is None else conformal_half_width(read_table(residuals, "residual").values)


def _check_target(path: Path, overwrite: bool) -> Path:
    """Told before hours of scoring, not after them."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file with --out")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist: create it first")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: pass --overwrite or name another with --out")
    if not os.access(path.absolute().parent, os.W_OK):
        raise EnvironmentNotReady(f"cannot write {path}: choose a folder you may write to")
    return path.absolute()


@contextmanager
def _progress(events: JsonEvents | None) -> Iterator[Emit]:
    if events is not None:
        yield events
        return
    with human_events() as emit:
        yield emit


def _show_score(path: Path, result: ScoreResult, scale: PercentileMap | None, events: JsonEvents | None) -> None:
    place = scale.place(result.score) if scale else None
    if events is None:
        for line in _score_lines(path, result, scale, place):
            show(line)
        return
    row = {"type": "vqa.score", "path": str(path), "scale": SCALE, **result.model_dump(mode="json")}
    if scale and place:
        events.write({**row, **asdict(place), "benchmark_hash": scale.benchmark_hash, "benchmark_n": scale.n})
    else:
        events.write({**row, "percentile": None, "note": NO_MAP})


def _score_lines(
    path: Path, result: ScoreResult, scale: PercentileMap | None, place: Placement | None
) -> Iterator[str]:
    yield f"{path}: {result.score:.1f} of 100 ({SCALE})"
    if scale and place:
        beyond = "" if place.tail == "inside" else f", {place.tail} all of them"
        yield f"  percentile  {place.percentile:.1f} ± {place.dkw_points:.1f} points of {scale.n} videos{beyond}"
        sure = f"uncertain: {place.low:.1f} to {place.high:.1f} is possible" if place.uncertain else "certain"
        limits = scale.thresholds
        fair = f"fair is {limits.poor_below:g} to {limits.excellent_from:g}, {limits.basis}"
        yield f"  label       {place.label} ({sure}; {fair})"
    else:
        yield f"  percentile  {NO_MAP}"
    yield "  heads       " + ", ".join(f"{name} {value:.1f}" for name, value in result.heads.items())
    yield "  clips       " + " ".join(f"{value:.1f}" for value in result.clips)


def _show_failure(path: Path, error: InputError, events: JsonEvents | None) -> None:
    if events is None:
        tell(f"error: {error}")
    else:
        events.write({"type": "vqa.failed", "path": str(path), "message": str(error), "exit_code": error.exit_code})


def _show_map(target: Path, made: PercentileMap, benchmark: Benchmark, events: JsonEvents | None) -> None:
    from analysis.vqa.scale import dkw_half_width_points

    skipped = [{"path": str(item.path), "reason": item.reason} for item in benchmark.skipped]
    width = dkw_half_width_points(made.n)
    found = (
        f"{made.n} videos, percentiles ± {width:.1f} points, {len(skipped)} skipped, {benchmark.reused} from cache"
    )
    if events is None:
        show(target)
        tell(f"{found}; {SCALE}; limits {made.thresholds.basis}")
        return
    hashes = {name: getattr(made, name) for name in ("model_hash", "benchmark_hash", "preprocessing_hash")}
    counted = {"n": made.n, "dkw_points": width, "reused": benchmark.reused, "skipped": skipped}
    _show_end(events, {"message": found, "output": str(target), **counted, **hashes})


def _show_end(events: JsonEvents | None, fields: dict[str, Any]) -> None:
    """The stream's last line, as of every command with events."""
    if events is not None:
        events.write({"type": "job.completed", "run_id": "", "exit_code": 0, "output": None, **fields})


def _drift_sentence(found: Drift) -> str:
    from analysis.vqa.drift import MODERATE_PSI, SHIFTED_PSI

    chance = ""
    if MODERATE_PSI <= found.psi <= found.psi_by_chance:
        chance = f"; at this size equal periods reach PSI {found.psi_by_chance:.2f} by chance"
    return (
        f"{found.word}: PSI {found.psi:.3f} (moderate from {MODERATE_PSI}, shifted from {SHIFTED_PSI}), "
        f"KS {found.ks:.3f} with p = {found.ks_p:.2g}, median {found.reference_median:.1f} -> "
        f"{found.current_median:.1f}, {found.reference_n} and {found.current_n} scores{chance}"
    )
