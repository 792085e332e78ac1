"""The local engine on an untrained compact model: whatever it would like to say, its answers are valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from analysis.mllm.client_local import LocalEngine
from analysis.mllm.constrain import compiled
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import Constraint, family
from analysis.mllm.frame_report import GRADES
from toolchain.errors import InputError, UsageError
from training.mllm_model import CompactConfig, compact_model, processor

COMPACT = family("compact")
SMALL = CompactConfig(hidden=80, layers=2, heads=2, key_heads=1, inner=64, eye_hidden=32, eye_layers=2, eye_heads=2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    folder: Path = tmp_path_factory.mktemp("compact")
    compact_model(SMALL).save_pretrained(folder)
    processor([COMPACT.prompt().user]).save_pretrained(folder)
    return LocalEngine(folder, COMPACT, batch=4)


def question(seed: int, attempt: int = 0) -> FrameQuestion:
    frame = np.random.default_rng(seed).integers(0, 256, (144, 256, 3), dtype=np.uint8)
    return FrameQuestion(COMPACT.images(frame), attempt)


def test_answers_of_untrained_weights_are_valid_at_every_attempt(engine: LocalEngine) -> None:
    questions = [question(seed, attempt) for seed in range(3) for attempt in (0, 1)]
    for asked, answer in zip(questions, engine.ask(questions), strict=True):
        assert COMPACT.parse(answer, asked.size).dynamic_range in GRADES


def test_an_answer_does_not_depend_on_its_neighbours(engine: LocalEngine) -> None:
    alone = engine.ask([question(1)])
    among = engine.ask([question(0), question(1), question(2)])
    assert among[1] == alone[0]


def test_the_first_attempt_is_repeated_exactly_and_the_second_differs(engine: LocalEngine) -> None:
    first, again, other = engine.ask([question(5)]), engine.ask([question(5)]), engine.ask([question(5, attempt=1)])
    assert first == again
    assert other == engine.ask([question(5, attempt=1)])
    assert first != other


def test_the_name_tells_the_weights(engine: LocalEngine) -> None:
    assert engine.name.startswith("local:")
    assert engine.family is COMPACT


def test_a_folder_without_a_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no processor"):
        LocalEngine(tmp_path, COMPACT)
    processor([COMPACT.prompt().user]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="name another folder"):
        LocalEngine(tmp_path, COMPACT)


def test_a_grammar_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="grammar is not valid"):
        compiled(Constraint("grammar", 'start: "a" missing'))
    assert compiled(family("qwen2_5_vl").constraint((1008, 560)))
