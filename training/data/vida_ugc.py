"""ViDA-UGC's own files: metadata (`train_metadata.json`, `bench_metadata.json`) and instructions in the LLaVA form
(`combined.json`, `*.jsonl`), as what is known of each picture.

Boxes are 0..1000 there as here. What does not fit (a type or severity of another vocabulary, a box with no area, a
level that is none) leaves that picture out and is named; nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from analysis.mllm.frame_report import LEVELS, MAX_DISTORTIONS, Contrast, FrameReport, Level, level_of, middle_score
from analysis.schema import Distortion, DistortionType, Grade, Severity
from toolchain.errors import InputError

TYPE_NAMES: dict[DistortionType, str] = {
    "low_clarity": "Low clarity",
    "out_of_focus_blur": "Out of focus blur",
    "motion_blur": "Motion blur",
    "noise": "Noise",
    "blocking_artifacts": "Blocking artifacts",
    "edge_aliasing": "Edge aliasing effect",
    "edge_ringing": "Edge ringing effect",
    "overexposure": "Overexposure",
    "underexposure": "Underexposure",
    "meaningless_solid_color": "Meaningless solid color",
}
"""The ten types of the data, by ours."""
_TYPES: dict[str, DistortionType] = {name.lower(): kind for kind, name in TYPE_NAMES.items()}
_SEVERITIES: dict[str, Severity] = {word: word for word in get_args(Severity)}
_LEVELS: dict[str, Level] = {word: word for word in LEVELS}

_REFERENCE = r"<\|object_ref_start\|>\s*(\w+) ([^<]+?)\s*<\|object_ref_end\|>"
_BOX_TEXT = r"<\|box_start\|>[^<]*<\|box_end\|>"
_REGION = re.compile(rf"{_REFERENCE}((?:\s*{_BOX_TEXT})+)")
_BOX = re.compile(r"<\|box_start\|>\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*,\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*<\|box_end\|>")
_LEVEL = re.compile(r"the quality of the image is (\w+)", re.IGNORECASE)


class VidaFrame(BaseModel):
    """What the data say of one picture. `key`: the most significant distortions; empty where that is not said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = Field(min_length=1)
    distortions: tuple[Distortion, ...]
    key: tuple[int, ...]
    level: Level
    mos: float | None = Field(default=None, ge=1, le=5)

    def report(self, dynamic_range: Grade, contrast: Contrast) -> FrameReport:
        """The frame's report; the two grades are not in the data and have to be measured on the picture.

        Keeps the key distortions and the most severe others, as many as a report holds; where no key is named, the
        most severe are. The score is the mean opinion score where it is within one level, else the level's middle.
        """
        order = sorted(range(len(self.distortions)), key=lambda i: (i not in self.key, -self._severity(i), i))
        kept = sorted(order[:MAX_DISTORTIONS])
        keys = self.key or tuple(i for i in kept if self._severity(i) == max(map(self._severity, kept)))
        return FrameReport(
            dynamic_range=dynamic_range,
            contrast=contrast,
            distortions=tuple(self.distortions[i] for i in kept),
            key=tuple(place for place, i in enumerate(kept) if i in keys),
            level=self.level,
            score=self._score(),
        )

    def _score(self) -> float:
        if self.mos is None or abs(LEVELS.index(level_of(self.mos)) - LEVELS.index(self.level)) > 1:
            return middle_score(self.level)
        return self.mos

    def _severity(self, index: int) -> int:
        return list(_SEVERITIES).index(self.distortions[index].severity)


@dataclass(frozen=True)
class Reading:
    """Pictures that can be used, and why others cannot (`image: reason`)."""

    frames: tuple[VidaFrame, ...]
    left_out: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Turn:
    """One question about one picture and its answer."""

    image: str
    question: str
    answer: str


# Metadata


def read_metadata(path: Path) -> Reading:
    """The pictures of a metadata file. InputError where it is no list of such."""
    items = _load(path)
    if not isinstance(items, list) or not all(isinstance(item, dict) and "image" in item for item in items):
        raise InputError(f"{path} is no ViDA-UGC metadata: a JSON list of objects with `image` is needed")
    return _collect((str(item["image"]), partial(_metadata_frame, item)) for item in items)


def _metadata_frame(item: Mapping[str, Any]) -> VidaFrame:
    regions = item.get("distortions", [])
    if isinstance(regions, str):  # a sentence: there is none
        regions = []
    significance = [region.get("significance_score") for region in regions]
    highest = max((value for value in significance if value is not None), default=None)
    return VidaFrame(
        image=item["image"],
        distortions=tuple(
            _distortion(region["distortion"], region["severity"], region["coordinates"]) for region in regions
        ),
        key=tuple(i for i, value in enumerate(significance) if value is not None and value == highest),
        level=_level(item["level"].lower()),
        mos=item.get("mos"),
    )


# Instructions


def read_turns(path: Path) -> Iterator[Turn]:
    """Every question and answer of an instruction file: a JSON list, or a JSON object a line (.jsonl).

    An entry has `image` and `conversations`, turns `from` human and gpt with `value`. InputError for any other.
    """
    for number, entry in enumerate(_entries(path), 1):
        try:
            turns = _turns(entry)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"entry {number} of {path} is no image with conversations: {error}") from error
        yield from turns


