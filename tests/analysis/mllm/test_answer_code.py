"""The compact model's short answer: reading back, refusing, and the grammar that holds the model to it."""

from __future__ import annotations

import llguidance
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.mllm.code import (
    GRAMMAR,
    PART_GRAMMARS,
    TYPE_WORDS,
    WORDS,
    CodeError,
    decode,
    encode,
    encode_parts,
    grid_box,
    joined,
    quality_of,
    quality_word,
)
from analysis.mllm.frame_report import LEVELS, FrameReport
from analysis.mllm.prompts import Question
from analysis.schema import Distortion
from tests.analysis.mllm.frame_reports import boxes, frame_reports

ANSWER = "dr4 ct2 ; noise minor global ; blocks severe local p05 p10 p20 p30 ; key 1 ; qd"


def on_grid(report: FrameReport) -> FrameReport:
    """What the short answer keeps of a report: boxes on the grid, raster order, the half of the level."""
    items = [item.model_copy(update={"bbox_1000": grid_box(item.bbox_1000)}) for item in report.distortions]
    order = sorted(range(len(items)), key=lambda i: (items[i].bbox_1000[1], items[i].bbox_1000[0]))
    level, score = quality_of(quality_word(report.level, report.score))
    return report.model_copy(
        update={
            "distortions": tuple(items[i] for i in order),
            "key": tuple(place for place, i in enumerate(order) if i in report.key),
            "level": level,
            "score": score,
        }
    )


def test_the_example_reads_as_written() -> None:
    assert decode(ANSWER) == FrameReport(
        dynamic_range="high",
        contrast="medium",
        distortions=(
            Distortion(type="noise", severity="minor", bbox_1000=(0, 0, 1000, 1000)),
            Distortion(type="blocking_artifacts", severity="severe", bbox_1000=(100, 200, 400, 600)),
        ),
        key=(1,),
        level="poor",
        score=2.4,
    )
    clean = decode("dr5 ct3 ; clean ; qj")
    assert (clean.distortions, clean.key, clean.level, clean.score) == ((), (), "excellent", 4.8)


@settings(deadline=None)
@given(frame_reports())
def test_decode_of_encode_is_the_report_on_the_grid(report: FrameReport) -> None:
    text = encode(report)
    back = decode(text)
    assert back == on_grid(report)
    assert back.level == report.level
    assert abs(back.score - report.score) <= 0.2 + 1e-9
    assert encode(back) == text
    assert set(text.split(" ")) <= set(WORDS)


@settings(deadline=None)
@given(boxes())
def test_a_box_moves_by_at_most_half_a_step_unless_it_were_empty(box: tuple[int, int, int, int]) -> None:
    kept = grid_box(box)
    assert kept[0] < kept[2]
    assert kept[1] < kept[3]
    for low, high in ((0, 2), (1, 3)):
        reach = 10 if box[high] - box[low] >= 20 else 20
        assert max(abs(kept[side] - box[side]) for side in (low, high)) <= reach


def test_words_are_distinct_and_cover_every_type_and_level() -> None:
    assert len(set(WORDS)) == len(WORDS) == 98
    assert all(word.split() == [word] for word in WORDS)
    assert len(TYPE_WORDS) == 15
    words = [quality_word(level, score) for level in LEVELS for score in (1.0, 5.0)]
    assert words == [f"q{letter}" for letter in "abcdefghij"]


def test_what_the_code_cannot_say_is_refused() -> None:
    item = Distortion(type="noise", severity="minor", bbox_1000=(0, 0, 1000, 1000))
    rest = {"dynamic_range": "low", "contrast": "low", "level": "fair", "score": 3.0}
    with pytest.raises(CodeError, match="7 distortions"):
        encode(FrameReport.model_validate({"distortions": (item,) * 7, "key": (0,), **rest}))
    with pytest.raises(CodeError, match="3 key ones"):
        encode(FrameReport.model_validate({"distortions": (item,) * 3, "key": (0, 1, 2), **rest}))


REFUSED = (
    "",
    " " + ANSWER,
    ANSWER + " ",
    ANSWER + "\n",
    ANSWER + " ;",
    ANSWER.replace(" ; ", "; "),
    ANSWER.replace(" ; ", "  ; "),
    ANSWER.replace("dr4 ct2", "ct2 dr4"),
    ANSWER.replace("dr4", "dr6"),
    ANSWER.replace("noise", "Noise"),
    ANSWER.replace("noise", "noises"),
    ANSWER.replace("minor", "none"),
    ANSWER.replace("global", "local"),
    ANSWER.replace("p05 p10 p20 p30", "p05 p10 p20"),
    ANSWER.replace("p05", "p20"),  # no width
    ANSWER.replace("p10", "p31"),  # negative height
    ANSWER.replace("p30", "p51"),
    ANSWER.replace("key 1", "key"),
    ANSWER.replace("key 1", "key 2"),
    ANSWER.replace("key 1", "key 1 0"),
    ANSWER.replace("key 1", "key 0 0"),
    ANSWER.replace(" ; key 1", ""),
    ANSWER.replace("qd", "qk"),
    ANSWER.replace(" ; qd", ""),
    "dr4 ct2 ; key 0 ; qd",
    "dr4 ct2 ; clean ; key 0 ; qd",
    "dr4 ct2 ; clean ; noise minor global ; key 0 ; qd",
    "dr4 ct2" + " ; noise minor global" * 7 + " ; key 0 ; qd",
    "dr4 ct2 ; noise minor global ; noise minor global ; noise minor global ; key 0 1 2 ; qd",
    "dr\u0664 ct2 ; clean ; qj",
    '{"level": "good"}',
)


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(CodeError, match="of the answer is"):
        decode(text)


