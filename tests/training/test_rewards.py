"""The rewards of GRPO: every worked example of their docstrings, what they refuse, and what cannot be gamed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.mllm import code
from analysis.mllm.families import FAMILIES, family
from analysis.mllm.frame_report import FrameReport
from analysis.mllm.prompts import QUESTIONS, Question
from analysis.schema import Box, Distortion, DistortionType, Severity
from training.mllm_asked import columns_of, reward_columns, task_of
from training.rewards import NAMES, REWARDS, Answer, Task, read, rewards_of, weighted
from training.rewards.merged import right
from training.rewards.task import pairs

WHOLE: Box = (0, 0, 1000, 1000)
LEFT: Box = (0, 0, 400, 1000)
RIGHT: Box = (600, 0, 1000, 1000)


def item(kind: DistortionType, box: Box = WHOLE, severity: Severity = "minor") -> Distortion:
    return Distortion(type=kind, severity=severity, bbox_1000=box)


def report(*items: Distortion, key: tuple[int, ...] | None = None, score: float = 3.0) -> FrameReport:
    keys = key if key is not None else ((0,) if items else ())
    return FrameReport(
        dynamic_range="medium", contrast="medium", distortions=items, key=keys, level="fair", score=score
    )


def earned(truth: FrameReport, found: FrameReport | None, name: str) -> float | None:
    return REWARDS[NAMES.index(name)](Task(truth), Answer("", found))


def test_the_order_is_fixed_and_each_reward_is_a_plain_function() -> None:
    assert NAMES == ("form", "boxes", "kind", "severity", "key", "score", "dynamic_range", "merged", "choice")


def test_form_asks_whether_the_text_is_an_answer() -> None:
    task = Task(report())
    assert rewards_of(task, "dr4 ct2 ; clean ; qj")["form"] == 1.0
    assert rewards_of(task, "dr4 ct2 clean qj")["form"] == 0.0
    assert rewards_of(task, "dr4 ct2 ; clean ; qj ")["form"] == 0.0


def test_boxes_is_mean_iou_and_f1_whatever_the_type() -> None:
    truth = report(item("noise", LEFT), item("noise", RIGHT))
    found = report(item("motion_blur", (0, 0, 500, 1000)))
    assert earned(truth, found, "boxes") == pytest.approx((0.8 + 2 / 3) / 2)
    assert earned(truth, report(item("noise", (0, 0, 1000, 300))), "boxes") == 0.0


def test_a_pristine_picture_has_one_right_answer() -> None:
    assert earned(report(), report(), "boxes") == 1.0
    assert earned(report(), report(item("noise")), "boxes") == 0.0
    assert earned(report(item("noise")), report(), "boxes") == 0.0
    for name in ("kind", "severity", "key"):
        assert earned(report(), report(item("noise")), name) is None


def test_kind_needs_the_box() -> None:
    truth = report(item("noise", LEFT), item("color_banding", RIGHT))
    assert earned(truth, report(item("noise", LEFT)), "kind") == pytest.approx(2 / 3)
    assert earned(truth, report(item("motion_blur", LEFT)), "kind") == 0.0
    assert earned(truth, report(item("noise", RIGHT)), "kind") == 0.0


@pytest.mark.parametrize(("said", "credit"), [("minor", 1.0), ("moderate", 0.6), ("severe", 0.2)])
def test_severity_counts_by_grades_off_and_only_behind_box_and_type(said: Severity, credit: float) -> None:
    truth = report(item("noise", LEFT, "minor"))
    assert earned(truth, report(item("noise", LEFT, said)), "severity") == pytest.approx(credit)
    assert earned(truth, report(item("noise", RIGHT, said)), "severity") == 0.0
    assert earned(truth, report(item("motion_blur", LEFT, said)), "severity") == 0.0


def test_key_is_f1_so_that_naming_one_sure_distortion_is_not_enough() -> None:
    both = (item("noise", LEFT), item("color_banding", RIGHT))
    truth = report(*both, key=(0, 1))
    assert earned(truth, report(*both, key=(0,)), "key") == pytest.approx(2 / 3)
    assert earned(truth, report(*both, key=(0, 1)), "key") == 1.0
    assert earned(report(*both, key=(0,)), report(*both, key=(1,)), "key") == 0.0


def test_score_is_a_gaussian_of_half_a_point() -> None:
    assert earned(report(score=3.4), report(score=3.0), "score") == pytest.approx(math.exp(-0.32))
    assert earned(report(), report(), "score") == 1.0


def test_dynamic_range_falls_with_the_distance() -> None:
    found = [report().model_copy(update={"dynamic_range": grade}) for grade in ("medium", "high", "very_high")]
    assert [earned(report(), one, "dynamic_range") for one in found] == [1.0, 0.5, 0.1]


def test_merged_questions_count_each_exactly() -> None:
    found = report(item("noise")).model_copy(update={"contrast": "low"})
    assert earned(report(), found, "merged") == 0.5
    assert not right(report(), found, "distortions")
    single = Task(report(), ("quality",))
    assert REWARDS[NAMES.index("merged")](single, Answer("", report())) is None


def test_choice_is_where_the_candidate_lies_between_worst_and_best() -> None:
    task = replace(Task(report()), choices={"a": 2.0, "b": 5.0, "c": 6.0})
    assert rewards_of(task, "b") == {name: {"form": 1.0, "choice": 0.75}.get(name) for name in NAMES}
    assert rewards_of(task, "no model")["choice"] == 0.0
    assert rewards_of(task, "no model")["form"] == 0.0
    assert rewards_of(replace(task, choices={"a": 2.0, "b": 2.0}), "a")["choice"] == 1.0


def test_an_answer_that_cannot_be_read_earns_nothing_where_it_is_asked() -> None:
    found = rewards_of(Task(report(item("noise"))), "I think that the picture is noisy")
    assert {value for value in found.values() if value is not None} == {0.0}
    assert [name for name, value in found.items() if value is None] == ["choice"]


def test_a_right_answer_earns_everything() -> None:
    truth = report(item("noise", LEFT), item("color_banding", WHOLE, "severe"), key=(1,))
    truth = code.decode(code.encode(truth))  # on the answer's grid of boxes and scores
    found = rewards_of(Task(truth), code.encode(truth))
    assert {name: value for name, value in found.items() if value is not None} == dict.fromkeys(NAMES[:-1], 1.0)
    assert weighted(found, {}) == 1.0


def test_of_boxes_that_fit_alike_those_of_the_right_type_are_matched() -> None:
    one = (item("noise"), item("color_banding"))
    other = (item("color_banding"), item("noise"))
    assert all(found.type == true.type for found, true, _ in pairs(one, other))


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("questions", [("quality",), ("dynamic_range", "distortions"), ("contrast",), QUESTIONS])
def test_an_answer_to_some_questions_is_read_as_strictly(entry, questions: tuple[Question, ...]) -> None:
    truth = report(item("noise", LEFT), score=3.2)
    task = Task(truth, questions, entry.name)
    text = family(entry.name).write(truth, task.size, questions)
    found = read(task, text).report
    assert found is not None
    assert found.level == truth.level
    assert rewards_of(task, text)["form"] == 1.0
    more = text + " ; qa" if entry.name == "compact" else json.dumps(json.loads(text) | {"remark": "fine"})
    assert read(task, more).report is None
    asked_less = [name for name in QUESTIONS if name in questions][:-1]
    if asked_less:
        assert read(Task(truth, tuple(asked_less), entry.name), text).report is None


def test_rewards_survive_the_way_through_columns() -> None:
    truth = report(item("noise", LEFT))
    tasks = [Task(truth), Task(truth, ("quality",)), Task(truth, choices={"a": 1.0, "b": 2.0})]
    texts = [code.encode(truth), "qe", "a"]
    rows = [columns_of(task) for task in tasks]
    assert [task_of(row) for row in rows] == tasks
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    table = [judge(completions=completions, prompts=[], **columns) for judge in reward_columns()]
    for index, (task, text) in enumerate(zip(tasks, texts, strict=True)):
        assert [row[index] for row in table] == list(rewards_of(task, text).values())
    assert [judge.__name__ for judge in reward_columns()] == list(NAMES)


boxes = st.builds(
    lambda x, y, w, h: (20 * x, 20 * y, 20 * min(50, x + w), 20 * min(50, y + h)),
    st.integers(0, 49), st.integers(0, 49), st.integers(1, 50), st.integers(1, 50),
)  # fmt: skip
items = st.builds(
    item, st.sampled_from(tuple(code.TYPE_WORDS)), boxes, st.sampled_from(("minor", "moderate", "severe"))
)
reports = st.lists(items, max_size=6).map(lambda found: report(*found))


@given(truth=reports, found=reports)
def test_every_reward_lies_in_0_to_1_and_truth_earns_most(truth: FrameReport, found: FrameReport) -> None:
    for reward in REWARDS:
        value, best = reward(Task(truth), Answer("", found)), reward(Task(truth), Answer("", truth))
        assert (value is None) == (best is None)
        assert value is None or best is None or 0.0 <= value <= best == 1.0
