"""The track's score: cases worked out by hand, the rules' corners, and a second count done in another way."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UsageError
from training import vida

PERFECT = {
    "perception.json": [{"id": 0, "candidates": ["yes", "no"], "pred_ans": "B."}],
    "mcq.json": [{"id": 0, "correct_ans": "no"}],
    "grounding.json": [
        {"image": "a", "question_type": "distortion-detection", "distortions": []},
        {
            "image": "a",
            "question_type": "region-perception",
            "distortions": [{"distortion": "Noise", "severity": "Minor", "coordinates": [0, 0, 100, 100]}],
        },
    ],
    "description.json": [
        {
            "image": "a",
            "all_distortions": [{"distortion": "noise", "coordinates": [0, 0, 100, 100]}],
            "key_distortions": [{"distortion": "noise", "coordinates": [0, 0, 100, 100]}],
            "image_quality": "poor",
        }
    ],
    "bench_metadata.json": [
        {
            "image": "a",
            "level": "poor",
            "distortions": [{"distortion": "Noise", "coordinates": [0, 0, 100, 100], "significance_score": 3}],
        }
    ],
    "reg-p_bench.json": [{"image": "a", "distortions": [{"distortion": "Noise", "coordinates": [0, 0, 100, 100]}]}],
}


def scored(folder: Path, **changed: Any) -> vida.TrackScore:
    """The score of the perfect files with some replaced: a name without .json and its content, text as it is."""
    files = PERFECT | {f"{name}.json": content for name, content in changed.items()}
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return vida.score(folder, folder)


def region(box: Any, name: str = "Noise", image: str = "a") -> dict[str, Any]:
    """A detection answer of one box."""
    distortion = {"distortion": name, "coordinates": box}
    return {"image": image, "question_type": "distortion-detection", "distortions": [distortion]}


def truth(*boxes: Sequence[float], name: str = "Noise", image: str = "a", level: str = "poor") -> dict[str, Any]:
    return {
        "image": image,
        "level": level,
        "distortions": [{"distortion": name, "coordinates": box} for box in boxes],
    }


def test_right_answers_score_six_under_the_tracks_names(tmp_path: Path) -> None:
    found = scored(tmp_path)
    names = ["Perception Accuracy", "Region mAP", "Distortion mAP", "Description mAP"]
    names += ["Key Distortion Accuracy", "Image Quality Accuracy"]
    assert found.metrics == dict.fromkeys(names, 1.0)
    assert (found.final, found.problems) == (6.0, {})
    assert list(found.record())[:7] == ["Final Score", *names]


def test_the_area_counts_each_recall_step_at_the_best_later_precision() -> None:
    # hit, miss, hit of 3 truths: steps to 1/3 at precision 1 and to 2/3 at 2/3; the last third is never reached.
    assert vida.average_precision([True, False, True], 3) == pytest.approx((1 + 2 / 3) / 3)
    # miss, hit, hit: both steps at 2/3, the precision of the last, which is better than the 1/2 of the second.
    assert vida.average_precision([False, True, True], 2) == pytest.approx(2 / 3)
    assert vida.average_precision([], 2) == vida.average_precision([True], 0) == 0


def test_a_prediction_takes_the_nearest_truth_or_none(tmp_path: Path) -> None:
    """The second prediction's nearest truth is taken; that another one would do does not help it."""
    truths = [truth([0, 0, 100, 100], [0, 0, 100, 60])]
    found = [region([0, 0, 100, 100]), region([0, 0, 100, 90])]
    assert scored(tmp_path, grounding=found, bench_metadata=truths).metrics["Distortion mAP"] == 0.5
    assert scored(tmp_path, grounding=found[::-1], bench_metadata=truths).metrics["Distortion mAP"] == 0.5


