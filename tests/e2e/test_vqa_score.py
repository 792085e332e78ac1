"""`agent vqa` with the real network in the real worker process; the first score exports it (about 25 CPU-s)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import scoring
from agent.cli.main import main
from analysis.vqa import bilivqa
from tests.media import make_clip
from training.data.sample import SampleInfo

if not bilivqa.shipped_weights().is_file():
    pytest.skip("the judging network's weights are not there", allow_module_level=True)


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_sdr_hdr_and_one_frame_get_scores_that_do_not_change(
    sample_info: SampleInfo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample_info.master is not None
    single = make_clip(tmp_path / "one.mp4", duration_s=1 / 24)
    command = ["vqa", "score", str(sample_info.path), str(sample_info.master), str(single), "--json"]
    assert main(command) == 0
    first = [row for row in rows(capsys) if row["type"] == "vqa.score"]
    assert [row["path"] for row in first] == command[2:5]
    for row in first:
        assert all(0 <= value <= 100 for value in (row["score"], *row["heads"].values(), *row["clips"]))
        assert (row["model_hash"], row["preprocessing_hash"]) == (bilivqa.model_hash(), bilivqa.preprocessing_hash())
    assert main([*command[:3], "--json"]) == 0
    assert rows(capsys)[0]["score"] == first[0]["score"]


def flat(level: str) -> Callable[[Path], Path]:
    return lambda folder: make_clip(folder / "flat.mp4", source=f"color=c={level}", duration_s=0.3)


@pytest.mark.parametrize("level", ["black", "white"])
def test_flat_pictures_have_finite_scores(level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa", "score", str(flat(level)(tmp_path)), "--json"]) == 0
    assert 0 <= rows(capsys)[0]["score"] <= 100


def test_what_is_no_video_is_refused_by_the_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(1000))
    assert main(["vqa", "score", str(path)]) == 3
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_a_small_benchmark_from_end_to_end(
    sample_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scoring, "MIN_VIDEOS", 2)
    folder, out = tmp_path / "bench", tmp_path / "map.json"
    folder.mkdir()
    shutil.copy(sample_clip, folder / "sample.mp4")
    make_clip(folder / "drawn.mp4", duration_s=0.3)
    (folder / "notes.mp4").write_text("no video")
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), "--json"]) == 0
    last = rows(capsys)[-1]
    assert (last["n"], len(last["skipped"]), last["model_hash"]) == (2, 1, bilivqa.model_hash())
    assert main(["vqa", "score", str(folder / "drawn.mp4"), "--map", str(out), "--json"]) == 0
    assert rows(capsys)[0]["percentile"] in (pytest.approx(100 / 3), pytest.approx(200 / 3))