@settings(deadline=None)
@given(frame_reports(), st.data())
def test_a_corrupted_answer_is_refused_or_is_another_answer(report: FrameReport, data: st.DataObject) -> None:
    """Whatever is dropped, doubled, swapped or replaced: decode raises CodeError or returns a report it can write."""
    text = encode(report)
    damaged = data.draw(corruptions(text))
    assume(damaged != text)
    try:
        back = decode(damaged)
    except CodeError:
        return
    assert decode(encode(back)) == on_grid(back)


@st.composite
def corruptions(draw: st.DrawFn, text: str) -> str:
    words = text.split(" ")
    place = draw(st.integers(0, len(words) - 1))
    kind = draw(st.sampled_from(("drop", "double", "replace", "swap", "cut", "letter")))
    if kind == "drop":
        words.pop(place)
    elif kind == "double":
        words.insert(place, words[place])
    elif kind == "replace":
        words[place] = draw(st.sampled_from(WORDS))
    elif kind == "swap":
        other = draw(st.integers(0, len(words) - 1))
        words[place], words[other] = words[other], words[place]
    elif kind == "cut":
        words = words[:place]
    else:
        letter = draw(st.characters())
        words[place] = letter + words[place][1:]
    return " ".join(words)


class GrammarCheck:
    """Runs a grammar in llguidance over the bytes of a text."""

    def __init__(self, rules: str = GRAMMAR) -> None:
        self._tokenizer = llguidance.LLTokenizer("byte")
        grammar = llguidance.LLMatcher.grammar_from_lark(rules)
        assert llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer) == ""
        self._matcher = llguidance.LLMatcher(self._tokenizer, grammar)

    def accepts(self, text: str) -> bool:
        matcher = self._matcher.deep_copy()
        tokens = self._tokenizer.tokenize_bytes(text.encode())
        return matcher.try_consume_tokens(tokens) == len(tokens) and bool(matcher.is_accepting())


@pytest.fixture(scope="module")
def grammar() -> GrammarCheck:
    return GrammarCheck()


@pytest.mark.parametrize("text", REFUSED)
def test_the_grammar_refuses_what_decode_refuses(grammar: GrammarCheck, text: str) -> None:
    assert not grammar.accepts(text)


@settings(deadline=None)
@given(frame_reports())
def test_the_grammar_accepts_every_answer(grammar: GrammarCheck, report: FrameReport) -> None:
    assert grammar.accepts(encode(report))


@settings(deadline=None, max_examples=300)
@given(report=frame_reports(), data=st.data())
def test_grammar_and_decode_agree_on_corrupted_answers(
    grammar: GrammarCheck, report: FrameReport, data: st.DataObject
) -> None:
    text = data.draw(corruptions(encode(report)))
    try:
        decode(text)
        decodes = True
    except CodeError:
        decodes = False
    assert grammar.accepts(text) == decodes


@settings(deadline=None, max_examples=50)
@given(x=st.tuples(st.integers(0, 50), st.integers(0, 50)), y=st.tuples(st.integers(0, 50), st.integers(0, 50)))
def test_grammar_and_decode_agree_on_every_box(grammar: GrammarCheck, x: tuple[int, int], y: tuple[int, int]) -> None:
    text = f"dr1 ct1 ; noise minor local p{x[0]:02d} p{y[0]:02d} p{x[1]:02d} p{y[1]:02d} ; key 0 ; qa"
    assert grammar.accepts(text) == (x[0] < x[1] and y[0] < y[1])
    if x[0] < x[1] and y[0] < y[1]:
        assert decode(text).distortions[0].bbox_1000 == (20 * x[0], 20 * y[0], 20 * x[1], 20 * y[1])


@pytest.fixture(scope="module")
def part_grammars() -> dict[Question, GrammarCheck]:
    return {name: GrammarCheck(rules) for name, rules in PART_GRAMMARS.items()}


@settings(deadline=None)
@given(report=frame_reports())
def test_each_part_has_a_grammar_of_its_own(part_grammars: dict[Question, GrammarCheck], report: FrameReport) -> None:
    parts = encode_parts(report)
    assert joined(parts) == encode(report)
    for name, check in part_grammars.items():
        assert [other for other, text in parts.items() if check.accepts(text)] == [name]
        assert not check.accepts(encode(report))