def test_of_two_truths_as_near_the_first_is_taken(tmp_path: Path) -> None:
    truths = [truth([0, 0, 100, 100], [50, 0, 150, 100])]
    between, on_the_first = region([25, 0, 125, 100]), region([0, 0, 100, 100])
    found = scored(tmp_path, grounding=[between, on_the_first], bench_metadata=truths)
    assert found.metrics["Distortion mAP"] == 0.5


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ([0, 0, 100, 50], 1.0),  # IoU 0.5 exactly
        ([0, 0, 100, 49.9], 0.0),
        ([100, 100, 0, 0], 0.0),  # corners swapped
        ([0, 0, 0, 0], 0.0),
    ],
)
def test_the_limit_of_a_hit_and_odd_boxes(box: list[float], hit: float, tmp_path: Path) -> None:
    assert scored(tmp_path, grounding=[region(box)]).metrics["Distortion mAP"] == hit


def test_a_key_needs_more_than_half_and_the_highest_significance(tmp_path: Path) -> None:
    image = truth([0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100])
    for item, significance in zip(image["distortions"], (3, 3, 1), strict=True):
        item["significance_score"] = significance
    keys = [[0, 0, 100, 50], [0, 0, 100, 51], [0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100]]
    described = {
        "image": "a",
        "key_distortions": [{"distortion": " NOISE ", "coordinates": box} for box in keys],
    }
    elsewhere = {"image": "b", "key_distortions": described["key_distortions"]}
    without = {"image": "c", "key_distortions": described["key_distortions"]}
    found = scored(
        tmp_path,
        description=[described, elsewhere, without],
        bench_metadata=[image, {"image": "c", "distortions": []}],
    )
    assert found.metrics["Key Distortion Accuracy"] == 3 / 5


def test_a_key_truth_without_a_box_costs_the_metric_unless_one_before_it_is_met(tmp_path: Path) -> None:
    whole, broken = truth([0, 0, 100, 100])["distortions"][0], {"distortion": "Motion blur"}
    for order, accuracy in (([whole, broken], 1.0), ([broken, whole], 0.0)):
        found = scored(tmp_path, bench_metadata=[{"image": "a", "distortions": order}])
        assert found.metrics["Key Distortion Accuracy"] == accuracy


def test_classes_without_truth_count_and_no_distortion_is_one_of_them_in_detection_only(tmp_path: Path) -> None:
    stray = [region([0, 0, 100, 100]), region([0, 0, 9, 9], "No distortion")]
    found = scored(tmp_path, grounding=stray)
    assert (found.metrics["Distortion mAP"], found.unpooled_map) == (0.5, 1.0)
    in_region = [{**item, "question_type": "region-perception"} for item in stray]
    assert scored(tmp_path, grounding=in_region).metrics["Region mAP"] == 1.0


def test_names_are_made_alike_in_descriptions_only(tmp_path: Path) -> None:
    underscored = [{"image": "a", "all_distortions": [{"distortion": " Low_Clarity", "coordinates": [0, 0, 9, 9]}]}]
    clarity = [truth([0, 0, 9, 9], name="low clarity")]
    found = scored(
        tmp_path, description=underscored, bench_metadata=clarity, grounding=[region([0, 0, 9, 9], "Low_Clarity")]
    )
    assert found.metrics["Description mAP"] == 1.0
    assert found.metrics["Distortion mAP"] == 0.0


def test_region_answers_count_in_detection_too_and_those_without_a_question_in_regions_only(tmp_path: Path) -> None:
    answer = region([0, 0, 100, 100])
    del answer["question_type"]
    found = scored(tmp_path, grounding=[answer])
    assert (found.metrics["Region mAP"], found.metrics["Distortion mAP"]) == (1.0, 0.0)
    found = scored(tmp_path, grounding=[{**answer, "question_type": "region-perception"}])
    assert (found.metrics["Region mAP"], found.metrics["Distortion mAP"], found.unpooled_map) == (1.0, 1.0, 0.0)


