"""The score of the MIPI 2025 detailed-IQA track (ViDA-UGC), counted as the organisers count it.

Files are read by the track's names. Nothing of them is mended or checked beyond what the count itself needs, because
the official scorer does not either: a file that cannot be counted costs the metrics that read it. Such a metric is 0,
and `problems` says why.

The official count pools region answers into the detection mAP and gives an AP of 0 to a predicted class without
truth; `unpooled_map` is the same mAP without either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UsageError

Region = tuple[Any, Any, Sequence[Any]]
"""Image, name of the distortion, box x0, y0, x1, y1: whatever the files hold."""

HIT_IOU = 0.5
REGION, DETECTION = "region-perception", "distortion-detection"
NO_DISTORTION = "No distortion"
MALFORMED = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading foreign JSON as if it were right can raise."""


@dataclass(frozen=True)
class TrackScore:
    """`metrics`: the six, by the track's names. `problems`: why a metric is 0 that could not be counted."""

    metrics: dict[str, float]
    unpooled_map: float | None
    problems: dict[str, str]

    @property
    def final(self) -> float:
        return sum(self.metrics.values())

    def record(self) -> dict[str, Any]:
        """As the track writes it (`Final Score` and six names), and our own figures after that."""
        own = {"Distortion mAP, unpooled": self.unpooled_map, "problems": self.problems}
        return {"Final Score": self.final, **self.metrics, **own}


def score(predictions: Path, truth: Path) -> TrackScore:
    """Every metric of the files in the two folders. UsageError where one of them is no folder."""
    for folder in (predictions, truth):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: name one with the track's JSON files")
    metrics: dict[str, float] = {}
    problems: dict[str, str] = {}
    for name, measure in METRICS.items():
        metrics[name], problem = _counted(measure, predictions, truth)
        if problem:
            problems[name] = problem
    unpooled, problem = _counted(unpooled_map, predictions, truth)
    return TrackScore(metrics, None if problem else unpooled, problems)


def _counted(measure: Callable[[Path, Path], float], predictions: Path, truth: Path) -> tuple[float, str]:
    try:
        return float(measure(predictions, truth)), ""
    except MALFORMED as error:
        return 0.0, f"{type(error).__name__}: {error}"


# The six metrics: (folder of predictions, folder of truth) -> 0..1


def perception_accuracy(predictions: Path, truth: Path) -> float:
    """Share of questions whose chosen candidate is the right answer, both lists in the order of their ids."""
    answers, questions = _load(predictions / "perception.json"), _load(truth / "mcq.json")
    if len(answers) != len(questions):
        raise ValueError(f"{len(answers)} answers to {len(questions)} questions")
    pairs = list(zip(sorted(answers, key=_id), sorted(questions, key=_id), strict=True))
    right = sum(bool(question["correct_ans"] == _chosen(answer)) for answer, question in pairs)
    return right / len(pairs) if pairs else 0.0


def region_map(predictions: Path, truth: Path) -> float:
    """mAP of the region answers, and of answers that do not say what they answer. `No distortion` is no class."""
    found = _regions(
        (item for item in _load(predictions / "grounding.json") if _is_region_answer(item)),
        boxes=("coordinates", "pred_coords", "coords"),
        left_out=NO_DISTORTION,
    )
    return mean_average_precision(_regions(_load(truth / "reg-p_bench.json"), left_out=NO_DISTORTION), found)


def distortion_map(predictions: Path, truth: Path) -> float:
    """mAP of detection and region answers together; `No distortion` counts as a class here."""
    found = _grounding(predictions, (DETECTION, REGION))
    return mean_average_precision(_regions(_load(truth / "bench_metadata.json")), found)


def description_map(predictions: Path, truth: Path) -> float:
    """mAP of the boxes in the descriptions; names in lower case, blanks for underscores."""
    found = _regions(_load(predictions / "description.json"), "all_distortions", named=_plain)
    return mean_average_precision(_regions(_load(truth / "bench_metadata.json"), named=_plain), found)


def key_distortion_accuracy(predictions: Path, truth: Path) -> float:
    """Share of predicted key distortions that are among the most significant of their image, where it has any."""
    images = {item["image"]: item for item in _load(truth / "bench_metadata.json")}
    judged: list[bool] = []
    for item in _load(predictions / "description.json"):
        keys = item.get("key_distortions", ())
        true_keys = _most_significant(images[item["image"]]) if item["image"] in images else []
        if true_keys:
            judged += [_is_key(key, true_keys) for key in keys]
    return sum(judged) / len(judged) if judged else 0.0


def image_quality_accuracy(predictions: Path, truth: Path) -> float:
    """Share of described images, among those with truth, whose level is the right word exactly."""
    levels = {item["image"]: item.get("level", "") for item in _load(truth / "bench_metadata.json")}
    judged = [
        bool(item.get("image_quality", "") == levels[item["image"]])
        for item in _load(predictions / "description.json")
        if item["image"] in levels
    ]
    return sum(judged) / len(judged) if judged else 0.0


METRICS: dict[str, Callable[[Path, Path], float]] = {
    "Perception Accuracy": perception_accuracy,
    "Region mAP": region_map,
    "Distortion mAP": distortion_map,
    "Description mAP": description_map,
    "Key Distortion Accuracy": key_distortion_accuracy,
    "Image Quality Accuracy": image_quality_accuracy,
}
"""In the track's order; the final score is their sum."""