def _turns(entry: Any) -> list[Turn]:
    image = entry["image"] if isinstance(entry["image"], str) else entry["image"][0]
    said = [(turn["from"], turn["value"]) for turn in entry["conversations"] if turn["from"] != "system"]
    pairs = list(zip(said[::2], said[1::2], strict=True))
    if any((asks, answers) != ("human", "gpt") for (asks, _), (answers, _) in pairs):
        raise ValueError("turns are not human and gpt in alternation")
    return [Turn(image, question.replace("<image>", "").strip(), answer) for (_, question), (_, answer) in pairs]


def frames_of(turns: Iterable[Turn]) -> Reading:
    """The pictures whose level is told by an answer and whose distortions by a detection or a description.

    Of a picture with both, boxes are the detection's and key distortions the description's. Questions about a given
    region, multiple choice and single distortions say nothing of the whole picture and are passed over.
    """
    told: dict[str, dict[str, str]] = {}
    for turn in turns:
        kind = answer_kind(turn)
        if kind is not None:
            told.setdefault(turn.image, {})[kind] = turn.answer
    whole = {image: kinds for image, kinds in told.items() if "detection" in kinds or "description" in kinds}
    return _collect(
        (image, lambda kinds=kinds, image=image: _told_frame(image, kinds)) for image, kinds in whole.items()
    )


def answer_kind(turn: Turn) -> str | None:
    """`description`, `level` or `detection`; None for an answer that is none of the whole picture's."""
    if "<|box_start|>" in turn.question:
        return None
    if _LEVEL.search(_last_line(turn.answer)):
        return "description" if "\n" in _stripped(turn.answer) else "level"
    headed = re.search(r"^[A-Z][a-z ]+:\n<\|object_ref_start\|>", turn.answer, re.MULTILINE)
    return "detection" if headed else None


def _told_frame(image: str, kinds: Mapping[str, str]) -> VidaFrame:
    description = kinds.get("description", "")
    graded = description or kinds.get("level", "")
    if not graded:
        raise ValueError("no answer tells its quality level")
    distortions = regions_in(kinds.get("detection", description))
    keys = key_regions_in(description)
    return VidaFrame(
        image=image,
        distortions=distortions,
        key=tuple(index for index, item in enumerate(distortions) if _same_place(item, keys)),
        level=level_in(graded),
    )


def _same_place(item: Distortion, keys: Sequence[Distortion]) -> bool:
    return any((item.type, item.bbox_1000) == (key.type, key.bbox_1000) for key in keys)


# Answer forms


def regions_in(answer: str) -> tuple[Distortion, ...]:
    """Every distortion an answer names with a box, once each, in the order in which they stand.

    A reference with several boxes is as many distortions. ValueError for a name, a severity or a box that is none.
    """
    found: dict[Distortion, None] = {}
    for severity, name, boxes in _REGION.findall(answer):
        for box in re.findall(_BOX_TEXT, boxes):
            corners = _BOX.fullmatch(box)
            if corners is None:
                raise ValueError(f"{box!r} is no box (x1,y1),(x2,y2)")
            found[_distortion(name, severity, [int(value) for value in corners.groups()])] = None
    return tuple(found)


def key_regions_in(description: str) -> tuple[Distortion, ...]:
    """The key distortions: those in the first sentence of the line before the last."""
    lines = _stripped(description).split("\n")
    return regions_in(lines[-2].split(".")[0]) if len(lines) > 1 else ()


def level_in(answer: str) -> Level:
    """The level in the last line. ValueError where there is none."""
    found = _LEVEL.search(_last_line(answer))
    if found is None:
        raise ValueError("the answer does not end in a quality level")
    return _level(found.group(1).lower())


# Parts


def _distortion(name: str, severity: str, box: Sequence[Any]) -> Distortion:
    kind = _TYPES.get(name.strip().lower())
    if kind is None:
        raise ValueError(f"{name!r} is none of the ten types")
    degree = _SEVERITIES.get(severity.strip().lower())
    if degree is None:
        raise ValueError(f"{severity!r} is no severity: {', '.join(_SEVERITIES)} are")
    left, top, right, bottom = (round(float(value)) for value in box)
    if not (0 <= left < right <= 1000 and 0 <= top < bottom <= 1000):
        raise ValueError(f"{list(box)} is no box with an area in 0..1000")
    return Distortion(type=kind, severity=degree, bbox_1000=(left, top, right, bottom))


def _level(word: str) -> Level:
    if word not in _LEVELS:
        raise ValueError(f"{word!r} is no quality level: {', '.join(LEVELS)} are")
    return _LEVELS[word]


def _stripped(answer: str) -> str:
    return answer.replace("<|im_end|>", "").strip()


def _last_line(answer: str) -> str:
    return _stripped(answer).split("\n")[-1]


def _collect(readings: Iterable[tuple[str, Callable[[], VidaFrame]]]) -> Reading:
    frames, left_out = [], []
    for image, read in readings:
        try:
            frames.append(read())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            left_out.append(f"{image}: {type(error).__name__} {error}")
    return Reading(tuple(frames), tuple(left_out))


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def _entries(path: Path) -> Iterator[Any]:
    if path.suffix != ".jsonl":
        yield from _load(path)
        return
    try:
        with path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON lines: {error}") from error
