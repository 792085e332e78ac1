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
class RankingGain:
    """Score of the output less that of the source at the exposure asked for, one value a window, in points of 100.

    Takes every frame of a window, the ones that gates do not measure too; the first 32 count, fewer are continued by
    the last one. One window's small pictures are in memory at a time, where windows come one after another.
    """

    _open: dict[tuple[int, int], tuple[_Clip, _Clip, int]] = field(default_factory=dict)
    _values: dict[Place, float] = field(default_factory=dict)
    _counts: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _scorer: Scorer | None = None

    def add(self, view: View) -> None:
        window = (view.shot, view.window)
        self._counts[window] += 1
        if self._counts[window] > CLIP_FRAMES:
            return
        nothing, output, _ = self._open.setdefault(window, (_Clip(), _Clip(), view.number))
        nothing.add(view.reference.rgb)
        output.add(view.output)
        if self._counts[window] == CLIP_FRAMES:
            self._score(window)

    def values(self) -> dict[Place, float]:
        """Every window's gain; what is still open is closed."""
        for window in sorted(self._open):
            self._score(window)
        return dict(self._values)

    def _score(self, window: tuple[int, int]) -> None:
        nothing, output, first = self._open.pop(window)
        self._scorer = self._scorer or Scorer()
        before, after = (self._scorer.add_pictures(*window, *side.pictures()).score for side in (nothing, output))
        self._values[(*window, first)] = after - before


GAIN = MetricSpec(
    "ranking_gain", "points of 100", (-100.0, 100.0), "higher", "perceived light (PU21), clips of 32 frames",
    "acceptance", "distortion-ranking score of the output less that of doing nothing", neutral=0.0,
    meter=RankingGain, absent="no clip", stages=("verify",),
)  # fmt: skip
