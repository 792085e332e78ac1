"""`agent train answer` and `eval`: a model's answers about frames, and what they are worth."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from agent.cli.render import human_events, show, tell, write_line
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.events import Emit

UNPOOLED = "Distortion mAP, unpooled"


class AnswerFormat(StrEnum):
    vida = "vida"
    frames = "frames"


class AnswerEngine(StrEnum):
    model = "model"
    cells = "cells"
    signals = "signals"


def answer_frames(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Made by `agent train data`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The answers go here.")],
    engine: Annotated[
        AnswerEngine,
        typer.Option(
            "--engine",
            help="model: a checkpoint; cells: its eye, or a net of `agent train conv`; signals: the measured rules.",
        ),
    ] = AnswerEngine.model,
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help="The checkpoint to ask.")] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation, test or clips.")] = "test",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Frames asked together.")] = 16,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    diagnostics: Annotated[
        bool, typer.Option(help="Show the diagnostic picture; without, a blank one, for a model that learned so.")
    ] = True,
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Each question alone, for a model that learned so.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="signals: what the set was made with; its frames are made again."
        ),
    ] = None,
    masters: Annotated[
        Path | None,
        typer.Option("--masters", metavar="DIR", help="signals: photographs and clips; else $SDR2HDR_DATA."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="signals: your own pictures, if the set has them.")
    ] = None,
    read_out: Annotated[
        Path | None,
        typer.Option(
            "--read-out",
            metavar="FILE",
            help="cells: thresholds; fitted on the validation split and kept there, or with the answers, if missing.",
        ),
    ] = None,
) -> int:
    """Ask a compact model, its cells, or the measured rules, about every frame of a split, for `agent train eval`.

    A stopped command goes on where it was when it is run again.
    """
    with human_events() as emit:
        if engine is AnswerEngine.signals:
            if config is None or model is not None:
                raise UsageError("--engine signals asks no model: give the set's configuration with --config instead")
            show(_measured(config, masters, images, data, split, out, emit))
        elif engine is AnswerEngine.cells:
            show(_read_from_cells(model, read_out, data, split, out, emit))
        else:
            how = _Asking(batch, device, diagnostics, one_by_one)
            show(_asked(model, how, data, split, out, emit))
    return 0


class _Asking(NamedTuple):
    """How a checkpoint is asked."""

    batch: int
    device: str
    diagnostics: bool
    one_by_one: bool


def _asked(model: Path | None, how: _Asking, data: Path, split: str, out: Path, emit: Emit) -> Path:
    if model is None:
        raise UsageError("there is no checkpoint to ask: name one with --model, or use --engine signals")
    from analysis.mllm.client_local import LocalEngine
    from analysis.mllm.families import family
    from training.answers import answer_split

    if how.one_by_one:
        from training.answers_single import answer_singly, single_engines

        engines = single_engines(model, how.batch, how.device)
        return answer_singly(engines, data, split, out, how.diagnostics, emit)
    engine = LocalEngine(model, family("compact"), how.batch, how.device)
    return answer_split(engine, data, split, out, how.diagnostics, emit)


def _read_from_cells(
    model: Path | None, read_out: Path | None, data: Path, split: str, out: Path, emit: Emit
) -> Path:
    if model is None:
        raise UsageError("there is no network whose cells could be read: name its folder with --model")
    try:
        from training.answers_cells import answer_cells, dense_model
    except ModuleNotFoundError as error:
        raise EnvironmentNotReady(
            f"reading cells needs {error.name}, which is not installed: pip install 'sdr2hdr-agent[train]'"
        ) from error
    return answer_cells(dense_model(model), data, split, out, read_out, emit)


def _measured(
    config: Path, masters: Path | None, images: Path | None, data: Path, split: str, out: Path, emit: Emit
) -> Path:
    from training.data.mllm_data import MllmDataConfig
    from training.data.mllm_native import NativeFrames
    from training.mllm_signals import measure_split
    from training.recipe import load_recipe

    found = load_recipe(config, MllmDataConfig, "the analyser's training set")
    return measure_split(NativeFrames(data, found, masters, images), data, split, out, emit)


def evaluate_answers(
    answer_format: Annotated[
        AnswerFormat, typer.Option("--format", help="vida: the MIPI track's files; frames: a line for each frame.")
    ],
    predictions: Annotated[Path, typer.Option("--pred", metavar="DIR", help="The answers.")],
    truth: Annotated[Path, typer.Option("--truth", metavar="DIR", help="What is true of the same pictures.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="frames: other answers to the same; shows the difference."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> int:
    """Score answers about pictures.

    vida: the six metrics of the MIPI 2025 detailed-IQA track and their sum, by its file names and its rules. A metric
    that cannot be counted is 0, and why is told. frames: our own figures with 95 % intervals, over the .jsonl files
    of both folders; a data set's split is such a truth.
    """
    if answer_format is AnswerFormat.vida:
        if against is not None:
            raise UsageError("--against compares answers to frames: leave it out, or use --format frames")
        _score_track(predictions, truth, as_json)
    else:
        _evaluate_frames(predictions, truth, against, as_json)
    return 0


def _score_track(predictions: Path, truth: Path, as_json: bool) -> None:
    from training import vida

    found = vida.score(predictions, truth)
    for name, problem in found.problems.items():
        tell(f"warning: {name} is 0: {problem}")
    if as_json:
        write_line(sys.stdout, json.dumps(found.record()))
        return
    for name, value in (*found.metrics.items(), ("Final Score", found.final)):
        show(f"{name:<26}{value:.6f}")
    if found.unpooled_map is not None:
        show(f"{UNPOOLED:<26}{found.unpooled_map:.6f}  (ours: detection answers, true classes)")


def _evaluate_frames(predictions: Path, truth: Path, against: Path | None, as_json: bool) -> None:
    from training.evaluate import compare, evaluate, markdown
    from training.evaluate_files import read_frames

    frames = read_frames(predictions, truth)
    found = evaluate(frames)
    differences = compare(frames, read_frames(against, truth)) if against is not None else None
    if not as_json:
        for line in markdown(found, differences).splitlines():
            show(line)
        return
    record = found.model_dump(mode="json")
    if differences is not None:
        record["against"] = {name: figure.model_dump(mode="json") for name, figure in differences.items()}
    write_line(sys.stdout, json.dumps(record))
