"""Each family's boxes, pictures, answers and the schema that holds its decoding."""

from __future__ import annotations

import json
from typing import Any

import llguidance
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.mllm.code import encode, grid_box
from analysis.mllm.families import FAMILIES, Family, JsonFamily, family, prompt_hash, smart_resize
from analysis.mllm.frame_report import AnswerError, FrameReport
from analysis.mllm.prompts import FIELDS, QUESTIONS, VARIANTS, json_prompt
from analysis.schema import Box, Distortion
from tests.analysis.mllm.frame_reports import boxes, frame_reports
from toolchain.errors import UsageError

JSON_FAMILIES = [entry for entry in FAMILIES if isinstance(entry, JsonFamily)]
PIXELS = next(entry for entry in JSON_FAMILIES if entry.boxes == "pixels")
each_family = pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)
each_json_family = pytest.mark.parametrize("entry", JSON_FAMILIES, ids=lambda entry: entry.name)
sizes = st.tuples(st.integers(160, 4096), st.integers(160, 4096))
SIZE = (1316, 756)

REPORT = FrameReport(
    dynamic_range="low",
    contrast="high",
    distortions=(
        Distortion(type="noise", severity="minor", bbox_1000=(0, 0, 1000, 1000)),
        Distortion(type="blocking_artifacts", severity="severe", bbox_1000=(100, 200, 400, 600)),
    ),
    key=(1,),
    level="fair",
    score=2.8,
)


