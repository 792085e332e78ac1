"""A model that makes pictures worse stands in the catalogue like any other, and is never delivered.

The catalogue is data of the packages, so the tests run the program from a copy of them that has one model more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "analysis", "configs", "toolchain")

SHEET = """
id: glare
title: "Every tone above a dim grey raised until it glares"
task: sdr2hdr
source: "made for this test"
licence: none
pointwise: true
adaptive: true
cost_class: free
suits: [anything]
parameters:
  peak_nits: {default: 1000, minimum: 203, maximum: 10000, unit: nits, help: "light is cut here"}
  mid_gain_ev: {default: 0, minimum: -2, maximum: 2, unit: EV, help: "mid-tones"}
"""

# Mid-tones stay where they are asked to be, so that no gate of exposure can speak for the others.
MODEL = """
import numpy as np

from toolchain.models.curves import luminance


class Glare:
    def __init__(self, spec):
        self.spec = spec

    def bind(self, shot, controls):
        def expand(rgb):
            signal = luminance(np.asarray(rgb, np.float64))[..., None]
            gain = np.where(signal > 0.3, (np.maximum(signal, 1e-6) / 0.3) ** {power}, 1.0)
            return np.minimum(203.0 * rgb * gain, controls.peak_nits)

        return expand
"""


@pytest.fixture(scope="module", params=[1.2, 3.0], ids=["half a stop too bright above", "all highlights at the peak"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with the model `glare`, the planner's favourite."""
    copy = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "configs" / "models" / "glare.yaml").write_text(SHEET)
    (copy / "toolchain" / "models" / "glare.py").write_text(MODEL.replace("{power}", str(request.param)))
    replace_once(
        copy / "toolchain" / "models" / "registry.py",
        '    ("spline", Spline),\n',
        '    ("spline", Spline),\n    ("glare", __import__("toolchain.models.glare", fromlist=["Glare"]).Glare),\n',
    )
    replace_once(
        copy / "analysis" / "selection" / "rules.py", "BASE_SCORE = {\n", 'BASE_SCORE = {\n    "glare": 9.0,\n'
    )
    return copy


def replace_once(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def agent(tree: Path, folder: Path, *arguments: str) -> tuple[int, list[dict]]:
    """Exit code and the events of a command run from the tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "SDR2HDR_HOME": str(folder / "home")}
    command = [sys.executable, "-P", "-m", "agent", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def manifest_of(output: Path) -> dict:
    return json.loads(output.with_name(output.name + ".manifest.json").read_text())


def test_the_copy_is_what_runs(tree: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    show = [sys.executable, "-P", "-m", "agent", "models", "show", "glare"]
    done = subprocess.run(show, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert "glares" in done.stdout, done.stderr


def test_a_job_passes_it_over_and_delivers_another_model(tree: Path, tmp_path: Path, sample_clip: Path) -> None:
    output = tmp_path / "out.mp4"
    code, events = agent(tree, tmp_path, "process", str(sample_clip), "-o", str(output), "--profile", "balanced")
    assert code == 0, events[-1]
    manifest = manifest_of(output)
    tried = {verdict["model_id"]: verdict for verdict in manifest["pilot"]}
    assert tried["glare"]["outcome"] != "accept"
    assert manifest["model"] != "glare"


def test_asked_for_by_name_it_leaves_the_original(tree: Path, tmp_path: Path, sample_clip: Path) -> None:
    output = tmp_path / "out.mp4"
    code, events = agent(tree, tmp_path, "process", str(sample_clip), "-o", str(output), "--model", "glare")
    assert code == 4
    assert events[-1]["type"] == "job.kept_original"
    assert not output.exists()