def test_predictions_of_an_image_stand_together_where_its_first_one_stands(tmp_path: Path) -> None:
    """In the file: hit in a, miss in b, hit in a. Counted: hit, hit, miss, which is an AP of 1 and not of 5/6."""
    hits = [[0, 0, 100, 100], [200, 0, 300, 100]]
    found = [region(hits[0]), region([500, 0, 600, 9], image="b"), region(hits[1])]
    assert scored(tmp_path, grounding=found, bench_metadata=[truth(*hits)]).metrics["Distortion mAP"] == 1.0


def test_boxes_may_stand_in_two_other_fields_of_grounding(tmp_path: Path) -> None:
    for field in ("pred_coords", "coords"):
        answer = region([])
        answer["distortions"][0][field] = [0, 0, 100, 100]
        assert scored(tmp_path, grounding=[answer]).metrics["Distortion mAP"] == 1.0
    described = [{"image": "a", "all_distortions": [{"distortion": "noise", "coords": [0, 0, 100, 100]}]}]
    assert scored(tmp_path, description=described).metrics["Description mAP"] == 0.0


def test_levels_are_compared_as_they_stand_over_images_with_truth(tmp_path: Path) -> None:
    described = [
        {"image": image, "image_quality": level} for image, level in [("a", "poor"), ("a", "Poor"), ("x", "poor")]
    ]
    assert scored(tmp_path, description=described).metrics["Image Quality Accuracy"] == 0.5
    twice = [truth(level="poor"), truth(level="good")]  # the later one holds
    assert scored(tmp_path, description=described, bench_metadata=twice).metrics["Image Quality Accuracy"] == 0.0


def question(number: Any, answer: str = "A", right: str = "yes") -> tuple[dict[str, Any], dict[str, Any]]:
    asked = {"id": number, "candidates": ["yes", "no", "both", "none"], "pred_ans": answer}
    return asked, {"id": number, "correct_ans": right}


@pytest.mark.parametrize(
    ("answers", "accuracy"),
    [
        ([" A", "B.", "C) both", "D\n"], 0.25),
        (["A", "A", "A", "@"], 0.75),  # the character before A counts from the end
        (["A", "A", "A", "a"], 0.0),  # no such candidate: the metric is lost
        (["A", "A", "A", "(A)"], 0.0),
        (["A", "A", "A", ""], 0.0),
        (["A", "A", "A", "E"], 0.0),
    ],
)
def test_the_first_character_of_an_answer_names_its_candidate(
    answers: list[str], accuracy: float, tmp_path: Path
) -> None:
    asked, right = zip(*(question(number, answer) for number, answer in enumerate(answers)), strict=True)
    found = scored(tmp_path, perception=list(asked)[::-1], mcq=list(right))
    assert found.metrics["Perception Accuracy"] == accuracy


def test_ids_only_order_the_questions(tmp_path: Path) -> None:
    asked = [question(2, "A")[0], question(10, "B")[0]]
    right = [question("10", right="no")[1], question("2", right="yes")[1]]  # as text, "10" comes before "2"
    assert scored(tmp_path, perception=asked, mcq=right).metrics["Perception Accuracy"] == 0.0
    assert scored(tmp_path, perception=asked, mcq=right[:1]).metrics["Perception Accuracy"] == 0.0
    mixed = [asked[0], {**asked[1], "id": "10"}]
    assert "TypeError" in scored(tmp_path, perception=mixed, mcq=right).problems["Perception Accuracy"]
    assert scored(tmp_path, perception=[], mcq=[]).metrics["Perception Accuracy"] == 0.0


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("perception", {"Perception Accuracy"}),
        ("mcq", {"Perception Accuracy"}),
        ("grounding", {"Region mAP", "Distortion mAP"}),
        ("reg-p_bench", {"Region mAP"}),
        ("description", {"Description mAP", "Key Distortion Accuracy", "Image Quality Accuracy"}),
        ("bench_metadata", set(vida.METRICS) - {"Perception Accuracy", "Region mAP"}),
    ],
)
def test_a_missing_or_broken_file_costs_its_metrics_and_says_why(name: str, lost: set[str], tmp_path: Path) -> None:
    whole = ("", "{", "\ufeff[]", '[{"image": {}, "distortions": [null]}, 5]', "7")
    for text in whole:
        found = scored(tmp_path, **{name: text})
        assert {metric for metric, value in found.metrics.items() if value == 0} == lost
        assert set(found.problems) == lost
    scored(tmp_path)
    (tmp_path / f"{name}.json").unlink()
    assert set(vida.score(tmp_path, tmp_path).problems) == lost