def test_the_table_names_each_family_once_and_refuses_others() -> None:
    assert [entry.name for entry in FAMILIES] == ["compact", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl"]
    assert all(family(entry.name) is entry for entry in FAMILIES)
    with pytest.raises(UsageError, match="choose one of compact, qwen2_vl"):
        family("gpt")


@each_json_family
@settings(deadline=None)
@given(box=boxes(), size=sizes)
def test_a_box_survives_the_familys_own_counting(entry: JsonFamily, box: Box, size: tuple[int, int]) -> None:
    """Exact where the family counts at least as finely as 0..1000, else to within a pixel and a half of it."""
    counted = entry.to_model(box, size)
    back = entry.from_model(counted, size)
    for side, steps in enumerate(entry.box_range(size) * 2):
        assert 0 <= counted[side] <= steps
        assert abs(back[side] - box[side]) <= (0 if steps >= 1000 else 1500 / steps + 0.5)
    whole = (0, 0, 1000, 1000)
    assert entry.from_model(entry.to_model(whole, size), size) == whole


def test_boxes_are_counted_as_each_family_documents_it() -> None:
    box = (250, 500, 750, 1000)
    assert family("qwen2_vl").to_model(box, SIZE) == box  # type: ignore[attr-defined]
    assert family("qwen3_vl").to_model(box, SIZE) == box  # type: ignore[attr-defined]
    assert family("internvl").to_model(box, SIZE) == box  # type: ignore[attr-defined]
    # 1920x1080 becomes 1932x1092: multiples of 28 nearest to it.
    assert PIXELS.to_model(box, (1920, 1080)) == (483, 546, 1449, 1092)
    assert PIXELS.from_model((483, 546, 1449, 1092), (1920, 1080)) == box


# Made by transformers 5.23's own function: (width, height, factor, min_pixels, max_pixels) -> (width, height).
RESIZED = {
    (1920, 1080, 28, 3136, 12845056): (1932, 1092),
    (1920, 1080, 28, 3136, 1003520): (1316, 728),
    (3840, 2160, 28, 3136, 1003520): (1316, 728),
    (160, 90, 28, 65536, 1003520): (364, 196),
    (854, 480, 32, 65536, 16777216): (864, 480),
    (4096, 2160, 32, 65536, 1003520): (1376, 704),
    (42, 70, 28, 3136, 12845056): (56, 56),
}


def test_smart_resize_gives_the_processors_sizes() -> None:
    assert {case: smart_resize(*case) for case in RESIZED} == RESIZED


@pytest.mark.slow  # importing transformers takes long
def test_smart_resize_is_the_processors() -> None:
    module = pytest.importorskip(
        "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl", reason="transformers is not installed"
    )
    draw = np.random.default_rng(5)
    for width, height in draw.integers(28, 5000, (2000, 2)).tolist():
        if max(width, height) > 200 * min(width, height):
            continue
        for factor, least, most in ((28, 3136, 1003520), (28, 3136, 12845056), (32, 65536, 16777216)):
            down, across = module.smart_resize(height, width, factor, least, most)
            assert smart_resize(width, height, factor, least, most) == (across, down)


@each_json_family
@settings(deadline=None)
@given(size=sizes)
def test_a_frame_is_sent_at_a_size_that_its_processor_leaves_alone(entry: JsonFamily, size: tuple[int, int]) -> None:
    """Otherwise pixels would be counted in a picture that nobody here has seen."""
    sent = entry.picture_size(*size)
    assert smart_resize(*sent, entry.factor, entry.min_pixels, entry.max_pixels) == sent
    assert sent[0] * sent[1] <= 1280 * 28 * 28
    shape = (sent[0] / sent[1]) / (size[0] / size[1])
    assert 0.7 < shape < 1.4


@each_family
def test_pictures_are_the_frame_and_its_statistics(entry: Family) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    rgb = np.random.default_rng(3).integers(0, 256, (270, 480, 3), dtype=np.uint8)
    frame, statistics = entry.images(rgb)
    assert frame.mode == statistics.mode == "RGB"
    assert statistics.size == (448, 252)
    assert frame.size == ((224, 140) if entry.name == "compact" else entry.picture_size(480, 270))  # type: ignore[attr-defined]


@each_json_family
@settings(deadline=None)
@given(report=frame_reports(most=16, most_keys=16))
def test_an_answer_reads_back(entry: JsonFamily, report: FrameReport) -> None:
    back = entry.parse(entry.write(report, SIZE), SIZE)
    rounded = report.model_copy(update={"score": round(report.score, 1)})
    if entry.boxes == "per_mille":
        assert back == rounded
    else:  # 756 pixels cannot tell 1000 rows apart
        assert back.model_copy(update={"distortions": rounded.distortions}) == rounded
        for one, other in zip(back.distortions, report.distortions, strict=True):
            assert (one.type, one.severity) == (other.type, other.severity)
            assert max(abs(a - b) for a, b in zip(one.bbox_1000, other.bbox_1000, strict=True)) <= 2


@settings(deadline=None)
@given(report=frame_reports())
def test_the_compact_family_speaks_the_short_code(report: FrameReport) -> None:
    compact = family("compact")
    assert compact.write(report, SIZE) == encode(report)
    boxes_back = sorted(item.bbox_1000 for item in compact.parse(encode(report), SIZE).distortions)
    assert boxes_back == sorted(grid_box(item.bbox_1000) for item in report.distortions)


@each_family
def test_single_questions_have_the_part_of_the_answer(entry: Family) -> None:
    whole = entry.write(REPORT, SIZE)
    parts = [entry.write(REPORT, SIZE, (name,)) for name in QUESTIONS]
    if entry.name == "compact":
        assert parts == ["dr2", "ct3", "noise minor global ; blocks severe local p05 p10 p20 p30 ; key 1", "qe"]
        assert "{} {} ; {} ; {}".format(*parts) == whole
    else:
        merged: dict[str, Any] = {}
        for name, part in zip(QUESTIONS, parts, strict=True):
            assert tuple(json.loads(part)) == FIELDS[name]
            merged |= json.loads(part)
        assert merged == json.loads(whole)


def changed(entry: JsonFamily, **fields: Any) -> str:
    return json.dumps(json.loads(entry.write(REPORT, SIZE)) | fields)


@each_json_family
def test_an_answer_that_is_not_exactly_valid_is_refused_with_the_place(entry: JsonFamily) -> None:
    field = entry.box_field
    whole = entry.write(REPORT, SIZE)
    right, bottom = entry.box_range(SIZE)
    noise = {"type": "noise", "severity": "minor"}
    refused = {
        "": "no JSON",
        whole + " That is all.": "no JSON",
        "```json\n" + whole + "\n```": "no JSON",
        whole[:-1]: "no JSON",
        "[" * 5000: "no JSON",
        "[]": "a JSON list",
        whole[:-1] + ', "level": "good"}': "twice",
        changed(entry, score=float("nan")): "NaN",
        " " * 30_000: "30000 characters",
        changed(entry, level="great"): "level",
        changed(entry, score="2.8"): "score",
        changed(entry, remark="x"): "remark",
        changed(entry, key=[5]): "key",
        changed(entry, key=[True]): "key",
        changed(entry, distortions=7): "no list",
        changed(entry, distortions=[7]): "no list",
        changed(entry, distortions=["x"]): "no list",
        changed(entry, distortions=[noise], key=[0]): field,
        changed(entry, distortions=[{**noise, field: [0, 0, 5]}], key=[0]): "four whole numbers",
        changed(entry, distortions=[{**noise, field: [0, 0, 5.5, 5]}], key=[0]): "four whole numbers",
        changed(entry, distortions=[{**noise, field: [9, 0, 9, 5]}], key=[0]): "x0 < x1",
        changed(entry, distortions=[{**noise, field: [0, 0, right + 1, 5]}], key=[0]): f"<= {right}",
        changed(entry, distortions=[{**noise, field: [0, 0, 5, bottom + 1]}], key=[0]): f"<= {bottom}",
        changed(entry, distortions=[{**noise, field: [0, 0, 5, 5], "bbox": 1}], key=[0]): "bbox",
        changed(entry, distortions=[{**noise, "type": "rain", field: [0, 0, 5, 5]}], key=[0]): "type",
    }
    for text, complaint in refused.items():
        with pytest.raises(AnswerError, match=complaint):
            entry.parse(text, SIZE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@each_json_family
@settings(deadline=None)
@given(data=st.data())
def test_whatever_stands_in_an_answer_it_is_read_or_refused_by_name(entry: JsonFamily, data: st.DataObject) -> None:
    """Hostile text never raises anything but AnswerError, and nothing invalid comes through."""
    answer = json.loads(entry.write(REPORT, SIZE))
    item = answer["distortions"][0]
    where, name = data.draw(
        st.sampled_from([(answer, key) for key in answer] + [(item, key) for key in item] + [(answer, "new")])
    )
    where[name] = data.draw(json_values)
    text = json.dumps(answer)
    cut = data.draw(st.integers(0, len(text)))
    for given_text in (text, text[:cut], text[cut:]):
        try:
            report = entry.parse(given_text, SIZE)
        except AnswerError as error:
            assert len(str(error)) < 400
        else:
            assert FrameReport.model_validate_json(report.model_dump_json(), strict=True) == report


def test_a_box_under_another_familys_name_is_refused() -> None:
    item = {"type": "noise", "severity": "minor", "bbox_2d": [0, 0, 5, 5], "bbox_1000": [0, 0, 1000, 1000]}
    with pytest.raises(AnswerError, match="second box"):
        PIXELS.parse(changed(PIXELS, distortions=[item], key=[0]), SIZE)


@each_json_family
def test_the_schema_holds_decoding_to_what_parse_can_read(entry: JsonFamily) -> None:
    tokenizer = llguidance.LLTokenizer("byte")
    schema = json.loads(entry.constraint(SIZE).text)
    assert "$ref" not in json.dumps(schema)
    tight = {"whitespace_flexible": False}  # as the engines ask for it
    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=tight)
    matcher = llguidance.LLMatcher(tokenizer, grammar)

    def accepts(text: str) -> bool:
        own = matcher.deep_copy()
        tokens = tokenizer.tokenize_bytes(text.encode())
        return own.try_consume_tokens(tokens) == len(tokens) and bool(own.is_accepting())

    right, _ = entry.box_range(SIZE)
    good = json.loads(entry.write(REPORT, SIZE))
    assert accepts(entry.write(REPORT, SIZE))
    for change in (
        {"level": "great"},
        {"score": 3.25},
        {"key": [16]},
        {"key": "none"},
        {"distortions": [{"type": "noise", "severity": "minor", entry.box_field: [0, 0, right + 1, 9]}]},
        {"distortions": [{"type": "noise", "severity": "minor", entry.box_field: [0, 0, 9]}]},
        {"distortions": [{"type": "noise", "severity": "minor"}]},
        {"distortions": [good["distortions"][0]] * 17},
        {"remark": "x"},
    ):
        assert not accepts(json.dumps(good | change, separators=(",", ":"))), change


@each_family
def test_the_prompt_asks_every_question_in_one_go(entry: Family) -> None:
    prompt = entry.prompt()
    assert prompt.user.count("\n") == (0 if entry.name == "compact" else len(QUESTIONS) - 1)
    if isinstance(entry, JsonFamily):
        assert all(f'"{name}"' in prompt.system for name in FrameReport.model_fields)
        assert f'"{entry.box_field}"' in prompt.system
        assert ("pixels" in prompt.system) == (entry.boxes == "pixels")
    else:
        assert (prompt.system, prompt.user) == ("", "report range contrast defects quality")
        assert entry.prompt(("quality",)).user == "report quality"


def test_variants_change_the_wording_and_nothing_else() -> None:
    prompts = [json_prompt("bbox_2d", "pixels", variant=variant) for variant in range(9)]
    assert len({prompt.system for prompt in prompts}) == 1
    assert len({prompt.user for prompt in prompts}) >= 6
    for name, texts in VARIANTS.items():
        assert len(set(texts)) == 3
        assert {text for text in texts for prompt in prompts if text in prompt.user} == set(texts)
        assert json_prompt("bbox_2d", "pixels", (name,), 1).user == texts[1]


def test_the_prompt_hash_tells_families_apart_and_stays() -> None:
    hashes = {prompt_hash(entry) for entry in FAMILIES}
    assert len(hashes) == len(FAMILIES)
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in hashes)
    assert prompt_hash(family("compact")) == prompt_hash(family("compact"))
