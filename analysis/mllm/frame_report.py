"""What a multimodal model says of one picture. What can be measured (stops, clipping, faces) is not in it."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.schema import Distortion, Grade
from toolchain.errors import AgentError

Contrast = Literal["low", "medium", "high"]
Level = Literal["bad", "poor", "fair", "good", "excellent"]
GRADES: tuple[Grade, ...] = get_args(Grade)
CONTRASTS: tuple[Contrast, ...] = get_args(Contrast)
LEVELS: tuple[Level, ...] = get_args(Level)
"""Worst first."""
WORST_SCORE, BEST_SCORE = 1.0, 5.0
LEVEL_STEP = (BEST_SCORE - WORST_SCORE) / len(LEVELS)
MAX_DISTORTIONS = 16
_STRAY = 1.5 * LEVEL_STEP  # from a level's middle to the far edge of the level beside it


class AnswerError(AgentError):
    """What a model wrote is not an answer: asking again may help, repairing it is not allowed."""


class FrameReport(BaseModel):
    """One picture's grades and defects. The order of the fields is the order in which a model writes them.

    Boxes have 0 <= x0 < x1 <= 1000, and the same for y. `key` names the worst defects: at least one where there is
    any. `score` (1 worst, 5 best) refines `level` and may stray into the level beside it, no farther.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dynamic_range: Grade
    contrast: Contrast
    distortions: tuple[Distortion, ...] = Field(max_length=MAX_DISTORTIONS)
    key: tuple[int, ...] = Field(description="indices into `distortions` of the worst ones, ascending")
    level: Level
    score: float = Field(ge=WORST_SCORE, le=BEST_SCORE)

    @model_validator(mode="after")
    def _boxes_have_area(self) -> Self:
        for item in self.distortions:
            x0, y0, x1, y1 = item.bbox_1000
            if not (0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000):
                raise ValueError(f"box {item.bbox_1000} of {item.type} is not 0 <= x0 < x1 <= 1000, y likewise")
        return self

    @model_validator(mode="after")
    def _key_points_at_distortions(self) -> Self:
        if list(self.key) != sorted(set(self.key)) or any(not 0 <= i < len(self.distortions) for i in self.key):
            raise ValueError(f"key {self.key} is not ascending indices of {len(self.distortions)} distortions")
        if bool(self.key) != bool(self.distortions):
            raise ValueError("a picture with distortions names at least one key distortion, one without names none")
        return self

    @model_validator(mode="after")
    def _score_fits_level(self) -> Self:
        if abs(self.score - middle_score(self.level)) > _STRAY + 1e-9:
            raise ValueError(f"score {self.score} is more than one level from {self.level!r}")
        return self


def level_of(score: float) -> Level:
    """The level of a score in 1..5: five bands of 0.8, a band's lower end belongs to it."""
    limits = [round(WORST_SCORE + LEVEL_STEP * step, 6) for step in range(1, len(LEVELS))]
    return LEVELS[sum(score >= limit for limit in limits)]


def middle_score(level: Level) -> float:
    """The score in the middle of a level's band: 1.4, 2.2, 3.0, 3.8, 4.6."""
    return round(WORST_SCORE + LEVEL_STEP * (LEVELS.index(level) + 0.5), 6)
