"""`agent train eval` in process: the track's figures under its names, our own, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.cli.main import main
from agent.engines import shipped_model
from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import family
from analysis.mllm.frame_report import FrameReport
from toolchain.errors import InputError, UsageError
from training.data.mllm_shards import PICTURE_SHAPE, STATISTICS_SHAPE, Line, Shard, shard_path, write_shard

NAMES = ["Perception Accuracy", "Region mAP", "Distortion mAP", "Description mAP", "Key Distortion Accuracy"]
NAMES.append("Image Quality Accuracy")


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """One picture with one defect: level and key right, one of two questions right, no region answered."""
    defect = {"distortion": "Noise", "coordinates": [0, 0, 9, 9], "significance_score": 1}
    described = {"image": "a", "all_distortions": [], "key_distortions": [defect], "image_quality": "good"}
    files = {
        "perception": [{"id": n, "candidates": ["x", "y"], "pred_ans": "A"} for n in (0, 1)],
        "mcq": [{"id": n, "correct_ans": right} for n, right in ((0, "x"), (1, "y"))],
        "grounding": [],
        "description": [described],
        "bench_metadata": [{"image": "a", "level": "good", "distortions": [defect]}],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_the_tracks_metrics_are_printed_under_its_names(track: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["train", "eval", "--format", "vida", "--pred", str(track), "--truth", str(track)]
    assert main([*asked, "--json"]) == 0
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert [record[name] for name in ("Final Score", *NAMES)] == [2.5, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0]
    assert list(record["problems"]) == ["Region mAP"] and "Region mAP is 0" in said.err
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:26].strip() for line in lines[:7]] == [*NAMES, "Final Score"]
    assert lines[0].split()[-1] == "0.500000" and lines[6].split()[-1] == "2.500000"


def test_frames_are_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = FrameReport(dynamic_range="high", contrast="low", distortions=(), key=(), level="good", score=3.8)
    line = {"id": "a", "source": "s", "report": report.model_dump(mode="json")}
    (tmp_path / "0.jsonl").write_text(json.dumps(line), encoding="utf-8")
    asked = ["train", "eval", "--format", "frames", "--pred", str(tmp_path), "--truth", str(tmp_path)]
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["pristine"]["value"] == 1.0
    assert main(asked) == 0
    assert "| pristine frames recognised | 1.000 | - | 1 |" in capsys.readouterr().out
    worse = tmp_path / "worse"
    worse.mkdir()
    (worse / "0.jsonl").write_text(json.dumps({"id": "a", "report": None}), encoding="utf-8")
    assert main([*asked, "--against", str(worse)]) == 0
    assert "| pristine frames recognised | 1.000 | - | 1 | +1.000 | - |" in capsys.readouterr().out
    assert main([*asked, "--against", str(worse), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["against"]["valid"]["value"] == 1.0


class Silent:
    """An engine that answers nothing valid."""

    name = "silent"
    family = family("compact")

    def __init__(self, *asked: object):
        self.asked = asked

    def ask(self, questions: list[FrameQuestion]) -> list[str]:
        return ["" for _ in questions]


def test_a_model_is_asked_about_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = FrameReport(dynamic_range="high", contrast="low", distortions=(), key=(), level="good", score=3.8)
    arrays = np.zeros((1, *PICTURE_SHAPE), np.uint8), np.zeros((1, *STATISTICS_SHAPE), np.uint8)
    data, out = tmp_path / "data", tmp_path / "out"
    shard = Shard(*arrays, [Line(id="a", source="s", split="clips", report=report)])
    write_shard(shard_path(data, "clips", 0), shard)
    monkeypatch.setattr("analysis.mllm.client_local.LocalEngine", Silent)
    asked = ["train", "answer", "--model", str(tmp_path), "--data", str(data), "--out", str(out)]
    assert main([*asked, "--split", "clips"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert main(["train", "eval", "--format", "frames", "--pred", str(out), "--truth", str(data / "clips")]) == 0
    assert "| valid answers | 0.000 | - | 1 |" in capsys.readouterr().out
    assert main(asked) == InputError.exit_code  # the set has no split `test`


def test_the_shipped_model_is_asked_one_question_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = FrameReport(dynamic_range="high", contrast="low", distortions=(), key=(), level="good", score=3.8)
    noise = np.random.default_rng(1)
    arrays = (noise.integers(0, 256, (2, *shape), dtype=np.uint8) for shape in (PICTURE_SHAPE, STATISTICS_SHAPE))
    data, out = tmp_path / "data", tmp_path / "out"
    lines = [Line(id=name, source="s", split="test", report=report) for name in "ab"]
    write_shard(shard_path(data, "test", 0), Shard(*arrays, lines))
    asked = [
        "train",
        "answer",
        "--model",
        str(shipped_model()),
        "--data",
        str(data),
        "--out",
        str(out),
        "--one-by-one",
    ]
    assert main(asked) == 0
    found = [json.loads(line) for line in (out / "00000.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["id"] for item in found] == ["a", "b"] and all(item["report"] for item in found)
    assert json.loads((out / "asked.json").read_text(encoding="utf-8"))["questions"] == "one by one"
    capsys.readouterr()


def test_folders_that_hold_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = str(tmp_path / "none")
    for answer_format, error in (("vida", UsageError), ("frames", InputError)):
        asked = ["train", "eval", "--format", answer_format, "--pred", none, "--truth", none]
        assert main(asked) == error.exit_code
        assert none in capsys.readouterr().err
    asked = ["train", "eval", "--format", "vida", "--pred", none, "--truth", none, "--against", none]
    assert main(asked) == UsageError.exit_code
    assert "--format frames" in capsys.readouterr().err
