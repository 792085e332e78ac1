"""The time that `agent plan` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.estimate import OPEN_MODEL_S, START_S, estimate_s
from analysis.mllm.settings import AnalyserSettings
from analysis.selection.profile import load_profile
from tests.media import make_clip
from toolchain.video.probe import probe


def test_more_pixels_take_longer_and_more_cores_less(tmp_path: Path) -> None:
    profile = load_profile("fast")
    small, large = (probe(make_clip(tmp_path / f"{size}.mp4", size=size)) for size in ("64x48", "256x192"))
    times = [estimate_s(facts, profile, cores) - START_S for facts, cores in ((small, 2), (large, 2), (large, 4))]
    assert times[1] == pytest.approx(16 * times[0]) and times[2] == pytest.approx(times[1] / 2)


def test_opening_a_model_counts(tmp_path: Path) -> None:
    profile = load_profile("balanced")
    measured = profile.model_copy(update={"analyser": AnalyserSettings(engine="signals")})
    facts = probe(make_clip(tmp_path / "clip.mp4"))
    assert profile.analyser.engine == "local"
    assert estimate_s(facts, profile, 2) == pytest.approx(estimate_s(facts, measured, 2) + OPEN_MODEL_S)
