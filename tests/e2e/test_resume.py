"""kill -9 at any moment, half of them once the render began: the same file as an uninterrupted run, never a part."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.data.sample import write_sample

KILLS = 10
SEED = 20261120


def agent(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent", *arguments]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SDR2HDR_HOME": str(home)}


@pytest.fixture(scope="module")
def long_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shots of 4.1 s: three segments, so that a kill may fall before, between and after them."""
    path = tmp_path_factory.mktemp("resume") / "in.mp4"
    write_sample(path, width=256, height=144, seconds_per_shot=4.1)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rendering(folder: Path) -> bool:
    """Segments, finished or not, lie in the run's work folder."""
    return any((folder / "home" / "runs").glob("*/work/segments/*/*"))


@pytest.mark.slow
def test_killed_runs_resume_to_the_identical_file(long_sample: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    reference = whole / "out.mp4"
    arguments = ["process", str(long_sample), "-o"]
    options = ["--profile", "fast", "--model", "spline"]
    started = time.monotonic()
    first = subprocess.run(
        agent(whole, *arguments, str(reference), *options),
        env=environment(whole / "home"), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    duration_s = time.monotonic() - started
    assert first.returncode == 0, first.stderr
    draw = random.Random(SEED)
    moments = [(number % 2 == 0, draw.uniform(0.0, 0.45 * duration_s)) for number in range(KILLS)]
    inside_render = 0
    for number, (from_render_on, moment) in enumerate(moments):
        folder = tmp_path / f"kill{number}"
        folder.mkdir()
        output = folder / "out.mp4"
        home = environment(folder / "home")
        process = subprocess.Popen(
            agent(folder, *arguments, str(output), *options), env=home, stderr=subprocess.DEVNULL
        )
        while from_render_on and process.poll() is None and not rendering(folder):
            time.sleep(0.01)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        inside_render += rendering(folder)
        if output.exists():
            assert digest(output) == digest(reference)
        listing = subprocess.run(
            agent(folder, "runs", "list"), env=home, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        found = re.match(r"([0-9a-f]{16}) .*? (killed|delivered)", listing)
        command = ["runs", "resume", found[1]] if found and found[2] == "killed" else None
        if command is None and not output.exists():
            command = [*arguments, str(output), *options]  # killed before the run was written down
        if command:
            resumed = subprocess.run(agent(folder, *command), env=home, capture_output=True, text=True, timeout=300)
            assert resumed.returncode == 0, (moment, resumed.stderr)
        assert digest(output) == digest(reference), f"killed after {moment:.2f} s of {duration_s:.2f} s"
        left = {path.name for path in folder.iterdir()}
        assert left == {"home", "out.mp4", "out.mp4.manifest.json"}, left
    assert inside_render >= 3, "hardly a kill fell into the render: the moments no longer fit the speed"


def test_ctrl_c_says_how_to_go_on(long_sample: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    process = subprocess.Popen(
        agent(tmp_path, "process", str(long_sample), "-o", str(output), "--profile", "fast"),
        env=environment(tmp_path / "home"), stderr=subprocess.PIPE, text=True,
        # A shell starts background jobs with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    assert any(line.startswith("Rendering") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"agent runs resume [0-9a-f]{16}", stderr)
    assert not output.exists()
