"""Where in a clip a damage is done, and what it may know of it."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.vqa.spec import Image


@dataclass(frozen=True)
class Place:
    """Shot and frame within the shot, counted from 0; the frame's source and graphics mask; and the shot's first
    frame, source and good output, by which thresholds are set once a shot. `faces`: the clip shows some. Pictures in
    BT.2020 nits."""

    shot: int
    frame: int
    source: Image
    graphics: Image
    first_source: Image
    first_output: Image
    faces: bool = False

    @property
    def seed(self) -> int:
        """Differs from frame to frame, the same at every run."""
        return 1000 * self.shot + self.frame
