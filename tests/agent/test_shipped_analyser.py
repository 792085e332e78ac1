"""The analyser that comes with the product: what ships, that the profiles use it, and what happens without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from agent.cli.main import main
from agent.engines import open_engine, shipped_model
from agent.store import RunStore
from analysis.mllm.analyser import read_answers
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.settings import AnalyserSettings
from analysis.schema import Analysis
from analysis.selection.profile import load_profile, profile_names
from toolchain.files import sha256_file

LIMIT_BYTES = 40_000_000


def _folder() -> Path:
    folder = shipped_model()
    assert folder is not None
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))


def test_the_weights_are_small_and_the_ones_that_were_exported() -> None:
    folder = _folder()
    hashes = json.loads((folder / "hashes.json").read_text())
    assert hashes == {name: sha256_file(folder / name) for name in hashes}
    assert {"model.safetensors", "config.json", "cell_head.tensors"} <= set(hashes)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LIMIT_BYTES
    # vLLM takes every file of that ending for the model's: another one, and no server starts.
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]
    with safe_open(folder / "model.safetensors", "pt") as file:
        sizes = [int(np.prod(file.get_slice(name).get_shape())) for name in file.keys()]  # noqa: SIM118 - no mapping
    assert 5e6 <= sum(sizes) <= 20e6


@pytest.mark.model_analyser
def test_every_profile_but_the_fast_one_asks_the_model_and_falls_back_to_measured_signals() -> None:
    engines = {name: load_profile(name).analyser.engine for name in profile_names()}
    assert engines == {"balanced": "local", "best": "local", "broadcast": "local", "fast": "signals"}
    assert {load_profile(name).analyser.fallback for name in profile_names()} == {"signals"}


def test_whatever_it_is_shown_its_answers_are_valid() -> None:
    engine, rng = open_engine(AnalyserSettings(engine="local")), np.random.default_rng(0)
    frames = [
        np.zeros((360, 640, 3), np.uint8),
        np.full((360, 640, 3), 255, np.uint8),
        rng.integers(0, 256, (360, 640, 3), dtype=np.uint8),
        np.broadcast_to(np.linspace(0, 255, 640).astype(np.uint8)[None, :, None], (360, 640, 3)).copy(),
        rng.integers(0, 256, (72, 128, 3), dtype=np.uint8),
    ]
    answers = read_answers(engine, [FrameQuestion(engine.family.images(frame)) for frame in frames])
    assert all(answer.report is not None and not answer.asked_again for answer in answers)


@pytest.mark.model_analyser
def test_a_job_asks_it_by_default_and_says_so(sample_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(sample_clip), "--json"]) == 0
    name = open_engine(AnalyserSettings(engine="local")).name
    assert Analysis.model_validate_json(capsys.readouterr().out).analyser == f"mllm-1 {name}"
    runs, _ = RunStore().runs()
    analysed = json.loads((runs[0].folder / "outcome.json").read_text())["analyser"]
    assert (analysed["engine"], analysed["fell_back"]) == (name, "")
    assert analysed["frames"] > 0


def test_without_its_weights_a_job_measures_and_says_so(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["analyze", str(sample_clip), "--engine", "local", "--engine-model", str(tmp_path)]
    assert main(asked) == 0
    assert "the engine local gave no report" in capsys.readouterr().err
    runs, _ = RunStore().runs()
    analysed = json.loads((runs[0].folder / "outcome.json").read_text())["analyser"]
    assert analysed["engine"] == "signals" and "holds no model" in analysed["fell_back"]
    assert main([*asked, "--fallback", "none"]) == 5
