"""ViDA-UGC's files as frames: metadata, instructions, answer forms, and what is left out and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.mllm.frame_report import MAX_DISTORTIONS
from analysis.schema import Distortion, DistortionType, Severity
from toolchain.errors import InputError
from training.data.vida_ugc import (
    TYPE_NAMES,
    Turn,
    VidaFrame,
    answer_kind,
    frames_of,
    key_regions_in,
    level_in,
    read_metadata,
    read_turns,
    regions_in,
)

WHERE = "Please provide the bounding box coordinates of all distortions in the image."
HOW = "Please evaluate the image quality in detail and provide your reasons."


def reference(text: str, *boxes: tuple[int, int, int, int]) -> str:
    """The data's way to say what is where."""
    places = "".join("<|box_start|>({},{}),({},{})<|box_end|>".format(*box) for box in boxes)
    return f"<|object_ref_start|>{text}<|object_ref_end|>{places}"


DETECTION = (
    f"Low clarity:\n{reference('Moderate low clarity', (2, 3, 996, 997))}\n"
    f"Edge aliasing effect:\n{reference('Minor edge aliasing effect', (10, 20, 30, 40), (50, 60, 70, 80))}."
)
DESCRIPTION = (
    "The image shows a boat.\n"
    f"There is one {reference('moderate low clarity', (2, 3, 996, 997))} in it. It is large.\n"
    f"There are two effects. {reference('Minor edge aliasing effect', (10, 20, 30, 40))} is on the mast.\n"
    f"The {reference('moderate low clarity', (2, 3, 996, 997))} matters most. "
    f"{reference('Minor edge aliasing effect', (10, 20, 30, 40))} matters less.\n"
    "Thus, the quality of the image is fair.<|im_end|>"
)


def defect(kind: DistortionType, severity: Severity, box: tuple[int, int, int, int]) -> Distortion:
    return Distortion(type=kind, severity=severity, bbox_1000=box)


CLARITY = defect("low_clarity", "moderate", (2, 3, 996, 997))
EDGES = [defect("edge_aliasing", "minor", (10, 20, 30, 40)), defect("edge_aliasing", "minor", (50, 60, 70, 80))]


def region(name: str, box: list[Any], significance: float | None = None, severity: str = "Minor") -> dict[str, Any]:
    found = {"id": "1", "distortion": name, "severity": severity, "coordinates": box, "position": "the mast"}
    return found | ({"significance_score": significance} if significance is not None else {})


def metadata(path: Path, *items: Any) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


# Metadata


def test_metadata_becomes_frames_with_the_most_significant_as_key(tmp_path: Path) -> None:
    item = {
        "image": "a.jpg",
        "mos": 2.8,
        "level": "fair",
        "width": 512,
        "height": 384,
        "distortions": [
            region("Noise", [10, 245.4, 988, 930], 2),
            region("Low clarity", [0, 0, 1000, 1000], 4, "Severe"),
            region("Edge ringing effect", [1, 2, 3, 4], 4),
        ],
    }
    frame = read_metadata(metadata(tmp_path / "m.json", item)).frames[0]
    assert (frame.image, frame.level, frame.mos, frame.key) == ("a.jpg", "fair", 2.8, (1, 2))
    assert frame.distortions[:2] == (
        defect("noise", "minor", (10, 245, 988, 930)),
        defect("low_clarity", "severe", (0, 0, 1000, 1000)),
    )
    report = frame.report("high", "low")
    assert (report.key, report.score, report.dynamic_range) == ((1, 2), 2.8, "high")


def test_a_clean_picture_has_a_sentence_or_an_empty_list(tmp_path: Path) -> None:
    items = [
        {"image": name, "level": "good", "distortions": said} for name, said in (("a", []), ("b", "None found."))
    ]
    found = read_metadata(metadata(tmp_path / "m.json", *items))
    assert [(frame.distortions, frame.key) for frame in found.frames] == [((), ())] * 2
    assert found.frames[0].report("low", "low").score == 3.8


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (region("Moiré", [0, 0, 9, 9]), "none of the ten types"),
        (region("Noise", [0, 0, 9, 9], severity="awful"), "no severity"),
        (region("Noise", [9, 0, 0, 9]), "no box"),
        (region("Noise", [0, 0, 9, 1001]), "no box"),
        (region("Noise", [0, 0, 9]), "not enough values"),
        ({"distortion": "Noise"}, "severity"),
    ],
)
def test_a_picture_that_does_not_fit_is_left_out_and_named(wrong: Any, reason: str, tmp_path: Path) -> None:
    good = {"image": "a.jpg", "level": "good", "distortions": []}
    found = read_metadata(metadata(tmp_path / "m.json", good, {**good, "image": "b.jpg", "distortions": [wrong]}))
    assert [frame.image for frame in found.frames] == ["a.jpg"]
    assert len(found.left_out) == 1 and found.left_out[0].startswith("b.jpg: ") and reason in found.left_out[0]


def test_a_file_that_is_no_metadata_is_refused(tmp_path: Path) -> None:
    for text in ("{", "{}", "[1]", "\xff"):
        (tmp_path / "m.json").write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"m\.json"):
            read_metadata(tmp_path / "m.json")