@pytest.mark.parametrize("box", [["0", "0", "100", "100"], [0, 0, 100, None], {"a": 1, "b": 2, "c": 3, "d": 4}, 5])
def test_a_box_that_cannot_be_measured_costs_the_metric(box: Any, tmp_path: Path) -> None:
    found = scored(tmp_path, grounding=[region([0, 0, 100, 100]), region(box)])
    assert found.metrics["Distortion mAP"] == 0.0 and "Distortion mAP" in found.problems


@pytest.mark.parametrize("box", [None, [], [0, 0, 100], [0, 0, 100, 100, 1]])
def test_a_box_that_is_not_of_four_numbers_is_not_there(box: Any, tmp_path: Path) -> None:
    found = scored(tmp_path, grounding=[region([0, 0, 100, 100]), region(box)])
    assert (found.metrics["Distortion mAP"], found.problems) == (1.0, {})


def test_no_answers_at_all_are_zero_and_no_problem(tmp_path: Path) -> None:
    found = scored(tmp_path, grounding=[], description=[])
    assert (found.final, found.problems) == (1.0, {})


def test_a_path_that_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        vida.score(tmp_path / "none", tmp_path)


# A second count, by the rules' text and in another way: no shared code, every number by its definition.

NAMES = ("Noise", "noise", "Low clarity", "low_clarity", "No distortion")
BOXES = st.sampled_from([(0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 6), (1, 0, 11, 10), (0, 0, 5, 10), (9, 9, 1, 1)])
DISTORTIONS = st.lists(
    st.fixed_dictionaries(
        {"distortion": st.sampled_from(NAMES), "coordinates": BOXES.map(list)},
        optional={"significance_score": st.integers(0, 2)},
    ),
    max_size=4,
)
IMAGES = st.sampled_from("abc")
TRUTH = st.lists(
    st.fixed_dictionaries({"image": IMAGES, "level": st.sampled_from(["bad", "fair"]), "distortions": DISTORTIONS}),
    max_size=4,
)
GROUNDING = st.lists(
    st.fixed_dictionaries(
        {"image": IMAGES, "distortions": DISTORTIONS},
        optional={"question_type": st.sampled_from(["region-perception", "distortion-detection", "else"])},
    ),
    max_size=5,
)
DESCRIPTION = st.lists(
    st.fixed_dictionaries(
        {"image": IMAGES},
        optional={
            "all_distortions": DISTORTIONS,
            "key_distortions": DISTORTIONS,
            "image_quality": st.sampled_from(["bad", "fair", "Fair"]),
        },
    ),
    max_size=4,
)


