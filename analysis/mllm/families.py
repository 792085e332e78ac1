"""One entry a family of models: which pictures it is shown, how it is asked, how it counts boxes, how it answers."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.mllm import code
from analysis.mllm.answer_json import answer_schema, read_answer
from analysis.mllm.frame_report import AnswerError, FrameReport
from analysis.mllm.prompts import FIELDS, QUESTIONS, Prompt, Question, compact_prompt, json_prompt
from analysis.schema import Box
from toolchain.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
"""Width and height in pixels."""
SHOWN_PIXELS = 1280 * 28 * 28
"""The largest frame that is sent: 1280 tokens of a Qwen2.5-VL."""


@dataclass(frozen=True)
class Constraint:
    """What decoding is held to: a JSON schema (as JSON text) or a Lark grammar."""

    kind: Literal["json_schema", "grammar"]
    text: str


class Family(Protocol):
    """A family's conventions. `size` is always that of the first picture, the frame, as it is sent."""

    @property
    def name(self) -> str: ...

    def images(self, rgb: NDArray[np.uint8]) -> tuple[Image, ...]:
        """The pictures of a frame (HxWx3 R'G'B', full range, upright): the frame made small, then its statistics."""
        ...

    def prompt(self, questions: tuple[Question, ...] = QUESTIONS, variant: int = 0) -> Prompt: ...

    def constraint(self, size: Size) -> Constraint: ...

    def write(self, report: FrameReport, size: Size, questions: tuple[Question, ...] = QUESTIONS) -> str:
        """The answer that a perfect model would give: what training aims at."""
        ...

    def parse(self, text: str, size: Size) -> FrameReport:
        """The report of an answer to all questions. AnswerError on anything that is not exactly one."""
        ...


@dataclass(frozen=True)
class CompactFamily:
    """The model that ships: short answers of `analysis.mllm.code`, boxes in twentieths of 1000."""

    name: str = "compact"

    def images(self, rgb: NDArray[np.uint8]) -> tuple[Image, ...]:
        from PIL import Image  # only where pictures are made: reports are read without it

        from analysis.mllm.diagnostic import diagnostic_image, picture

        return Image.fromarray(picture(rgb)), Image.fromarray(diagnostic_image(rgb))

    def prompt(self, questions: tuple[Question, ...] = QUESTIONS, variant: int = 0) -> Prompt:
        return compact_prompt(questions)

    def constraint(self, size: Size) -> Constraint:
        return Constraint("grammar", code.GRAMMAR)

    def write(self, report: FrameReport, size: Size, questions: tuple[Question, ...] = QUESTIONS) -> str:
        if set(questions) == set(QUESTIONS):
            return code.encode(report)
        parts = code.encode_parts(report)
        return " ; ".join(parts[name] for name in QUESTIONS if name in questions)

    def parse(self, text: str, size: Size) -> FrameReport:
        return code.decode(text)