def unpooled_map(predictions: Path, truth: Path) -> float:
    """mAP of the detection answers alone, over the classes that occur in the truth."""
    truths = list(_regions(_load(truth / "bench_metadata.json")))
    classes = {name for _, name, _ in truths}
    found = (region for region in _grounding(predictions, (DETECTION,)) if region[1] in classes)
    return mean_average_precision(truths, found)


# Average precision


def mean_average_precision(truths: Iterable[Region], found: Iterable[Region]) -> float:
    """Mean AP over the classes of either side; 0 where there are none."""
    true_classes, found_classes = _by_class(truths), _by_class(found)
    names = sorted(true_classes.keys() | found_classes.keys())
    if not names:
        return 0.0
    return float(np.mean([_class_ap(true_classes.get(name, []), found_classes.get(name, [])) for name in names]))


def average_precision(hits: Sequence[bool] | NDArray[np.bool_], truths: int) -> float:
    """Area under precision over recall (VOC 2010 on: at every recall step, precision made monotone from the right).

    `hits`: for each prediction, in the order of confidence, whether it met a truth that no other had met.
    """
    if not truths or not len(hits):
        return 0.0
    hit = np.asarray(hits, dtype=bool)
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[hit].sum() / truths)


def iou(first: Sequence[Any], second: Sequence[Any]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1; 0 where they do not meet or have no area.

    A box whose corners are swapped meets nothing: it is not turned round.
    """
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    if right < left or bottom < top:
        return 0.0
    shared = (right - left) * (bottom - top)
    union = _area(first) + _area(second) - shared
    return shared / union if union != 0 else 0.0


def _class_ap(truths: list[tuple[Any, Sequence[Any]]], found: list[tuple[Any, Sequence[Any]]]) -> float:
    """AP of one class; the order of `found` is that of confidence, because every confidence is 1."""
    if not truths:
        return 0.0
    boxes: dict[Any, list[Sequence[Any]]] = {}
    for image, box in truths:
        boxes.setdefault(image, []).append(box)
    met: set[tuple[Any, int]] = set()
    hits = []
    for image, box in found:
        best, nearest = 0.0, None
        for index, true_box in enumerate(boxes.get(image, ())):
            overlap = iou(box, true_box)
            if overlap > best:
                best, nearest = overlap, (image, index)
        hit = nearest is not None and best >= HIT_IOU and nearest not in met
        hits.append(hit)
        if hit and nearest is not None:
            met.add(nearest)
    return average_precision(hits, len(truths))


def _by_class(regions: Iterable[Region]) -> dict[Any, list[tuple[Any, Sequence[Any]]]]:
    """(image, box) of each class. Images stand in the order in which they first have a box of any class: an answer
    further down in the file stands beside the earlier ones of its image, which decides ties of confidence."""
    images: dict[Any, list[tuple[Any, Sequence[Any]]]] = {}
    for image, name, box in regions:
        images.setdefault(image, []).append((name, box))
    classes: dict[Any, list[tuple[Any, Sequence[Any]]]] = {}
    for image, named in images.items():
        for name, box in named:
            classes.setdefault(name, []).append((image, box))
    return classes


def _area(box: Sequence[Any]) -> Any:
    return (box[2] - box[0]) * (box[3] - box[1])


# The files


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _id(item: Any) -> Any:
    return item["id"]


def _chosen(answer: Any) -> Any:
    """The candidate that the answer's first character names: A is the first."""
    return answer["candidates"][ord(answer["pred_ans"].strip()[0]) - ord("A")]


def _regions(
    items: Iterable[Any],
    field: str = "distortions",
    boxes: tuple[str, ...] = ("coordinates",),
    left_out: str | None = None,
    named: Callable[[Any], Any] = lambda name: name,
) -> Iterator[Region]:
    """Every region with a box of four numbers; the first of the fields `boxes` that is not empty holds it."""
    for item in items:
        image = item["image"]
        for region in item.get(field, ()):
            name = region.get("distortion")
            if left_out is not None and name == left_out:
                continue
            box = next((found for key in boxes if (found := region.get(key))), None)
            if box and len(box) == 4:
                yield image, named(name), box


def _grounding(predictions: Path, question_types: tuple[str, ...]) -> Iterator[Region]:
    answers = (
        item
        for item in _load(predictions / "grounding.json")
        if "question_type" in item and item["question_type"] in question_types
    )
    return _regions(answers, boxes=("coordinates", "pred_coords", "coords"))


def _is_region_answer(item: Any) -> bool:
    return "question_type" not in item or item["question_type"] == REGION


def _plain(name: Any) -> str:
    return name.lower().replace("_", " ").strip() if isinstance(name, str) else ""


def _most_significant(item: Any) -> list[Any]:
    """The image's distortions of the highest significance; one that names none has significance 0."""
    regions = item.get("distortions", ())
    if not regions:
        return []
    highest = max(region.get("significance_score", 0) for region in regions)
    return [region for region in regions if region.get("significance_score", 0) == highest]


def _is_key(key: Any, true_keys: list[Any]) -> bool:
    name, box = _plain(key["distortion"]), key["coordinates"]
    there = ((_plain(true["distortion"]), true["coordinates"]) for true in true_keys)
    return any(name == true_name and iou(box, true_box) > HIT_IOU for true_name, true_box in there)
