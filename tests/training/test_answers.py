"""An engine's answers to a split: as it is asked, what is written, going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from analysis.mllm.code import PART_GRAMMARS, encode_parts
from analysis.mllm.diagnostic import mosaic
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import Family, family
from analysis.mllm.frame_report import FrameReport
from analysis.mllm.prompts import QUESTIONS, Question
from toolchain.errors import UsageError
from training.answers import answer_split
from training.answers_single import OneQuestion, answer_singly
from training.data.mllm_shards import PICTURE_SHAPE, STATISTICS_SHAPE, Line, Shard, shard_path, write_shard
from training.evaluate import evaluate
from training.evaluate_files import read_frames

REPORT = FrameReport(dynamic_range="high", contrast="low", distortions=(), key=(), level="good", score=4.0)


@dataclass
class Recited:
    """Gives its answers in turn and remembers what it was asked."""

    answers: list[str]
    family: Family = field(default_factory=lambda: family("compact"))
    name: str = "recited"
    asked: list[FrameQuestion] = field(default_factory=list)

    def ask(self, questions: Sequence[FrameQuestion]) -> list[str]:
        self.asked += questions
        given, self.answers = self.answers[: len(questions)], self.answers[len(questions) :]
        return given


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two shards of two frames; the first picture is bright."""
    for number in range(2):
        picture = np.zeros((2, *PICTURE_SHAPE), np.uint8)
        picture[0] = 200 - 100 * number
        lines = [Line(id=f"f{number}{index}", source=f"s{number}", split="test", report=REPORT) for index in range(2)]
        shard = Shard(picture, np.full((2, *STATISTICS_SHAPE), 9, np.uint8), lines)
        write_shard(shard_path(tmp_path / "data", "test", number), shard)
    return tmp_path / "data"


def test_answers_are_asked_for_and_can_be_evaluated(data: Path, tmp_path: Path) -> None:
    right = family("compact").write(REPORT, (224, 140))
    engine = Recited([right, "nonsense", right, right, "nonsense", "nonsense"])
    found = answer_split(engine, data, "test", tmp_path / "out")
    assert [question.attempt for question in engine.asked] == [0, 0, 1, 0, 0, 1]
    first = engine.asked[0]
    assert [image.size for image in first.images] == [(224, 140), (448, 252)]
    assert first.images[0].getpixel((0, 0)) == (200, 200, 200)
    frames = read_frames(found, data / "test")
    told = family("compact").parse(right, (224, 140))
    assert [frame.found for frame in frames] == [told, told, told, None]
    assert evaluate(frames).figures["valid"].value == 0.75
    last = json.loads((found / "00001.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["report"] is None and last["problem"] and last["asked_again"]


def test_a_stopped_run_goes_on_and_another_engine_is_refused(data: Path, tmp_path: Path) -> None:
    right = family("compact").write(REPORT, (224, 140))
    out = answer_split(Recited([right] * 4), data, "test", tmp_path / "out")
    before = (out / "00000.jsonl").read_bytes()
    (out / "00001.jsonl").unlink()
    again = Recited([right] * 2)
    answer_split(again, data, "test", out)
    assert len(again.asked) == 2 and (out / "00000.jsonl").read_bytes() == before
    with pytest.raises(UsageError, match="other answers"):
        answer_split(Recited([right] * 4, name="another"), data, "test", out)
    with pytest.raises(UsageError, match="compact"):
        answer_split(Recited([], family=family("qwen2_5_vl")), data, "test", tmp_path / "json")


def test_without_diagnostics_the_second_picture_is_blank(data: Path, tmp_path: Path) -> None:
    right = family("compact").write(REPORT, (224, 140))
    seen = {}
    for diagnostics in (True, False):
        engine = Recited([right] * 4)
        answer_split(engine, data, "test", tmp_path / str(diagnostics), diagnostics)
        seen[diagnostics] = [question.images[1].getpixel((38, 38)) for question in engine.asked]
    assert len(set(seen[True])) == len(set(seen[False])) == 1
    assert seen[True][0] == tuple(mosaic(np.full(STATISTICS_SHAPE, 9, np.uint8))[38, 38])
    assert seen[False][0] == tuple(mosaic(np.zeros(STATISTICS_SHAPE, np.uint8))[38, 38])
    assert seen[True][0] != seen[False][0]
    with pytest.raises(UsageError, match="another folder"):
        answer_split(Recited([right] * 4), data, "test", tmp_path / "True", diagnostics=False)


def test_questions_asked_one_by_one_make_one_report(data: Path, tmp_path: Path) -> None:
    parts = encode_parts(REPORT)
    engines: dict[Question, Recited] = {
        name: Recited([parts[name]] * 4, OneQuestion(question=name)) for name in QUESTIONS
    }
    engines["contrast"].answers[1] = "ct9"
    out = answer_singly(engines, data, "test", tmp_path / "out")
    told = family("compact").parse(family("compact").write(REPORT, (224, 140)), (224, 140))
    assert [frame.found for frame in read_frames(out, data / "test")] == [told, None, told, told]
    assert [len(engine.asked) for engine in engines.values()] == [4] * len(QUESTIONS)
    for name in QUESTIONS:
        asked = OneQuestion(question=name)
        assert asked.constraint((224, 140)).text == PART_GRAMMARS[name]
        assert len(asked.prompt().user.split()) == 2
