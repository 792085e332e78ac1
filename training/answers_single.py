"""Answers of a model that was trained to answer one question a prompt, for the ablation: asked as it learned.

The product asks everything at once. The four answers about a frame are joined into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.mllm import code
from analysis.mllm.analyser import Answer
from analysis.mllm.client_local import LocalEngine
from analysis.mllm.engine import Engine
from analysis.mllm.families import CompactFamily, Constraint, Size
from analysis.mllm.frame_report import AnswerError
from analysis.mllm.prompts import QUESTIONS, Prompt, Question, compact_prompt
from toolchain.events import Emit, ignore
from training.answers import frame_question, write_answers
from training.data.mllm_shards import Line, read_shard


@dataclass(frozen=True)
class OneQuestion(CompactFamily):
    """The compact model's conventions for one of the questions, whatever else is asked for."""

    question: Question = "distortions"

    def prompt(self, questions: tuple[Question, ...] = QUESTIONS, variant: int = 0) -> Prompt:
        return compact_prompt((self.question,))

    def constraint(self, size: Size) -> Constraint:
        return Constraint("grammar", code.PART_GRAMMARS[self.question])


def single_engines(model: Path, batch: int, device: str) -> dict[Question, LocalEngine]:
    """The compact model of a checkpoint folder, once for each question."""
    return {name: LocalEngine(model, OneQuestion(question=name), batch, device) for name in QUESTIONS}


def answer_singly(
    engines: Mapping[Question, Engine],
    data: Path,
    split: str,
    out: Path,
    diagnostics: bool = True,
    emit: Emit = ignore,
) -> Path:
    """As `training.answers.answer_split`, each question alone; no frame is asked about again."""

    def ask(path: Path) -> list[tuple[Line, Answer]]:
        shard = read_shard(path)
        frames = [frame_question(shard, index, diagnostics) for index in range(len(shard.lines))]
        told = [engine.ask(frames) for engine in engines.values()]
        parts = [dict(zip(engines, texts, strict=True)) for texts in zip(*told, strict=True)]
        return list(zip(shard.lines, map(_joined, parts), strict=True))

    how = {"diagnostics": diagnostics, "questions": "one by one"}
    return write_answers(ask, engines["distortions"].name, data, split, out, emit, how)


def _joined(parts: Mapping[Question, str]) -> Answer:
    try:
        return Answer(code.decode(code.joined(parts)))
    except AnswerError as error:
        return Answer(None, str(error))
