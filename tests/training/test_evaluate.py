"""Our own figures: small sets worked out by hand, intervals over sources, files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.mllm.code import decode, encode
from analysis.mllm.frame_report import LEVELS, FrameReport, Level, middle_score
from analysis.schema import Box, Distortion, DistortionType, Grade, Severity
from toolchain.errors import InputError
from training.evaluate import FIGURES, Evaluation, compare, evaluate, markdown
from training.evaluate_counts import Frame
from training.evaluate_files import read_frames

WHOLE: Box = (0, 0, 1000, 1000)


def defect(kind: DistortionType = "noise", severity: Severity = "moderate", box: Box = WHOLE) -> Distortion:
    return Distortion(type=kind, severity=severity, bbox_1000=box)


def report(
    *defects: Distortion, key: tuple[int, ...] = (0,), level: Level = "fair", grade: Grade = "medium"
) -> FrameReport:
    return FrameReport(
        dynamic_range=grade,
        contrast="medium",
        distortions=defects,
        key=key if defects else (),
        level=level,
        score=middle_score(level),
    )


def frame(truth: FrameReport, found: FrameReport | None, number: int = 0, **more: Any) -> Frame:
    return Frame(id=f"f{number}", source=more.pop("source", f"s{number}"), truth=truth, found=found, **more)


def values(*frames: Frame) -> dict[str, float | None]:
    return {name: figure.value for name, figure in evaluate(frames).figures.items()}


def test_an_answer_that_is_the_truth_is_right_in_everything() -> None:
    full = report(defect(), defect("overexposure", "severe", (0, 0, 500, 500)), key=(1,))
    found = values(frame(full, full), frame(report(), report(), 1))
    assert found.pop("choice_accuracy") is None and found.pop("choice_regret") is None
    assert found == dict.fromkeys(found, 1.0)


def test_detection_wants_the_type_and_half_the_place() -> None:
    truth = report(defect(), defect("overexposure", box=(0, 0, 400, 400)))
    right_place = report(
        defect(), defect("underexposure", box=(0, 0, 400, 400)), defect("noise", box=(0, 0, 400, 400))
    )
    found = values(frame(truth, right_place))
    assert found["detection_f1"] == 2 * 1 / (3 + 2)
    assert found["local_f1"] == 0.0
    assert found["type_f1"] == 2 * 1 / (2 + 2)
    assert found["mean_iou"] == 1.0


def test_local_looks_at_local_boxes_of_both_sides() -> None:
    truth = report(defect(), defect("overexposure", box=(0, 0, 400, 400)))
    found = values(frame(truth, report(defect("overexposure", box=(0, 0, 400, 300)))))
    assert found["local_f1"] == 1.0 and found["detection_f1"] == 2 / 3
    assert found["mean_iou"] == 0.75


def test_severity_is_judged_on_hits_alone() -> None:
    truth = report(defect(severity="minor"), defect("motion_blur", "minor"), defect("overexposure", "minor"))
    found = report(defect(severity="moderate"), defect("motion_blur", "severe"), defect("edge_ringing", "minor"))
    judged = values(frame(truth, found))
    assert (judged["severity_exact"], judged["severity_within_one"]) == (0.0, 0.5)
    assert values(frame(truth, report()))["severity_exact"] is None


def test_key_accuracy_is_of_those_named_and_its_f1_of_both_sides() -> None:
    boxes: list[Box] = [(0, 0, 300, 300), (400, 0, 700, 300), (0, 400, 300, 700)]
    truth = report(*(defect(box=box) for box in boxes), key=(0, 1))
    found = values(frame(truth, report(*(defect(box=box) for box in boxes), key=(0, 2))))
    assert (found["key_accuracy"], found["key_f1"]) == (0.5, 0.5)
    one = values(frame(truth, report(*(defect(box=box) for box in boxes), key=(0,))))
    assert (one["key_accuracy"], one["key_f1"]) == (1.0, pytest.approx(2 / 3))
    assert values(frame(report(), report(defect())))["key_accuracy"] is None


@pytest.mark.parametrize(("level", "exact", "near"), [("fair", 1, 1), ("good", 0, 1), ("excellent", 0, 0)])
def test_levels_and_grades_are_exact_or_within_one(level: Level, exact: float, near: float) -> None:
    grades: dict[Level, Grade] = {"fair": "medium", "good": "low", "excellent": "very_high"}
    found = values(frame(report(), report(level=level, grade=grades[level])))
    assert (found["level_exact"], found["level_within_one"]) == (exact, near)
    assert (found["dynamic_range_exact"], found["dynamic_range_within_one"]) == (exact, near)


def test_an_invalid_answer_found_nothing_and_graded_nothing_right() -> None:
    found = values(frame(report(), None), frame(report(defect()), None, 1))
    wrong = ["valid", "detection_f1", "type_f1", "level_within_one", "pristine", "dynamic_range_within_one", "map"]
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0.0)


def test_pristine_frames_are_recognised_by_an_empty_answer() -> None:
    frames = [frame(report(), report()), frame(report(), report(defect()), 1), frame(report(defect()), report(), 2)]
    assert evaluate(frames).figures["pristine"].model_dump(include={"value", "of"}) == {"value": 0.5, "of": 2}


def test_map_is_over_the_true_types_only() -> None:
    """Noise: hit, then miss, of 1 truth: 1. Motion blur: no prediction, 0. Flicker is not in the truth."""
    first = frame(report(defect()), report(defect(), defect("flicker")))
    second = frame(report(defect("motion_blur")), report(defect()), 1)
    result = evaluate([first, second])
    assert result.figures["map"].value == 0.5
    assert {kind: (item.true, item.found, item.hits) for kind, item in result.types.items()} == {
        "motion_blur": (1, 0, 0),
        "noise": (1, 2, 1),
        "flicker": (0, 1, 0),
    }


@pytest.mark.parametrize(("choice", "right", "lost"), [("a", 0, 1.0), ("b", 1, 0.0), ("x", 0, 3.0), (None, 0, 3.0)])
def test_a_choice_loses_what_the_best_candidate_would_have_given(
    choice: str | None, right: float, lost: float
) -> None:
    found = values(frame(report(), report(), choices={"a": 7.0, "b": 8.0, "c": 5.0}, choice=choice))
    assert (found["choice_accuracy"], found["choice_regret"]) == (right, lost)
    assert values(frame(report(), report(), choice=choice))["choice_regret"] is None
    alike = values(frame(report(), report(), choices={"a": 7.0, "b": 7.0}, choice=choice))
    assert (alike["choice_accuracy"], alike["choice_regret"]) == (float(choice in ("a", "b")), 0.0)


def test_intervals_are_over_sources_not_frames() -> None:
    good, bad = frame(report(), report()), frame(report(), report(level="bad"), 1)
    two = evaluate([good, bad] * 20).figures["level_exact"]
    assert (two.value, two.low, two.high) == (0.5, 0.0, 1.0)
    many = evaluate([frame(report(), report(level=LEVELS[2 - n % 2]), n) for n in range(40)]).figures["level_exact"]
    assert many.low is not None and many.high is not None
    assert 0.3 < many.low < 0.45 and 0.55 < many.high < 0.7
    one = evaluate([frame(report(), report(), n, source="one") for n in range(9)]).figures["level_exact"]
    assert (one.value, one.low, one.high) == (1.0, None, None)
    assert evaluate([good, bad] * 20) == evaluate([good, bad] * 20)


def test_a_comparison_is_paired_by_source() -> None:
    """Both are right on half of the sources, by chance the same ones: no difference, and no doubt about it."""
    half = [frame(report(), report(level=LEVELS[2 - n % 2]), n) for n in range(20)]
    same = compare(half, half)["level_exact"]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    right = [frame(report(), report(), n) for n in range(20)]
    better = compare(right, half)["level_exact"]
    assert better.value == 0.5 and better.low is not None and 0.2 < better.low < 0.5
    assert compare(half, right)["level_exact"].value == -0.5
    assert compare(half, right)["severity_exact"].value is None
    table = markdown(evaluate(right), compare(right, half))
    assert "| quality level, exact | 1.000 | 1.000 to 1.000 | 20 | +0.500 |" in table
    with pytest.raises(InputError, match="same frames"):
        compare(half, half[1:])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8))
def test_every_figure_is_a_share_and_lies_in_its_interval(drawn: list[tuple[int, int, int]]) -> None:
    kinds: tuple[DistortionType, ...] = ("noise", "motion_blur", "flicker")
    answers = [report(*map(defect, kinds[3 - found :])) if found < 3 else None for _, found, _ in drawn]
    frames = [
        frame(report(*map(defect, kinds[:true])), answer, source=str(source))
        for (true, _, source), answer in zip(drawn, answers, strict=True)
    ]
    result = evaluate(frames)
    assert list(result.figures) == list(FIGURES)
    for figure in result.figures.values():
        if figure.value is not None:
            assert 0 <= figure.value <= 1
        if figure.low is not None and figure.high is not None:
            assert 0 <= figure.low <= figure.high <= 1


def test_the_record_and_the_table_say_the_same() -> None:
    result = evaluate([frame(report(defect()), report(defect())), frame(report(), None, 1)])
    assert Evaluation.model_validate_json(result.model_dump_json()) == result
    table = markdown(result)
    assert "| valid answers | 0.500 | 0.000 to 1.000 | 2 |" in table
    assert "| best model chosen | - | - | 0 |" in table and "| noise | 1 | 1 | 1 | 1.000 |" in table


# Files


def written(folder: Path, *lines: dict[str, Any], name: str = "0.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return folder


def line(number: int, truth: FrameReport, **more: Any) -> dict[str, Any]:
    return {"id": f"f{number}", "source": "s", "split": "test", "report": truth.model_dump(mode="json"), **more}


def test_answers_come_as_reports_or_as_short_answers_and_invalid_ones_count(tmp_path: Path) -> None:
    full = report(defect())
    truth = written(tmp_path / "truth", *(line(n, full, extra={"choices": {"m": 1.0}}) for n in range(5)))
    broken = {**full.model_dump(mode="json"), "level": "superb"}
    answers: list[dict[str, Any]] = [
        {"id": "f0", "report": full.model_dump(mode="json"), "choice": "m"},
        {"id": "f1", "answer": encode(full)},
        {"id": "f2", "report": broken},
        {"id": "f3", "answer": "dr3 ct2 ; noise"},
    ]
    written(tmp_path / "found", *answers[:2])
    found = written(tmp_path / "found", *answers[2:], name="1.jsonl")
    frames = read_frames(found, truth)
    assert [item.found for item in frames] == [full, decode(encode(full)), None, None, None]
    assert (frames[0].choices, frames[0].choice, frames[4].choice) == ({"m": 1.0}, "m", None)
    assert evaluate(frames).figures["valid"].value == 0.4


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    full = report(defect())
    truth = written(tmp_path / "truth", line(0, full))
    answer = {"id": "f0", "report": None}
    (tmp_path / "empty").mkdir()
    cases = {
        "holds no .jsonl": (tmp_path / "empty", truth),
        "again": (written(tmp_path / "twice", answer, answer), truth),
        "does not have": (written(tmp_path / "other", {"id": "f9"}), truth),
        "cannot be used": (truth, written(tmp_path / "bad", {"id": "f0", "source": "s", "report": {}})),
        "quality for each model": (truth, written(tmp_path / "odd", line(0, full, extra={"choices": [1]}))),
    }
    for words, (found, true) in cases.items():
        with pytest.raises(InputError, match=words):
            read_frames(found, true)
