"""What the judging network is shown of a window, and how its two scores make a gain. The network is a stand-in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from analysis.vqa import judge as judging
from analysis.vqa.bilivqa import clip_pictures
from analysis.vqa.display import CLIP_FRAMES
from analysis.vqa.judge import Judge
from analysis.vqa.metric import MetricSpec
from analysis.vqa.ranking import RankingGain
from analysis.vqa.registry import stage_metrics
from analysis.vqa.spec import JudgeControls
from analysis.vqa.view import View
from tests.analysis.vqa.pictures import LIMITS, Image, expanded, pair, scene


@dataclass
class _Shown:
    score: float


@dataclass
class _Network:
    """Keeps what it is shown; scores the light of it."""

    clips: list[tuple[Image, Image]] = field(default_factory=list)

    def add_pictures(self, shot: int, clip: int, key: Image, motion: Image) -> _Shown:
        self.clips.append((key, motion))
        return _Shown(100 * float(motion.mean()))


def _seen(frames: int, controls: JudgeControls | None = None, dark: int = 0) -> tuple[RankingGain, _Network]:
    """A window of an expanded scene; the first `dark` frames are far below mid-tones."""
    network = _Network()
    gain = RankingGain(_scorer=network)  # type: ignore[arg-type] - a stand-in
    for number in range(frames):
        source = scene(drift=number % 8) * np.float32(0.001 if number < dark else 1)
        gain.add(View(pair(source, expanded(source * np.float32(2)), number), None, controls))
    return gain, network


@pytest.mark.parametrize("frames", [1, 17, CLIP_FRAMES + 3])
def test_both_sides_are_shown_as_any_clip_is(frames: int):
    gain, network = _seen(frames)
    values = gain.values()
    assert list(values) == [(0, 0, 0)]
    assert gain.values() == values
    sources = [scene(drift=number % 8) for number in range(frames)]
    wanted = [clip_pictures(sources), clip_pictures(expanded(source * np.float32(2)) for source in sources)]
    for (key, motion), (wanted_key, wanted_motion) in zip(network.clips, wanted, strict=True):
        assert np.array_equal(key, wanted_key)
        assert np.array_equal(motion, wanted_motion)
    assert values[0, 0, 0] == pytest.approx(100 * (wanted[1][1].mean() - wanted[0][1].mean()), abs=1e-4)


def test_a_whole_window_leaves_no_picture_behind():
    gain, _ = _seen(CLIP_FRAMES)
    assert not gain._open


def test_doing_nothing_does_not_flicker_where_no_exposure_was_asked_for():
    gain, network = _seen(4, JudgeControls(mid_gain_ev=None), dark=2)
    gain.values()
    nothing = network.clips[0][1].mean(axis=(1, 2, 3))
    source = clip_pictures([scene(drift=number) for number in (2, 3)])[1].mean(axis=(1, 2, 3))
    assert nothing[2:4] == pytest.approx(source[:2], abs=1e-6)


def test_only_what_wants_whole_clips_sees_a_glance(monkeypatch: pytest.MonkeyPatch):
    network = _Network()
    ranking = MetricSpec(
        "seen", "points", (-100, 100), "higher", "light", "description", "a test's",
        meter=lambda: RankingGain(_scorer=network),  # type: ignore[arg-type]
    )  # fmt: skip
    monkeypatch.setattr(judging, "stage_metrics", lambda stage: (*stage_metrics(stage), ranking))
    source = scene()
    measured = [pair(source, expanded(source), number) for number in range(2)]
    ruined = replace(pair(source, source * 0, 2), glance=True)
    alone, together = Judge(LIMITS, JudgeControls()), Judge(LIMITS, JudgeControls())
    for judge, pairs in ((alone, measured), (together, [*measured, ruined])):
        for one in pairs:
            judge.add(one)
    assert alone.gates() == together.gates()
    before, after = alone.metrics(), together.metrics()
    assert before.pop("seen") != after.pop("seen")
    assert before == after
    assert not network.clips[-1][1][2].any()
