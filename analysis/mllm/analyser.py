"""Key frames in, content reports out: what the model sees of a shot, beside what is measured of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from analysis import report as rules
from analysis.mllm.engine import Engine, FrameQuestion
from analysis.mllm.families import prompt_hash
from analysis.mllm.frame_report import AnswerError, FrameReport
from analysis.mllm.measured import Contradiction, combine
from analysis.mllm.pooling import pool
from analysis.schema import Analysis, ShotAnalysis
from analysis.signals.observer import ShotSignals
from toolchain.errors import EnvironmentNotReady, UsageError

ANALYSER = "mllm-1"
BATCH = 8
"""Frames that are asked about at once: what an engine may spread over its server or stack into one pass."""
SHOT_SHARE = 0.5
"""A defect belongs to a shot if at least this share of its key frames show it,"""
VIDEO_SHARE = 0.25
"""and to the video if shots with at least this share of its frames have it."""


class AnalyserFailed(EnvironmentNotReady):
    """The model's answer did not validate twice: choose another model, or the analyser `signals`."""


@dataclass(frozen=True)
class KeyFrame:
    """A frame that speaks for its shot: `rgb` is HxWx3 uint8 R'G'B', full range, upright, at native resolution."""

    shot: int
    frame: int
    rgb: NDArray[np.uint8]


class FrameFinding(BaseModel):
    """What the model said of one frame, boxes in 0..1000 of the displayed frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: int
    frame: int
    report: FrameReport


class Findings(BaseModel):
    """The analysis, and what it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    analysis: Analysis
    engine: str
    prompt_hash: str
    frames: tuple[FrameFinding, ...]
    contradictions: tuple[Contradiction, ...] = Field(description="where the measurement stands against the model")
    asked_again: int = Field(description="frames whose first answer did not validate")


def analyse(shots: Sequence[ShotSignals], frames: Iterable[KeyFrame], engine: Engine) -> Findings:
    """The content report of every shot and of the video.

    `frames`: at least one a shot, in any order; read once, a batch at a time. Raises AnalyserFailed for an answer
    that does not validate on the second try either, EnvironmentNotReady where the engine cannot answer, UsageError
    for a shot without a frame or a frame of no shot.
    """
    found, asked_again = _look(frames, engine)
    seen = _by_shot(shots, found)
    contradictions: list[Contradiction] = []
    analysed: list[ShotAnalysis] = []
    for item, frame_report in zip(shots, seen, strict=True):
        report, settled = combine(frame_report, item.signals, boxes=item.boxes, shot=item.shot.index)
        analysed.append(ShotAnalysis(shot=item.shot.index, signals=item.signals, report=report))
        contradictions += settled
    pooled_signals, measured = rules.pool(shots)
    weights = [max(1, item.shot.frame_count) for item in shots]
    pooled, settled = combine(pool(seen, weights, VIDEO_SHARE), pooled_signals, measured)
    return Findings(
        analysis=Analysis(
            analyser=f"{ANALYSER} {engine.name}", shots=tuple(analysed), pooled_signals=pooled_signals, pooled=pooled
        ),
        engine=engine.name,
        prompt_hash=prompt_hash(engine.family),
        frames=tuple(found),
        contradictions=(*contradictions, *settled),
        asked_again=asked_again,
    )


def _look(frames: Iterable[KeyFrame], engine: Engine) -> tuple[list[FrameFinding], int]:
    """Every frame's report, and how many were asked about twice."""
    found: list[FrameFinding] = []
    asked_again = 0
    for batch in _batches((frame.shot, frame.frame, engine.family.images(frame.rgb)) for frame in frames):
        questions = [FrameQuestion(images) for _, _, images in batch]
        answers = read_answers(engine, questions)
        asked_again += sum(answer.asked_again for answer in answers)
        for (shot, frame, _), answer in zip(batch, answers, strict=True):
            if answer.report is None:
                raise AnalyserFailed(
                    f"{engine.name} answered twice about frame {frame} of shot {shot}, never validly "
                    f"({answer.problem}): choose another model or the analyser `signals`"
                )
            found.append(FrameFinding(shot=shot, frame=frame, report=answer.report))
    return found, asked_again


@dataclass(frozen=True)
class Answer:
    """A frame's report, or None and why there is none."""

    report: FrameReport | None
    problem: str = ""
    asked_again: bool = False


def read_answers(engine: Engine, questions: Sequence[FrameQuestion]) -> list[Answer]:
    """Ask about each frame; once more, together, about those whose answer does not validate. Nothing is repaired."""
    answers = [_read(engine, question, text) for question, text in _asked(engine, questions)]
    failed = [place for place, answer in enumerate(answers) if answer.report is None]
    if failed:
        again = [FrameQuestion(questions[place].images, attempt=1) for place in failed]
        for place, (question, text) in zip(failed, _asked(engine, again), strict=True):
            second = _read(engine, question, text)
            answers[place] = Answer(second.report, second.problem, asked_again=True)
    return answers


def _asked(engine: Engine, questions: Sequence[FrameQuestion]) -> list[tuple[FrameQuestion, str]]:
    return list(zip(questions, engine.ask(questions), strict=True))


def _read(engine: Engine, question: FrameQuestion, text: str) -> Answer:
    try:
        return Answer(engine.family.parse(text, question.size))
    except AnswerError as error:
        return Answer(None, str(error))


def _by_shot(shots: Sequence[ShotSignals], found: Sequence[FrameFinding]) -> list[FrameReport]:
    by_shot: dict[int, list[FrameReport]] = {item.shot.index: [] for item in shots}
    for finding in found:
        if finding.shot not in by_shot:
            raise UsageError(f"frame {finding.frame} belongs to shot {finding.shot}, which is unknown: leave it out")
        by_shot[finding.shot].append(finding.report)
    for shot, reports in by_shot.items():
        if not reports:
            raise UsageError(f"shot {shot} has no key frame to look at: give at least one a shot")
    return [pool(reports, [1.0] * len(reports), SHOT_SHARE) for reports in by_shot.values()]


def _batches(items: Iterable[tuple]) -> Iterator[list[tuple]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