def test_a_report_keeps_key_and_severe_distortions_and_a_score_that_fits() -> None:
    many = [defect("noise", "severe" if n == 19 else "minor", (n, 0, n + 1, 9)) for n in range(20)]
    frame = VidaFrame(image="a", distortions=tuple(many), key=(18,), level="bad", mos=4.9)
    report = frame.report("low", "low")
    assert report.distortions == tuple(many[: MAX_DISTORTIONS - 2] + many[18:])
    assert (report.key, report.score) == ((MAX_DISTORTIONS - 2,), 1.4)
    without = VidaFrame(image="a", distortions=tuple(many[17:]), key=(), level="bad", mos=2.0)
    assert (without.report("low", "low").key, without.report("low", "low").score) == ((2,), 2.0)


# Answers


def test_a_detection_and_a_description_tell_a_frame() -> None:
    assert regions_in(DETECTION) == (CLARITY, *EDGES)
    assert regions_in(DESCRIPTION) == (CLARITY, EDGES[0])
    assert key_regions_in(DESCRIPTION) == (CLARITY,)
    assert level_in(DESCRIPTION) == "fair"
    both = frames_of([Turn("a", WHERE, DETECTION), Turn("a", HOW, DESCRIPTION)])
    assert both.frames == (VidaFrame(image="a", distortions=(CLARITY, *EDGES), key=(0,), level="fair"),)
    described = frames_of([Turn("a", HOW, DESCRIPTION)])
    assert described.frames[0].distortions == (CLARITY, EDGES[0])


def test_questions_of_a_part_say_nothing_of_the_whole() -> None:
    region_question = f"What distortion affects this region {reference('', (0, 0, 9, 9))[38:]}?"
    partly = [
        Turn("a", region_question, "No distortion affects this region."),
        Turn("a", "Which part is noisy?\nA. The mast\nB. The sea", "A."),
        Turn("a", "Where is the mast?", reference("the mast", (0, 0, 9, 9))),
    ]
    assert [answer_kind(turn) for turn in partly] == [None, None, None]
    assert frames_of(partly).frames == ()
    graded = frames_of(
        [*partly, Turn("a", WHERE, DETECTION), Turn("a", "Rate it.", "The quality of the image is bad.")]
    )
    assert graded.frames[0].level == "bad"
    assert frames_of([Turn("a", WHERE, DETECTION)]).left_out == ("a: ValueError no answer tells its quality level",)


@pytest.mark.parametrize(
    "answer",
    [
        reference("Moderate haze", (0, 0, 9, 9)),
        reference("Some noise", (0, 0, 9, 9)),
        reference("Minor noise", (9, 0, 0, 9)),
        "<|object_ref_start|>Minor noise<|object_ref_end|><|box_start|>(1,2),(3)<|box_end|>",
    ],
)
def test_an_answer_with_something_else_in_it_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"none of|no severity|no box"):
        regions_in(answer)


BOXES = st.tuples(st.integers(0, 499), st.integers(0, 499), st.integers(500, 1000), st.integers(500, 1000))
DEFECTS = st.builds(
    defect, st.sampled_from(sorted(TYPE_NAMES)), st.sampled_from(["minor", "moderate", "severe"]), BOXES
)


@settings(max_examples=80, deadline=None)
@given(st.lists(DEFECTS, max_size=6, unique=True))
def test_every_distortion_comes_back_from_its_answer(defects: list[Distortion]) -> None:
    said = [
        f"{TYPE_NAMES[item.type]}:\n"
        + reference(f"{item.severity.capitalize()} {TYPE_NAMES[item.type].lower()}", item.bbox_1000)
        for item in defects
    ]
    assert list(regions_in("\n".join(said) + ".<|im_end|>")) == defects


# Instruction files


def entry(image: Any, *said: str) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
    return {"id": 1, "image": image, "conversations": turns}


def test_instructions_are_read_as_a_list_or_by_lines(tmp_path: Path) -> None:
    entries = [entry("a.jpg", f"<image>\n{WHERE}", DETECTION), entry(["b.jpg"], "q", "a", "r", "b")]
    entries[1]["conversations"].insert(0, {"from": "system", "value": "You are an expert."})
    turns = [Turn("a.jpg", WHERE, DETECTION), Turn("b.jpg", "q", "a"), Turn("b.jpg", "r", "b")]
    (tmp_path / "combined.json").write_text(json.dumps(entries), encoding="utf-8")
    (tmp_path / "lines.jsonl").write_text("\n\n".join(map(json.dumps, entries)), encoding="utf-8")
    assert list(read_turns(tmp_path / "combined.json")) == turns
    assert list(read_turns(tmp_path / "lines.jsonl")) == turns


@pytest.mark.parametrize(
    "wrong",
    [
        entry("a", "q"),
        entry([], "q", "a"),
        {"image": "a"},
        [],
        entry(None, "q", "a"),
        {**entry("a"), "conversations": 5},
    ],
)
def test_an_entry_that_is_no_conversation_is_told_with_its_number(wrong: Any, tmp_path: Path) -> None:
    path = tmp_path / "combined.json"
    path.write_text(json.dumps([entry("a", "q", "a"), wrong]), encoding="utf-8")
    with pytest.raises(InputError, match=r"entry 2 of .*combined\.json"):
        list(read_turns(path))


def test_a_broken_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="JSON lines"):
        list(read_turns(tmp_path / "lines.jsonl"))
