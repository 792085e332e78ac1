"""`agent train data` in process: a small set, progress as NDJSON, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from training.data.mllm_shards import manifest, samples

SMALL = "{titles: 0, scenes: 0, charts: 4, photo_views: 0, per_source: {train: 2, validation: 2, test: 2, clips: 2}}"


def test_a_set_is_made_and_its_place_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.yaml").write_text(SMALL)
    asked = ["train", "data", "--config", str(tmp_path / "data.yaml"), "--out", str(tmp_path / "set")]
    assert main([*asked, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["output"] == str(tmp_path / "set")
    assert any(event.get("unit") == "shards" for event in events)
    counts = manifest(tmp_path / "set")["counts"]["samples"]
    assert sum(counts.values()) == sum(1 for split in counts for _ in samples(tmp_path / "set", split)) > 0


def test_photographs_that_are_not_there_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SDR2HDR_DATA", raising=False)
    (tmp_path / "data.yaml").write_text("photo_views: 2\n")
    code = main(["train", "data", "--config", str(tmp_path / "data.yaml"), "--out", str(tmp_path / "set")])
    assert code == 2 and "photo_views: 0" in capsys.readouterr().err
