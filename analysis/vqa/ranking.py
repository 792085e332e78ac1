"""The gain of the judging network: how much less damaged the output looks to it than doing nothing.

Both sides are shown to the same network in the same way, so what it makes of the content falls out of the
difference. It is a distortion-ranking model (`analysis.vqa.bilivqa`), no prediction of what viewers say.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from analysis.vqa.bilivqa import KEY_FRAME, Scorer
from analysis.vqa.display import CLIP_FRAMES, key_picture, motion_picture
from analysis.vqa.metric import MetricSpec, Place
from analysis.vqa.spec import Image
from analysis.vqa.view import View


@dataclass
class _Clip:
    """One side's pictures of a window that is being read."""

    motion: list[Image] = field(default_factory=list)
    key: Image | None = None

    def add(self, rgb_nits: Image) -> None:
        self.motion.append(motion_picture(rgb_nits))
        if len(self.motion) <= KEY_FRAME + 1:
            self.key = rgb_nits

    def pictures(self) -> tuple[Image, Image]:
        assert self.key is not None  # noqa: S101 - a clip is made by its first picture
        motion = self.motion + self.motion[-1:] * (CLIP_FRAMES - len(self.motion))
        return key_picture(self.key), np.stack(motion)


@dataclass
class _Window:
    """Both sides of a window that is being read, its first frame's number, the exposure of doing nothing."""

    first: int
    mid_gain_ev: float
    nothing: _Clip = field(default_factory=_Clip)
    output: _Clip = field(default_factory=_Clip)


@dataclass
class RankingGain:
    """Score of the output less that of the source at the exposure asked for, one value a window, in points of 100.

    Takes every frame of a window, the ones that gates do not measure too; the first 32 count, fewer are continued by
    the last one. Where no exposure was asked for, the source has the output's of the window's first frame throughout:
    one that followed every frame would flicker. A window's small pictures, 10 MB, are in memory until its 32nd frame,
    or till the end where it is shorter.
    """

    _open: dict[tuple[int, int], _Window] = field(default_factory=dict)
    _values: dict[Place, float] = field(default_factory=dict)
    _counts: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _scorer: Scorer | None = None

    def add(self, view: View) -> None:
        place = (view.shot, view.window)
        self._counts[place] += 1
        if self._counts[place] > CLIP_FRAMES:
            return
        if place not in self._open:
            self._open[place] = _Window(view.number, view.mid_gain_ev)
        window = self._open[place]
        window.nothing.add(view.of_source.exposed(window.mid_gain_ev, view.controls.peak_nits).rgb)
        window.output.add(view.output)
        if self._counts[place] == CLIP_FRAMES:
            self._score(place)

    def values(self) -> dict[Place, float]:
        """Every window's gain; what is still open is closed."""
        for place in sorted(self._open):
            self._score(place)
        return dict(self._values)

    def _score(self, place: tuple[int, int]) -> None:
        window = self._open.pop(place)
        self._scorer = self._scorer or Scorer()
        before, after = (
            self._scorer.add_pictures(*place, *side.pictures()).score for side in (window.nothing, window.output)
        )
        self._values[(*place, window.first)] = after - before


GAIN = MetricSpec(
    "ranking_gain", "points of 100", (-100.0, 100.0), "higher", "perceived light (PU21), clips of 32 frames",
    "acceptance", "distortion-ranking score of the output less that of doing nothing", neutral=0.0,
    meter=RankingGain, absent="no clip", stages=("verify",),
)  # fmt: skip
