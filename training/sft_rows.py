"""What fine-tuning reads: a sample, mirrored or not, as prompt, pictures, and the answer of a perfect model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image

from analysis.mllm.diagnostic import mosaic
from analysis.mllm.families import Family, Size, family
from analysis.mllm.frame_report import FrameReport
from analysis.mllm.processor import Qwen2_5_VLProcessor
from analysis.mllm.prompts import QUESTIONS, Question
from training.data.mllm_augment import mirrored
from training.mllm_paste import Pasting
from training.mllm_reader import compact_prompt_text
from training.mllm_rows import Rows


class Asking(Protocol):
    """What of a recipe decides its rows."""

    @property
    def family(self) -> str: ...
    @property
    def merged(self) -> bool: ...
    @property
    def mirror(self) -> bool: ...
    @property
    def pasted(self) -> int: ...
    @property
    def diagnostics(self) -> bool: ...
    @property
    def wordings(self) -> int: ...


@dataclass(frozen=True)
class Drawn:
    """What one place of the data set is: a sample, mirrored or not, and what is asked of it."""

    report: FrameReport
    picture: NDArray[np.uint8]
    statistics: NDArray[np.uint8]
    questions: tuple[Question, ...]

    @property
    def size(self) -> Size:
        """Width and height of the picture."""
        return self.picture.shape[1], self.picture.shape[0]


def draw(rows: Rows, config: Asking, place: int, pasting: Pasting | None = None) -> Drawn:
    """Places run over the samples, then over the questions if each is asked alone, then over the mirrored samples.

    Those after them, as many rounds as `pasted` says, have regions of other samples.
    """
    sample, turn = place % len(rows), place // len(rows)
    asked = QUESTIONS if config.merged else (QUESTIONS[(turn + sample) % len(QUESTIONS)],)
    picture = rows.shown(sample, family(config.family))
    stored, report = rows.statistics(sample), rows.line(sample).report
    if pasting and turn >= rounds(config) * (1 + config.mirror):
        picture, stored, report = pasting.draw(np.random.default_rng(place))
    elif turn >= rounds(config):
        picture, stored, report = mirrored(picture, stored, report)
    return Drawn(report, picture, stored if config.diagnostics else np.zeros_like(stored), asked)


def rounds(config: Asking) -> int:
    return 1 if config.merged else len(QUESTIONS)


def train_places(rows: Rows, config: Asking) -> int:
    """How many places the training rows have."""
    return len(rows) * rounds(config) * (1 + config.mirror + config.pasted)


def row_maker(rows: Rows, config: Asking, made: Any) -> Callable[[int], dict[str, Any]]:
    """What a place of the data set holds: `prompt`, `completion`, `images`, and the report for the cell head."""
    asked = family(config.family)
    if asked.name == "compact":
        pasting = Pasting(rows) if config.pasted else None
        return lambda place: _compact_row(draw(rows, config, place, pasting), asked, made)
    return lambda place: _chat_row(draw(rows, config, place), asked, place % config.wordings)


def _compact_row(drawn: Drawn, asked: Family, made: Qwen2_5_VLProcessor) -> dict[str, Any]:
    return {
        "prompt": compact_prompt_text(made, drawn.questions),
        "completion": asked.write(drawn.report, drawn.size, drawn.questions),
        "images": {"picture": drawn.picture, "statistics": drawn.statistics},
        "report": drawn.report,
    }


def _chat_row(drawn: Drawn, asked: Family, wording: int) -> dict[str, Any]:
    """A large model's row: messages and PIL pictures."""
    prompt = asked.prompt(drawn.questions, wording)
    told = [{"role": "system", "content": prompt.system}] if prompt.system else []
    answer = asked.write(drawn.report, drawn.size, drawn.questions)
    return {
        "prompt": [*told, {"role": "user", "content": prompt.user}],
        "completion": [{"role": "assistant", "content": answer}],
        "images": [Image.fromarray(drawn.picture), Image.fromarray(mosaic(drawn.statistics))],
    }


def dataset(count: int, make: Callable[[int], dict[str, Any]]) -> Dataset:
    """`count` places whose rows are made when they are looked at."""

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        made = [make(place) for place in batch["place"]]
        return {name: [row[name] for row in made] for name in made[0]}

    return Dataset.from_dict({"place": list(range(count))}).with_transform(rows)
