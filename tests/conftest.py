"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from analysis.mllm.settings import AnalyserSettings
from analysis.selection import profile
from training.data.sample import SampleInfo, write_sample

load_profile = profile.load_profile


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-networks", action="store_true", help="also the published networks that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all-networks"):
        return
    skip = pytest.mark.skip(reason="takes minutes and the published weights: run by `make conformance`")
    for item in items:
        if item.get_closest_marker("all_networks"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's weights and compiled networks are neither seen nor added to: tests begin with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDR2HDR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def measured_analyser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of tests ask no model unless the test is marked `model_analyser`: to load one takes each job 5 CPU-s."""
    if request.node.get_closest_marker("model_analyser"):
        return
    monkeypatch.setattr(profile, "load_profile", _measuring)


@cache
def _measuring(name: str) -> profile.Profile:
    return load_profile(name).model_copy(update={"analyser": AnalyserSettings(engine="signals")})


@pytest.fixture(scope="session")
def sample_info(tmp_path_factory: pytest.TempPathFactory) -> SampleInfo:
    """A small sample with its lossless PQ master: three shots of 14 frames at 24 fps. Not to be changed by tests."""
    folder: Path = tmp_path_factory.mktemp("sample")
    return write_sample(
        folder / "sample.mp4", master=folder / "master.mkv", width=320, height=180, seconds_per_shot=0.6
    )


@pytest.fixture(scope="session")
def sample_clip(sample_info: SampleInfo) -> Path:
    """The SDR clip of `sample_info`: 320x180 H.264, a tone and one caption a shot."""
    return sample_info.path
