"""Networks do whole jobs: those that ship on any machine, published ones where their weights lie."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from agent.cli.main import main
from benchmarks.verifier_cases import videos
from tests.catalogue import installed
from toolchain.video.probe import probe
from training.data.clip_writer import SDR_H264, ClipWriter
from training.data.frames import to_yuv420

ON_TORCH = ["--runtime", "torch"]
SHIPPED: tuple[tuple[str, list[str], list[str]], ...] = (
    ("lumen-fixed", [], []),
    ("lumen-shot", [], ["lumen-shot condition runs on openvino"]),
    (
        "lumen-local",
        ON_TORCH,
        ["lumen-local condition runs on torch", "lumen-shot condition runs on torch"],
    ),
)
"""Model, options, and what is told of where its networks ran."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))


def manifest_of(output: Path) -> dict:
    return json.loads(output.with_name(output.name + ".manifest.json").read_text())


@pytest.fixture(scope="module")
def cartoon_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn cartoon that all three suit; of the sample they may make too much, and are turned down."""
    video = next(video for video in videos(Path("no photographs"), "test") if video.name == "cartoon-2")
    path = tmp_path_factory.mktemp("cartoon") / "cartoon.mp4"
    shots = [pair.sdr for pair in video.pairs()]
    size = (shots[0].shape[2], shots[0].shape[1])
    with ClipWriter(path, "mp4", SDR_H264, size, Fraction(24)) as clip:
        for picture in (picture for shot in shots for picture in shot):
            clip.write(to_yuv420(picture, "bt709", 8))
    return path


@pytest.mark.parametrize(("model_id", "options", "told"), SHIPPED)
def test_our_own_models_deliver_a_cartoon(
    model_id: str, options: list[str], told: list[str], cartoon_clip: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    command = ["process", str(cartoon_clip), "-o", str(output), "--profile", "fast", "--model", model_id]
    assert main([*command, *options]) == 0
    video = probe(output).video
    assert video is not None and video.hdr == "pq"
    ran = manifest_of(output)["rendered"]["runtimes"]
    assert len(ran) == len(told)
    assert all(any(sentence in line for line in ran) for sentence in told), ran


def test_a_published_model_does_a_job_on_the_runtime_asked_for(cartoon_clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with installed(tmp_path / "cache", "agcm"):
        asked = ["--profile", "fast", "--model", "agcm", "--runtime", "onnxruntime"]
        code = main(["process", str(cartoon_clip), "-o", str(output), *asked])
    assert code == 0
    assert "agcm render runs on onnxruntime, as asked" in " ".join(manifest_of(output)["rendered"]["runtimes"])


def test_a_model_that_is_not_installed_is_refused_with_the_remedy(
    sample_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path / "empty"))
    assert main(["process", str(sample_clip), "-o", str(tmp_path / "out.mp4"), "--model", "lsn"]) == 5
    assert "agent models pull lsn" in capsys.readouterr().err


def test_a_damaged_clip_is_cleaned_by_a_network_in_the_profile_that_affords_it(
    sample_clip: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.mp4"
    stream = ffmpeg.input(str(sample_clip)).video.filter("noise", alls=28, allf="t")
    command = ffmpeg.output(stream, str(damaged), vcodec="libx264", crf=14).compile(
        cmd=imageio_ffmpeg.get_ffmpeg_exe()
    )
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    output = tmp_path / "out.mp4"
    assert main(["process", str(damaged), "-o", str(output), "--profile", "best", "--model", "lumen-fixed"]) in (0, 4)
    records = [json.loads(line) for line in (tmp_path / "home" / "decisions.jsonl").read_text().splitlines()]
    assert [step["model_id"] for step in records[-1]["plan"]["restore"]] == ["codec-clean"]
