"""The judging network with the weights that ship: its size, its numbers on every runtime, and what it ranks.

Exported graphs are kept in pytest's cache folder: the first run exports them, later ones only compare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.vqa.bilivqa import MODEL_ID, Scorer, shipped_model, shipped_weights
from toolchain.models.networks.bilivqa import KEY_SHAPE, MOTION_SHAPE, BilivqaNetwork
from toolchain.runtimes.base import RUNTIME_NAMES, LoadedNetwork, RuntimeName, SessionOptions
from toolchain.runtimes.parity import measure_parity
from toolchain.runtimes.registry import get_runtime
from training.data.vqa_damages import damaged
from training.data.vqa_media import HDR, Clip
from training.data.vqa_sources import drawn_titles
from training.data.vqa_versions import graded_pair

PARITY = 1e-3
LARGEST_FILE = 15_000_000
PARAMETERS = 900_000
SEVERE = ("grain", "blur", "blocks", "banding", "flicker")
"""Not over-expansion: labels forgive a choice of tones until much is lost, and so does the network (card)."""


@pytest.fixture(scope="module")
def engines(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("engines")


def test_the_network_stays_small() -> None:
    assert sum(part.numel() for part in BilivqaNetwork(3).parameters()) <= PARAMETERS
    assert shipped_weights().stat().st_size <= LARGEST_FILE
    assert shipped_model().heads == ("colour", "structure", "detail")


@pytest.mark.parametrize("runtime", RUNTIME_NAMES)
def test_every_runtime_gives_the_network_s_scores(runtime: RuntimeName, engines: Path) -> None:
    ready = get_runtime(runtime).available()
    if not ready.ready:
        pytest.skip(f"{runtime} cannot run here: {ready.reason}")
    model = shipped_model()
    loaded = LoadedNetwork(MODEL_ID, model.network, model.sha256)
    session = get_runtime(runtime).open(loaded, "score", SessionOptions(threads=1), engines)
    assert measure_parity(session, model.network, "score").to_float64 <= PARITY
    both = {
        "key": np.random.default_rng(1).random((2, *KEY_SHAPE), np.float32),
        "motion": np.random.default_rng(2).random((2, *MOTION_SHAPE), np.float32),
    }
    alone = [session.run({name: array[i : i + 1] for name, array in both.items()})["scores"][0] for i in (0, 1)]
    np.testing.assert_allclose(session.run(both)["scores"], alone, atol=PARITY)


@pytest.mark.slow
@pytest.mark.parametrize("number", [400, 411])
def test_clean_titles_it_has_never_seen_stand_above_severe_damage(number: int) -> None:
    title = drawn_titles(number + 1, seed=7)[number]  # the training set holds none from 360 on
    rng = np.random.default_rng(number)
    clean = HDR.signal(graded_pair(title.render(), rng).master)
    scorer = Scorer(runtime="torch")

    def score(signal: Clip) -> float:
        return scorer.add(0, 0, (HDR.light(picture) for picture in signal)).score

    best = score(clean)
    worse = {kind: score(damaged(clean, HDR, kind, "severe", rng)) for kind in SEVERE}
    assert all(value < best for value in worse.values()), f"clean {best:.1f}, severe {worse}"
