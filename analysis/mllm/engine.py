"""What every engine offers: pictures in, the model's own words out. Reading the words is the family's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from analysis.mllm.families import Family

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class FrameQuestion:
    """One frame as its family shows it; the engine adds the family's prompt.

    `attempt`: 0 asks for the most likely answer; a later one, after an answer that did not validate, for another.
    """

    images: tuple[Image, ...]
    attempt: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame as it is shown."""
        return self.images[0].size


class Engine(Protocol):
    """Asks one model. `name` identifies engine and model in the run's record."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> Family: ...

    def ask(self, questions: Sequence[FrameQuestion]) -> list[str]:
        """One answer a question, in order, as the model wrote it.

        Raises EnvironmentNotReady where the model cannot be reached or run.
        """
        ...