@dataclass(frozen=True)
class JsonFamily:
    """A large model that answers with FrameReport's JSON, boxes counted as its family learnt to.

    `boxes`: `per_mille` counts 0..1000 of the picture, `pixels` the picture's pixels after its processor has resized
    it to multiples of `factor` with `min_pixels` to `max_pixels` in all.
    """

    name: str
    boxes: Literal["per_mille", "pixels"]
    factor: int
    min_pixels: int
    max_pixels: int

    @property
    def box_field(self) -> str:
        """The box's name in the answer; `bbox_2d` is what Qwen calls a box in pixels."""
        return "bbox_2d" if self.boxes == "pixels" else "bbox_1000"

    def picture_size(self, width: int, height: int) -> Size:
        """The size at which a frame of this size is sent: one that the family's processor leaves as it is."""
        return smart_resize(width, height, self.factor, self.min_pixels, min(self.max_pixels, SHOWN_PIXELS))

    def images(self, rgb: NDArray[np.uint8]) -> tuple[Image, ...]:
        from PIL import Image  # only where pictures are made: reports are read without it

        from analysis.mllm.diagnostic import diagnostic_image

        return Image.fromarray(self.shown(rgb)), Image.fromarray(diagnostic_image(rgb))

    def shown(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame, HxWx3, at the size at which it is sent."""
        size = self.picture_size(rgb.shape[1], rgb.shape[0])
        smaller = size[0] * size[1] < rgb.shape[0] * rgb.shape[1]
        resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        return np.asarray(resized, np.uint8)

    def prompt(self, questions: tuple[Question, ...] = QUESTIONS, variant: int = 0) -> Prompt:
        unit = "pixels of picture 1" if self.boxes == "pixels" else "counted 0 to 1000 across and down picture 1"
        return json_prompt(self.box_field, unit, questions, variant)

    def constraint(self, size: Size) -> Constraint:
        return Constraint("json_schema", json.dumps(answer_schema(self.box_field, self.box_range(size))))

    def write(self, report: FrameReport, size: Size, questions: tuple[Question, ...] = QUESTIONS) -> str:
        answer = report.model_dump(mode="json")
        answer["score"] = round(report.score, 1)
        for item in answer["distortions"]:
            item[self.box_field] = list(self.to_model(tuple(item.pop("bbox_1000")), size))
        wanted = {field for name in questions for field in FIELDS[name]}
        kept = {name: value for name, value in answer.items() if name in wanted}
        return json.dumps(kept, separators=(",", ":"))  # as constrained decoding without free whitespace writes it

    def parse(self, text: str, size: Size) -> FrameReport:
        return read_answer(text, self.box_field, lambda box: self.from_model(box, size))

    def box_range(self, size: Size) -> Size:
        """The largest x and y of a box in the model's own counting."""
        if self.boxes == "per_mille":
            return 1000, 1000
        return smart_resize(*size, self.factor, self.min_pixels, self.max_pixels)

    def to_model(self, box: Box, size: Size) -> Box:
        """A box of 0..1000 as the model counts it, never empty."""
        return _scaled(box, (1000, 1000), self.box_range(size))

    def from_model(self, box: Box, size: Size) -> Box:
        """The model's box in 0..1000, never empty. AnswerError for one that leaves the picture or has no area."""
        right, bottom = self.box_range(size)
        if not (0 <= box[0] < box[2] <= right and 0 <= box[1] < box[3] <= bottom):
            raise AnswerError(f"box {list(box)} is not x0 < x1 <= {right}, y0 < y1 <= {bottom}: ask again")
        return _scaled(box, (right, bottom), (1000, 1000))


FAMILIES: tuple[Family, ...] = (
    CompactFamily(),
    JsonFamily("qwen2_vl", "per_mille", 28, 56 * 56, 16_384 * 28 * 28),
    JsonFamily("qwen2_5_vl", "pixels", 28, 56 * 56, 16_384 * 28 * 28),
    JsonFamily("qwen3_vl", "per_mille", 32, 256 * 256, 4096 * 4096),
    JsonFamily("internvl", "per_mille", 28, 448 * 448, 12 * 448 * 448),
)


def family(name: str) -> Family:
    """The family of that name. UsageError for any other, naming those there are."""
    for entry in FAMILIES:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in FAMILIES)
    raise UsageError(f"no family of models is called {name!r}: choose one of {known}")


def prompt_hash(entry: Family) -> str:
    """16 hexadecimal digits that change whenever what the family is asked, or may answer, does."""
    prompt, constraint = entry.prompt(), entry.constraint((1008, 560))
    told = json.dumps([entry.name, prompt.system, prompt.user, constraint.kind, constraint.text])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def smart_resize(width: int, height: int, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """The size to which the Qwen-VL processors bring a picture: multiples of `factor`, about the same shape.

    `min_pixels` <= width x height <= `max_pixels` holds after it. The rule is that of transformers' Qwen2-VL image
    processor (Python's rounding to even included); a size it returns is one it leaves as it is, within those limits.
    """
    across, down = round(width / factor) * factor, round(height / factor) * factor
    if across * down > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        across = max(factor, math.floor(width / shrink / factor) * factor)
        down = max(factor, math.floor(height / shrink / factor) * factor)
    elif across * down < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        across = math.ceil(width * grow / factor) * factor
        down = math.ceil(height * grow / factor) * factor
    return across, down


def _scaled(box: Box, have: Size, want: Size) -> Box:
    """Rounded to the nearest whole step; a side that rounding would close keeps one step."""
    sides: list[tuple[int, int]] = []
    for low, high, old, new in ((box[0], box[2], have[0], want[0]), (box[1], box[3], have[1], want[1])):
        first = min(new - 1, math.floor(low * new / old + 0.5))
        sides.append((first, max(first + 1, math.floor(high * new / old + 0.5))))
    (x0, x1), (y0, y1) = sides
    return x0, y0, x1, y1
