"""Shots: the types every later step shares. Detection lives in `scan` (same package)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Shot(BaseModel):
    """A run of frames between two cuts. Frame numbers count decoded frames in presentation order from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    start_frame: int
    end_frame: int = Field(description="exclusive")
    hard_cut: bool = Field(
        description="a detected cut starts it; False for the first shot and for splits of long ones"
    )
    key_frames: tuple[int, ...] = Field(description="one to three frame numbers that speak for the shot")

    @property
    def frame_count(self) -> int:
        return self.end_frame - self.start_frame
