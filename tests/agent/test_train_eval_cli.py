"""`agent train eval` in process: the track's figures under its names, our own, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from analysis.mllm.frame_report import FrameReport
from toolchain.errors import InputError, UsageError

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


def test_folders_that_hold_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = str(tmp_path / "none")
    for answer_format, error in (("vida", UsageError), ("frames", InputError)):
        asked = ["train", "eval", "--format", answer_format, "--pred", none, "--truth", none]
        assert main(asked) == error.exit_code
        assert none in capsys.readouterr().err
    asked = ["train", "eval", "--format", "vida", "--pred", none, "--truth", none, "--against", none]
    assert main(asked) == UsageError.exit_code
    assert "--format frames" in capsys.readouterr().err
