"""Truth and answers of `agent train eval --format frames`: JSON lines, one a frame, in any number of .jsonl files.

Truth is a data set's split: `id`, `source`, `report`, and in `extra` perhaps `choices`, the quality of the clip after
each candidate model. Answers: `id` with `report` (a FrameReport or null) or with `answer` (the compact model's short
answer); perhaps `choice`, the model chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from analysis.mllm.code import CodeError, decode
from analysis.mllm.frame_report import FrameReport
from toolchain.errors import InputError
from training.evaluate_counts import Frame

Text = Annotated[str, Field(min_length=1)]
Quality = Annotated[float, Field(allow_inf_nan=False)]


class _Truth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    source: Text
    report: FrameReport
    extra: dict[str, Any] = {}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Text
    report: Any = None
    answer: str | None = None
    choice: str | None = None


Line = TypeVar("Line", _Truth, _Answer)
_CHOICES = TypeAdapter(dict[str, Quality])


def read_frames(predictions: Path, truth: Path) -> list[Frame]:
    """Every frame of the truth with its answer, in the order of the truth's files and lines.

    A frame without an answer, or with one that is no valid report, has None. InputError: files missing or unreadable,
    a truth that is not valid, an id twice, an answer to a frame that the truth does not have.
    """
    truths = _unique(_Truth, truth)
    answers = _unique(_Answer, predictions)
    unknown = sorted(answers.keys() - truths.keys())
    if unknown:
        raise InputError(
            f"{predictions} answers {len(unknown)} frames that {truth} does not have, the first is {unknown[0]!r}: "
            "name the truth of the same frames"
        )
    return [_frame(item, answers.get(item.id)) for item in truths.values()]


def _frame(truth: _Truth, answer: _Answer | None) -> Frame:
    try:
        choices = _CHOICES.validate_python(truth.extra.get("choices", {}))
    except ValidationError as error:
        raise InputError(f"the choices of frame {truth.id!r} are not a quality for each model: {error}") from error
    return Frame(
        id=truth.id,
        source=truth.source,
        truth=truth.report,
        found=_report(answer) if answer else None,
        choices=choices,
        choice=answer.choice if answer else None,
    )


def _report(answer: _Answer) -> FrameReport | None:
    """The report an answer gives; None where it gives none that is valid, which is counted."""
    try:
        if answer.answer is not None:
            return decode(answer.answer)
        return FrameReport.model_validate_json(json.dumps(answer.report))
    except (ValidationError, CodeError):
        return None


def _unique(kind: type[Line], folder: Path) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for where, line in _lines(folder):
        try:
            item = kind.model_validate_json(line)
        except ValidationError as error:
            raise InputError(f"{where} cannot be used: {error}") from error
        if item.id in found:
            raise InputError(f"{where} has frame {item.id!r} again: every id may stand once in {folder}")
        found[item.id] = item
    return found


def _lines(folder: Path) -> Iterator[tuple[str, str]]:
    """(file:line, text) of every line that is not empty, in all `*.jsonl` of the folder by name."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError(f"{folder} holds no .jsonl file: name a folder with a line for each frame")
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        yield from ((f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())
