"""Opinion scores from a CSV: small real videos are decoded, split and trained on; what is wrong is named."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from agent.cli.main import main
from analysis.vqa.bilivqa import load_weights
from tests.media import make_clip
from toolchain.errors import InputError
from toolchain.events import Event, Warned
from training import vqa
from training.vqa_mos import MosConfig, import_mos, read_opinions

FEW = MosConfig(clips=2, least_videos=3, validation_share=0.3, test_share=0.3)


def table(path: Path, lines: Sequence[Sequence[object]], columns: Sequence[str] = ("flickr_id", "mos")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for index in range(5):
        make_clip(folder / f"{index}.mp4", size="64x48", duration_s=1.5 if index else 0.1, rate=25)
    return folder


def test_videos_become_clips_with_one_label(videos: Path, tmp_path: Path) -> None:
    lines = [[i, 1 + i, 0.5, split] for i, split in enumerate(["train", "train", "val", "test", "training"])]
    given = table(tmp_path / "konvid.csv", lines, ("flickr_id", "MOS", "std", "split"))
    data = import_mos(given, videos, tmp_path / "clips", FEW, lambda _: None)
    assert {split: len({r.title for r in data.rows(split)}) for split in ("train", "validation", "test")} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    by_name = {row.origin: row for row in data.rows("train", "mos")}
    assert by_name["0.mp4"].labels == {"mos": 0.0}
    assert by_name["4.mp4"].labels == {"mos": 1.0}
    assert by_name["1.mp4"].raw == {"mos": 2.0, "std": 0.5}
    assert data.motion(by_name["0.mp4"]).shape == (32, 72, 128, 3)  # three frames, the last one held
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "clips").rglob("*.npy")}
    import_mos(given, videos, tmp_path / "clips", FEW, lambda _: None)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "clips").rglob("*.npy")}


def test_videos_without_a_split_keep_theirs_whatever_is_added(videos: Path, tmp_path: Path) -> None:
    few, more = ([[i, i] for i in range(count)] for count in (3, 5))
    first = read_opinions(table(tmp_path / "a.csv", few), videos, FEW)
    second = read_opinions(table(tmp_path / "b.csv", more), videos, FEW)
    assert [o.split for o in first] == [o.split for o in second][:3]


@pytest.mark.parametrize(
    ("columns", "line", "says"),
    [
        (("flickr_id", "score"), ["0", "3"], "one named mos is needed"),
        (("id", "mos"), ["0", "3"], "one named flickr_id or name"),
        (("name", "mos"), ["0", "good"], "line 2: mos is 'good', a number is needed"),
        (("name", "mos"), ["0", "nan"], "line 2: mos is 'nan', a number is needed"),
        (("name", "mos"), ["gone", "3"], "line 2: there is no video 'gone'"),
        (("name", "mos"), ["../0", "3"], "is no name of a file below"),
        (("name", "mos", "split"), ["0", "3", "dev"], "split 'dev' is none of"),
    ],
)
def test_a_csv_that_does_not_fit_is_named_by_line_and_column(
    columns: tuple[str, ...], line: list[str], says: str, videos: Path, tmp_path: Path
) -> None:
    given = table(tmp_path / "mos.csv", [line] * 3, columns)
    with pytest.raises(InputError, match=says):
        read_opinions(given, videos, FEW)


def test_too_few_videos_and_a_scale_that_does_not_fit_are_refused(videos: Path, tmp_path: Path) -> None:
    given = table(tmp_path / "mos.csv", [[i, i] for i in range(4)])
    with pytest.raises(InputError, match="names 4 videos: at least 20 are needed"):
        read_opinions(given, videos, MosConfig())
    with pytest.raises(InputError, match=r"set `mos\.scale` right"):
        import_mos(given, videos, tmp_path / "out", FEW.model_copy(update={"scale": (1.0, 5.0)}), lambda _: None)
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        read_opinions(tmp_path / "none.csv", videos, FEW)


def test_a_video_that_does_not_decode_is_left_out_and_told(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for index in range(3):
        (tmp_path / f"{index}.mp4").symlink_to(videos / f"{index}.mp4")
    given = table(tmp_path / "mos.csv", [[0, 1], [1, 2], [2, 3], ["broken", 4]])
    told: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Warned):
            told.append(event.message)

    data = import_mos(given, None, tmp_path / "out", FEW, hear)
    assert len(data.titles) == 3
    assert len(told) == 1
    assert "broken.mp4" in told[0]


def test_the_command_trains_on_opinion_scores(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vqa, "SETTLED_ON", 4)
    threads = torch.get_num_threads()
    lines = [[i, 1 + i, split] for i, split in enumerate(["train", "train", "val", "val", "test"])]
    given = table(tmp_path / "konvid.csv", lines, ("flickr_id", "mos", "split"))
    recipe = {
        "steps": 1,
        "batch": 2,
        "group": 2,
        "learning_rate": 0.001,
        "windows": [{"from_step": 0, "key": [64, 64], "frames": 8, "motion": [32, 32]}],
        "validate_every": 1,
        "mos": {"clips": 1, "least_videos": 3},
    }
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["train", "vqa", "--config", str(config), "--data", str(given), "--videos", str(videos)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert load_weights(out / "bilivqa.safetensors").heads == ("mos-konvid",)
    torch.set_num_threads(threads)
