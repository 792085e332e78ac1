"""The native frames of a set, made again and checked, and what the measured rules say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from agent.cli.main import main
from analysis.mllm.diagnostic import picture
from analysis.report import build_report
from analysis.schema import Distortion, Severity
from toolchain.errors import InputError, UsageError
from training.data.mllm_data import MllmDataConfig, build
from training.data.mllm_native import NativeFrames
from training.data.mllm_shards import Line, Shard, read_shard, shards, write_shard
from training.evaluate_files import read_frames
from training.mllm_signals import ENGINE, as_frame_report, measure_split, measured, report_of

RECIPE = "{titles: 0, scenes: 0, charts: 4, photo_views: 0, per_source: {train: 2, test: 1}, shard_sources: 1}"
SMALL = MllmDataConfig(
    titles=0, scenes=0, charts=4, photo_views=0, per_source={"train": 2, "test": 1}, shard_sources=1
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mllm") / "set"
    build(SMALL, folder)
    return folder


@pytest.fixture
def changed(built: Path, tmp_path: Path) -> Path:
    """A copy of the set's first shard, to be spoilt."""
    (tmp_path / "config.sha256").write_bytes((built / "config.sha256").read_bytes())
    path = tmp_path / "train" / "00000.jsonl"
    write_shard(path, read_shard(shards(built, "train")[0]))
    return path


# The frames


def test_the_frames_come_out_as_they_were_stored(built: Path) -> None:
    paths = shards(built, "train")
    frames = NativeFrames(built, SMALL)
    found = [(path, item) for path in paths for item in frames.of(path)]
    assert [item[0] for _, item in found] == [line for path in paths for line in read_shard(path).lines]
    for index, (path, (line, frame)) in enumerate(found):
        assert [frame.shape[1], frame.shape[0]] == line.extra["size"]
        shard = read_shard(path)
        assert np.array_equal(picture(frame), shard.picture[shard.lines.index(line)]), index


@pytest.mark.parametrize("array", ["picture", "statistics"])
def test_a_frame_that_comes_out_otherwise_is_refused(built: Path, changed: Path, array: str) -> None:
    shard = read_shard(changed)
    spoilt = {"picture": shard.picture.copy(), "statistics": shard.statistics.copy()}
    spoilt[array][1, 3, 4, 1] ^= 1
    write_shard(changed, Shard(lines=shard.lines, **spoilt))
    frames = NativeFrames(changed.parent.parent, SMALL).of(changed)
    assert next(frames)[0] == shard.lines[0]
    with pytest.raises(InputError, match=f"{shard.lines[1].id} does not come out"):
        next(frames)


@pytest.mark.parametrize(("name", "said"), [("nobody-00", "no source"), ("chart-0000-xx", "does not come out")])
def test_a_sample_of_no_source_or_number_is_refused(changed: Path, name: str, said: str) -> None:
    shard = read_shard(changed)
    lines = [Line(id=name, source="s", split="train", report=shard.lines[0].report), *shard.lines[1:]]
    write_shard(changed, Shard(shard.picture, shard.statistics, lines))
    with pytest.raises(InputError, match=said):
        next(NativeFrames(changed.parent.parent, SMALL).of(changed))


def test_another_configuration_or_folder_is_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another configuration"):
        NativeFrames(built, SMALL.model_copy(update={"seed": 6}))
    with pytest.raises(InputError, match="no set"):
        NativeFrames(tmp_path, SMALL)


# The rules


def textured(height: int = 180, width: int = 320) -> np.ndarray:
    """A sharp picture of leaves' size and colours, mid-grey on average."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(60, 190, (height // 4, width // 4, 3))
    return np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1).astype(np.uint8)


def kinds(frame: np.ndarray) -> dict[str, str]:
    return {item.type: item.severity for item in report_of(frame).distortions}


def test_a_burnt_out_half_is_overexposed_and_the_sound_one_is_not() -> None:
    frame = textured()
    assert "overexposure" not in kinds(frame)
    frame[:, 160:] = 255
    found = report_of(frame)
    (burnt,) = [item for item in found.distortions if item.type == "overexposure"]
    assert burnt.severity == "severe" and burnt.bbox_1000[0] > 450 and burnt.bbox_1000[2] > 980
    assert found.distortions.index(burnt) in found.key and found.level != "excellent"


def test_one_colour_is_that_single_defect() -> None:
    assert kinds(np.full((180, 320, 3), 90, np.uint8)) == {"meaningless_solid_color": "severe"}


def test_the_picture_is_measured_as_it_is() -> None:
    (shot,) = measured(textured())
    expected = np.percentile(textured() @ np.array([0.2126, 0.7152, 0.0722]) / 255, 50)
    assert shot.signals.p50 == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("severities", "key"),
    [((), ()), (("minor",), (0,)), (("minor", "minor"), (0,)), (("moderate", "minor", "severe"), (0, 2))],
)
def test_the_worst_is_key_where_the_rules_name_none(severities: tuple[Severity, ...], key: tuple[int, ...]) -> None:
    (shot,) = measured(textured())
    rules = build_report(shot.signals)
    named: tuple[Literal[2, 0], ...] = (2, 0) if "severe" in severities else ()
    found = tuple(Distortion(type="noise", severity=item, bbox_1000=(0, 0, 1000, 1000)) for item in severities)
    said = as_frame_report(rules.model_copy(update={"distortions": found, "key_distortions": named}))
    assert said.key == key and said.distortions == found
    assert (said.level, said.score) == (rules.quality.level, rules.quality.score)


# The command


def test_the_rules_answer_for_a_split_and_can_be_evaluated(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.yaml").write_text(RECIPE)
    out = tmp_path / "out"
    asked = ["train", "answer", "--engine", "signals", "--data", str(built), "--split", "train", "--out", str(out)]
    assert main([*asked, "--config", str(tmp_path / "data.yaml")]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    frames = read_frames(out, built / "train")
    assert len(frames) >= 4 and all(frame.found is not None for frame in frames)
    assert json.loads((out / "asked.json").read_text())["engine"] == ENGINE
    first = (out / "00000.jsonl").read_bytes()
    (out / "00001.jsonl").unlink()
    made = NativeFrames(built, SMALL)
    measure_split(made, built, "train", out)
    assert (out / "00001.jsonl").exists() and (out / "00000.jsonl").read_bytes() == first
    assert main(asked) == 2 and "--config" in capsys.readouterr().err
    assert main([*asked[:2], *asked[4:]]) == 2 and "--model" in capsys.readouterr().err
