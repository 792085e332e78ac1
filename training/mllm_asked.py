"""Prompts of a dataset's samples, as TRL takes them: messages, pictures, and what rewards need to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from analysis.mllm.diagnostic import mosaic
from analysis.mllm.families import family
from analysis.mllm.frame_report import FrameReport
from analysis.mllm.prompts import QUESTIONS, Prompt, Question
from training.mllm_rows import Rows
from training.rewards import REWARDS, Reward, Task, read

if TYPE_CHECKING:
    from datasets import Dataset

Messages = list[dict[str, Any]]
"""A conversation, as processors take it."""


@dataclass(frozen=True)
class Asked:
    """The `chosen` of a set's rows, each with the questions that it is asked: all, unless `questions` says less.

    Without `diagnostics` the second picture is blank, as for a model that learned so.
    """

    rows: Rows
    family: str
    chosen: Sequence[int]
    questions: Mapping[str, tuple[Question, ...]]
    diagnostics: bool = True

    def __len__(self) -> int:
        return len(self.chosen)

    def id(self, place: int) -> str:
        return self.rows.line(self.chosen[place]).id

    def task(self, place: int) -> Task:
        """What is asked, and what is true of it."""
        line = self.rows.line(self.chosen[place])
        size = self.rows.shown_size(self.chosen[place], family(self.family))
        return Task(line.report, self.questions.get(line.id, QUESTIONS), self.family, size)

    def images(self, place: int) -> list[Image.Image]:
        """The frame, as the family is shown it, and its diagnostic picture."""
        row = self.chosen[place]
        stored = self.rows.statistics(row)
        shown = stored if self.diagnostics else np.zeros_like(stored)
        return [Image.fromarray(self.rows.shown(row, family(self.family))), Image.fromarray(mosaic(shown))]

    def order(self, length: int, seed: int) -> list[int]:
        """As many places as a whole training looks at: all of them, shuffled, again and again."""
        rng = np.random.default_rng(seed)
        rounds = [rng.permutation(len(self)) for _ in range(-(-length // len(self)))]
        return np.concatenate(rounds)[:length].tolist()

    def prompt(self, place: int) -> Messages:
        """The messages without pictures. The wording changes from sample to sample where a family has several."""
        return messages(family(self.family).prompt(self.task(place).questions, variant=place))

    def shown(self, place: int) -> Messages:
        """The messages with the pictures in them."""
        content = [{"type": "image", "image": image} for image in self.images(place)]
        *system, user = self.prompt(place)
        return [*system, {"role": "user", "content": [*content, {"type": "text", "text": user["content"]}]}]

    def dataset(self, order: Sequence[int]) -> Dataset:
        """TRL's rows in an `order` of places: `prompt`, `images`, `id`, and the columns of `columns_of`.

        Pictures are made when they are asked for.
        """
        from datasets import Dataset

        def made(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            places = batch["place"]
            columns = [columns_of(self.task(place)) for place in places]
            return {
                "prompt": [self.prompt(place) for place in places],
                "images": [self.images(place) for place in places],
                "id": [self.id(place) for place in places],
                **{name: [one[name] for one in columns] for name in columns[0]},
            }

        return Dataset.from_dict({"place": list(order)}).with_transform(made)


def messages(prompt: Prompt) -> Messages:
    """A prompt as a conversation, without pictures: those stand before the user's text."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.user}]


def columns_of(task: Task) -> dict[str, Any]:
    """A task as columns of a row."""
    return {
        "truth": task.truth.model_dump_json(),
        "questions": list(task.questions),
        "family": task.family,
        "size": list(task.size),
        "choices": json.dumps(dict(task.choices)) if task.choices is not None else None,
    }


def task_of(columns: Mapping[str, Any]) -> Task:
    """The task of `columns_of`."""
    choices = columns["choices"]
    return Task(
        truth=FrameReport.model_validate_json(columns["truth"]),
        questions=tuple(columns["questions"]),
        family=columns["family"],
        size=cast(tuple[int, int], tuple(columns["size"])),
        choices=json.loads(choices) if choices is not None else None,
    )


Columns = Callable[..., list[float | None]]


def reward_columns() -> list[Columns]:
    """REWARDS as TRL calls them: completions and the rows' columns in, one number or None a completion out."""
    return [_columns(reward) for reward in REWARDS]


def _columns(reward: Reward) -> Columns:
    def judged(completions: list[Any], **columns: Any) -> list[float | None]:
        names = ("truth", "questions", "family", "size", "choices")
        found: list[float | None] = []
        for index, completion in enumerate(completions):
            task = task_of({name: columns[name][index] for name in names})
            text = completion if isinstance(completion, str) else completion[-1]["content"]
            found.append(reward(task, read(task, text)))
        return found

    judged.__name__ = reward.__name__
    return judged
