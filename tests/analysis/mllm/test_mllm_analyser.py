"""From answers to the content report: asking again, pooling, and where the measurement stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.mllm.analyser import AnalyserFailed, Findings, KeyFrame, analyse, read_answers
from analysis.mllm.code import decode, encode
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import Family, family, prompt_hash
from analysis.mllm.frame_report import FrameReport
from analysis.mllm.measured import combine
from analysis.mllm.pooling import overlap, pool
from analysis.report import build_report
from analysis.schema import Box, ContentReport
from tests.analysis.mllm.frame_reports import frame_reports
from tests.analysis.mllm.measured_shots import plain_shot, plain_signals
from toolchain.errors import EnvironmentNotReady, UsageError

pytest.importorskip("PIL.Image", reason="Pillow is not installed")

CLEAN = "dr3 ct2 ; clean ; qj"
NOISE = "dr3 ct2 ; noise moderate global ; key 0 ; qe"
BLOCKS = "dr3 ct2 ; blocks severe local p10 p10 p20 p20 ; key 0 ; qc"


def key_frame(shot_index: int, frame: int = 0) -> KeyFrame:
    return KeyFrame(shot_index, frame, np.full((72, 128, 3), 90, np.uint8))


class Scripted:
    """An engine that answers by `reply(number of the question, attempt)` and keeps how it was asked."""

    def __init__(self, reply: Callable[[int, int], str]):
        self.reply = reply
        self.batches: list[list[int]] = []
        self.asked = 0

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def family(self) -> Family:
        return family("compact")

    def ask(self, questions: Sequence[FrameQuestion]) -> list[str]:
        self.batches.append([question.attempt for question in questions])
        first = [question for question in questions if question.attempt == 0]
        answers = [self.reply(self.asked + place, question.attempt) for place, question in enumerate(questions)]
        self.asked += len(first)
        return answers


def one_by_one(answers: Sequence[str]) -> Scripted:
    return Scripted(lambda number, attempt: answers[number])


# Asking


def test_a_report_comes_out_for_every_shot_and_the_video() -> None:
    shots = [plain_shot(0), plain_shot(1)]
    found = analyse(shots, [key_frame(0), key_frame(1, 100)], one_by_one([NOISE, BLOCKS]))
    assert isinstance(found, Findings)
    assert [item.report.distortions[0].type for item in found.analysis.shots] == ["noise", "blocking_artifacts"]
    assert found.analysis.shots[0].report.quality.level == "fair"
    assert found.analysis.shots[0].signals == shots[0].signals
    assert found.analysis.analyser == "mllm-1 scripted"
    assert found.prompt_hash == prompt_hash(family("compact"))
    assert [(item.shot, item.frame) for item in found.frames] == [(0, 0), (1, 100)]
    assert found.frames[1].report == decode(BLOCKS)
    assert {item.type for item in found.analysis.pooled.distortions} == {"noise", "blocking_artifacts"}
    assert found.asked_again == 0
    assert Findings.model_validate_json(found.model_dump_json()) == found


def test_frames_are_read_a_batch_at_a_time() -> None:
    made: list[int] = []
    engine = Scripted(lambda number, attempt: CLEAN)

    def frames():
        for number in range(20):
            made.append(number)
            assert len(made) <= engine.asked + 8
            yield key_frame(0, number)

    assert len(analyse([plain_shot(0)], frames(), engine).frames) == 20
    assert [len(batch) for batch in engine.batches] == [8, 8, 4]


def test_an_invalid_answer_is_asked_for_once_more_and_only_that_one() -> None:
    engine = Scripted(lambda number, attempt: CLEAN if attempt or number != 1 else "dr3 ct2 ; tidy ; qj")
    found = analyse([plain_shot(0)], [key_frame(0, n) for n in range(3)], engine)
    assert engine.batches == [[0, 0, 0], [1]]
    assert found.asked_again == 1


def test_a_second_invalid_answer_is_an_error_with_frame_and_reason() -> None:
    engine = Scripted(lambda number, attempt: "dr3 ct2 ; clean ; qz")
    with pytest.raises(AnalyserFailed, match=r"scripted.*frame 7 of shot 0.*'qz'.*`signals`") as caught:
        analyse([plain_shot(0)], [key_frame(0, 7)], engine)
    assert engine.batches == [[0], [1]]
    assert isinstance(caught.value, EnvironmentNotReady)


def test_an_answer_is_never_repaired() -> None:
    for text in (f" {CLEAN}", f"{CLEAN}\n", CLEAN.upper(), CLEAN.replace(";", ",")):
        questions = [FrameQuestion(family("compact").images(key_frame(0).rgb))]
        answer = read_answers(Scripted(lambda number, attempt, text=text: text), questions)[0]
        assert answer.report is None
        assert "of the answer is" in answer.problem


def test_frames_and_shots_must_belong_together() -> None:
    with pytest.raises(UsageError, match="shot 1 has no key frame"):
        analyse([plain_shot(0), plain_shot(1)], [key_frame(0)], one_by_one([CLEAN]))
    with pytest.raises(UsageError, match="shot 5, which is unknown"):
        analyse([plain_shot(0)], [key_frame(5)], one_by_one([CLEAN]))


# Pooling


@settings(deadline=None)
@given(frame_reports(most=16, most_keys=16))
def test_one_picture_pools_to_itself(report: FrameReport) -> None:
    assert pool([report], [3.0], 0.5) == report


@settings(max_examples=60, deadline=None)
@given(st.lists(frame_reports(), min_size=1, max_size=4), st.data())
def test_any_pictures_pool_to_a_valid_report_whatever_their_order(
    reports: list[FrameReport], data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(1, 100), min_size=len(reports), max_size=len(reports)))
    pooled = pool(reports, weights, 0.5)
    assert {item.type for item in pooled.distortions} <= {item.type for r in reports for item in r.distortions}
    assert pooled.level in {report.level for report in reports}
    turned = pool(reports[::-1], weights[::-1], 0.5)
    assert (turned.dynamic_range, turned.contrast, turned.level) == (
        pooled.dynamic_range,
        pooled.contrast,
        pooled.level,
    )


def local(box: str, severity: str = "minor", quality: str = "qe") -> FrameReport:
    return decode(f"dr3 ct2 ; noise {severity} local {box} ; key 0 ; {quality}")


def test_a_defect_stays_if_half_of_the_pictures_show_it() -> None:
    clean, noisy = decode(CLEAN), decode(NOISE)
    assert pool([noisy, clean], [1, 1], 0.5).distortions == noisy.distortions
    assert pool([noisy, clean, clean], [1, 1, 1], 0.5).distortions == ()
    assert pool([noisy, clean, clean], [2, 1, 1], 0.5).distortions == noisy.distortions


def test_boxes_of_one_place_become_their_median_and_moving_ones_their_hull() -> None:
    still = [local("p10 p10 p20 p20"), local("p11 p10 p21 p20", "severe"), local("p10 p11 p20 p21", "severe")]
    pooled = pool(still, [1, 1, 1], 0.5)
    assert [(item.bbox_1000, item.severity) for item in pooled.distortions] == [((200, 200, 400, 400), "severe")]
    moving = [local("p00 p00 p10 p10"), local("p20 p20 p30 p30"), local("p40 p40 p50 p50")]
    assert [item.bbox_1000 for item in pool(moving, [1, 1, 1], 0.5).distortions] == [(0, 0, 1000, 1000)]


def test_two_places_of_one_type_stay_two() -> None:
    both = decode("dr3 ct2 ; noise minor local p00 p00 p10 p10 ; noise severe local p30 p30 p40 p40 ; key 1 ; qe")
    pooled = pool([both, both], [1, 1], 0.5)
    assert pooled == both


def test_key_is_what_most_pictures_call_key_at_most_two_and_at_least_one() -> None:
    three = "noise minor local p00 p00 p10 p10 ; blocks severe local p20 p20 p30 p30 ; motion moderate global"

    def pooled_key(*keys: str) -> set[str]:
        pooled = pool([decode(f"dr3 ct2 ; {three} ; key {key} ; qe") for key in keys], [1.0] * len(keys), 0.5)
        return {pooled.distortions[place].type for place in pooled.key}

    assert pooled_key("0", "0", "1") == {"noise"}
    assert pooled_key("0 2", "0 2") == {"noise", "motion_blur"}
    assert pooled_key("0", "1", "2") == {"blocking_artifacts"}  # no majority: the most severe
    assert pooled_key("0 1", "1 2", "0 2") == {"blocking_artifacts", "motion_blur"}  # all three: the worst two


def test_quality_and_grades_are_those_of_the_middle_picture() -> None:
    reports = [decode(f"dr{grade} ct2 ; clean ; {word}") for grade, word in ((1, "qj"), (5, "qa"), (4, "qf"))]
    pooled = pool(reports, [1, 1, 1], 0.5)
    assert (pooled.dynamic_range, pooled.level, pooled.score) == ("high", "fair", 3.2)
    assert pool(reports, [1, 9, 1], 0.5).level == "bad"
    assert pool(reports[:2], [1, 1], 0.5).level == "bad"  # of two, the lower


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0


def test_a_short_shot_does_not_speak_for_the_video() -> None:
    shots = [plain_shot(0, frames=100), plain_shot(1, frames=20)]
    found = analyse(shots, [key_frame(0), key_frame(1)], one_by_one([CLEAN, NOISE]))
    assert found.analysis.shots[1].report.distortions
    assert found.analysis.pooled.distortions == ()


# Measurement against model


def settled(text: str, boxes: dict[Any, Box] | None = None, **changed: Any) -> tuple[ContentReport, list[str]]:
    report, found = combine(decode(text), plain_signals(**changed), boxes=boxes, shot=3)
    assert all(item.shot == 3 for item in found)
    return report, [item.subject for item in found]


def test_measured_facts_are_computed_and_the_rest_is_the_models() -> None:
    report, found = settled(NOISE, face_share=0.1, face_ev=-1.0)
    measured = build_report(plain_signals(face_share=0.1, face_ev=-1.0))
    assert found == []
    assert report.luminance == measured.luminance
    assert (report.content.category, report.content.has_face) == ("live_action", True)
    assert report.quality.level == "fair"
    assert report.content.description.endswith("Distortions: moderate noise (key).")
    assert settled(CLEAN)[0].content.description.endswith("No distortions.")


def test_a_grade_one_step_off_is_the_models_and_two_steps_off_the_measured_one() -> None:
    report, found = settled("dr4 ct3 ; clean ; qj")  # measured: medium, medium
    assert (report.luminance.dynamic_range, report.luminance.contrast, found) == ("high", "high", [])
    assert "high contrast" in report.content.description
    report, found = settled("dr5 ct3 ; clean ; qj", p99_5=0.45)  # a span of .40: low contrast
    assert (report.luminance.dynamic_range, report.luminance.contrast) == ("medium", "low")
    assert found == ["dynamic_range", "contrast"]


@pytest.mark.parametrize(
    ("word", "absent", "present"),
    [
        ("over", {"p99_5": 0.6}, {"p99_5": 0.72}),
        ("over", {"p99_5": 0.6}, {"p99_5": 0.6, "clipped_share": 0.002}),
        ("under", {"p0_5": 0.2, "crushed_share": 0.0}, {"p0_5": 0.08, "crushed_share": 0.0}),
        ("solid", {"flatness": 0.0}, {"flatness": 0.01}),
        ("oversat", {"saturation": 0.01}, {"saturation": 0.05}),
        ("cast", {"saturation": 0.001}, {"saturation": 0.01}),
    ],
)
def test_what_the_picture_cannot_have_is_left_out(word: str, absent: dict[str, Any], present: dict[str, Any]) -> None:
    text = f"dr3 ct2 ; {word} minor global ; noise moderate global ; key 0 ; qe"
    report, found = settled(text, **absent)
    assert [item.type for item in report.distortions] == ["noise"]
    assert report.key_distortions == (0,)
    assert found == [decode(text).distortions[0].type]
    report, found = settled(text, **present)
    assert len(report.distortions) == 2
    assert found == []


def test_a_burnt_out_area_that_the_model_misses_is_put_in() -> None:
    where = (100, 200, 300, 400)
    report, found = settled(NOISE, boxes={"overexposure": where}, p99_5=1.0, clipped_share=0.2)
    added = report.distortions[1]
    assert (added.type, added.severity, added.bbox_1000) == ("overexposure", "severe", where)
    assert report.key_distortions == (0, 1)
    assert found == ["overexposure"]
    seen = "dr3 ct2 ; over moderate global ; key 0 ; qe"
    assert settled(seen, p99_5=1.0, clipped_share=0.2)[1] == []  # one step: no contradiction
    report, found = settled(seen.replace("moderate", "minor"), p99_5=1.0, clipped_share=0.2)
    assert [item.severity for item in report.distortions] == ["severe"]
    assert found == ["overexposure"]


def test_estimates_such_as_noise_do_not_overrule_the_model() -> None:
    report, found = settled(CLEAN, noise_sigma=6.0, blockiness=5.0)
    assert report.distortions == ()
    assert found == []


@settings(deadline=None)
@given(frame_reports())
def test_any_answer_and_measurement_make_a_valid_report(report: FrameReport) -> None:
    for changed in ({}, {"clipped_share": 0.5, "p99_5": 1.0}, {"p0_5": 0.3, "p99_5": 0.31, "flatness": 1.0}):
        combined, _ = combine(decode(encode(report)), plain_signals(**changed))
        assert all(0 <= place < len(combined.distortions) for place in combined.key_distortions)
        assert bool(combined.distortions) == bool(combined.key_distortions)