@settings(max_examples=120, deadline=None)
@given(truths=TRUTH, regions=TRUTH, grounding=GROUNDING, description=DESCRIPTION)
def test_the_score_is_that_of_a_count_by_the_definitions(
    truths: list[Any], regions: list[Any], grounding: list[Any], description: list[Any]
) -> None:
    files = {
        "bench_metadata.json": truths,
        "reg-p_bench.json": regions,
        "grounding.json": grounding,
        "description.json": description,
    }
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_text(json.dumps(content), encoding="utf-8")
        found = vida.score(Path(name), Path(name)).metrics
    asked = [item.get("question_type") for item in grounding]
    in_regions = [item for item, kind in zip(grounding, asked, strict=True) if kind in (None, "region-perception")]
    in_whole = [item for item, kind in zip(grounding, asked, strict=True) if kind not in (None, "else")]
    described = [{"image": item["image"], "distortions": item.get("all_distortions", [])} for item in description]
    assert found["Region mAP"] == pytest.approx(slow_map(rows(regions, skip=True), rows(in_regions, skip=True)))
    assert found["Distortion mAP"] == pytest.approx(slow_map(rows(truths), rows(in_whole)))
    assert found["Description mAP"] == pytest.approx(slow_map(rows(truths, alike=True), rows(described, alike=True)))
    assert found["Key Distortion Accuracy"] == pytest.approx(slow_keys(truths, description))
    assert found["Image Quality Accuracy"] == pytest.approx(slow_levels(truths, description))


def rows(items: list[Any], skip: bool = False, alike: bool = False) -> list[tuple[str, str, tuple[int, ...]]]:
    """(image, name, box), the images in the order of their first box."""
    listed = [
        (
            item["image"],
            plain(one["distortion"]) if alike else one["distortion"],
            one["coordinates"],
        )
        for item in items
        for one in item["distortions"]
        if not (skip and one["distortion"] == "No distortion")
    ]
    first = [image for image, _, _ in listed]
    return sorted(((i, n, tuple(box)) for i, n, box in listed), key=lambda row: first.index(row[0]))


def plain(name: str) -> str:
    return name.lower().replace("_", " ")


def cells(box: tuple[int, ...]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


def slow_iou(one: Any, other: Any) -> float:
    """By counting unit squares; a box with its corners swapped has none."""
    covered = cells(tuple(one)) | cells(tuple(other))
    return len(cells(tuple(one)) & cells(tuple(other))) / len(covered) if covered else 0.0


def slow_map(truths: list[Any], found: list[Any]) -> float:
    names = {name for _, name, _ in truths} | {name for _, name, _ in found}
    if not names:
        return 0.0
    return sum(slow_ap(truths, found, name) for name in names) / len(names)


def slow_ap(truths: list[Any], found: list[Any], name: str) -> float:
    """Sum over k of (recall k - recall k-1) times the best precision at that recall or a higher one."""
    left = [(image, box, place) for place, (image, n, box) in enumerate(truths) if n == name]
    total, met, flags = len(left), set(), []
    for image, n, box in found:
        if n != name:
            continue
        overlaps = [(slow_iou(box, other), -place) for i, other, place in left if i == image]
        best, place = max(overlaps, default=(0.0, 0))
        flags.append(best >= 0.5 and place not in met)
        met |= {place} if best >= 0.5 else set()
    if not total:
        return 0.0
    points = [(sum(flags[: k + 1]) / total, sum(flags[: k + 1]) / (k + 1)) for k in range(len(flags))]
    area, before = 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(precision for other, precision in points if other >= recall)
        before = recall
    return area


def slow_keys(truths: list[Any], description: list[Any]) -> float:
    last = {item["image"]: item["distortions"] for item in truths}
    right = named = 0
    for item in description:
        there = last.get(item["image"], [])
        for key in item.get("key_distortions", []) if there else []:
            named += 1
            highest = max(one.get("significance_score", 0) for one in there)
            right += any(
                one.get("significance_score", 0) == highest
                and plain(one["distortion"]) == plain(key["distortion"])
                and slow_iou(one["coordinates"], key["coordinates"]) > 0.5
                for one in there
            )
    return right / named if named else 0.0


def slow_levels(truths: list[Any], description: list[Any]) -> float:
    last = {item["image"]: item["level"] for item in truths}
    judged = [item.get("image_quality", "") == last[item["image"]] for item in description if item["image"] in last]
    return sum(judged) / len(judged) if judged else 0.0
