"""Answers to a split of the analyser's data set, as `agent train eval --format frames` reads them.

An engine is asked as the product asks it: constrained, and once more where an answer does not validate. A shard of
answers is written whole, so a stopped run goes on after the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.mllm.analyser import Answer, read_answers
from analysis.mllm.diagnostic import mosaic
from analysis.mllm.engine import Engine, FrameQuestion
from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, ignore
from toolchain.files import disk_errors, write_atomic
from training.data.mllm_shards import Line, Shard, read_shard, shards

Answering = Callable[[Path], list[tuple[Line, Answer]]]
"""A shard's file of lines -> its samples, each with its answer."""
ASKED = "asked.json"
"""Who was asked about what: answers of two engines never share a folder."""


def answer_split(
    engine: Engine, data: Path, split: str, out: Path, diagnostics: bool = True, emit: Emit = ignore
) -> Path:
    """Ask about every frame of a split; returns `out`, which then has a .jsonl of answers for each shard.

    Without `diagnostics` the second picture is blank, for a model that learned so.

    UsageError where `out` has answers of another engine or split, or where the engine's family is not the one whose
    pictures the set stores.
    """
    if engine.family.name != "compact":
        raise UsageError(f"the set stores pictures of the family compact, not {engine.family.name}: ask such a model")

    def ask(path: Path) -> list[tuple[Line, Answer]]:
        shard = read_shard(path)
        questions = [frame_question(shard, index, diagnostics) for index in range(len(shard.lines))]
        return list(zip(shard.lines, read_answers(engine, questions), strict=True))

    return write_answers(ask, engine.name, data, split, out, emit, {"diagnostics": diagnostics})


def write_answers(
    answering: Answering,
    who: str,
    data: Path,
    split: str,
    out: Path,
    emit: Emit = ignore,
    how: Mapping[str, str | bool] | None = None,
) -> Path:
    """A .jsonl of answers in `out` for each shard of the split that has none yet; returns `out`.

    UsageError where `out` has answers of another than `who`, to another split, or asked another way than `how`.
    """
    paths = shards(data, split)
    _claim(out, {"engine": who, "split": split, "data": data.name, **(how or {})})
    for done, path in enumerate(paths, 1):
        answers = out / path.name
        if not answers.exists():
            write_atomic(answers, "".join(_answer_line(*item) for item in answering(path)))
        emit(Progress(step="answers", done=done, total=len(paths), unit="shards"))
    return out


def frame_question(shard: Shard, index: int, diagnostics: bool) -> FrameQuestion:
    """What is asked about a stored sample; without `diagnostics` its second picture is blank."""
    stored = shard.statistics[index]
    shown = mosaic(stored if diagnostics else np.zeros_like(stored))
    return FrameQuestion((Image.fromarray(shard.picture[index]), Image.fromarray(shown)))


def _answer_line(line: Line, answer: Answer) -> str:
    report = answer.report.model_dump(mode="json") if answer.report is not None else None
    record = {"id": line.id, "report": report, "problem": answer.problem, "asked_again": answer.asked_again}
    return json.dumps(record) + "\n"


def _claim(out: Path, asked: dict[str, str | bool]) -> None:
    """Make `out` the folder of these answers."""
    text = json.dumps(asked, indent=1) + "\n"
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    path = out / ASKED
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UsageError(f"{out} has other answers already ({path}): name another folder with --out")
    write_atomic(path, text)
