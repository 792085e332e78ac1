"""The analyser's training set: built small, resumed, read back; every picture in one split alone."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.mllm.code import encode
from analysis.mllm.diagnostic import mosaic
from tests.shared_data import shared_data
from toolchain.errors import InputError, UsageError
from training.data import mllm_data
from training.data.mllm_clips import RUN
from training.data.mllm_data import MllmDataConfig, build, build_from_yaml
from training.data.mllm_labels import grades, master_stops
from training.data.mllm_sample import make_coded_sample, make_sample
from training.data.mllm_shards import Line, Shard, manifest, read_shard, samples, shard_path, shards, write_shard
from training.data.mllm_sources import Source, clip_sources, drawn_sources, image_sources, photo_sources, split_of

SMALL = MllmDataConfig(
    titles=0, scenes=0, charts=4, photo_views=0, per_source={"train": 3, "validation": 2, "test": 2}, shard_sources=2
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mllm")
    build(SMALL, folder)
    return folder


def test_the_recipe_in_the_repository_is_one(tmp_path: Path) -> None:
    from training.recipe import load_recipe

    config = load_recipe(Path("configs/training/mllm_data.yaml"), MllmDataConfig, "the analyser's training set")
    assert config.titles * config.per_source["train"] >= 30_000 and config.shares[0] >= 0.3
    (tmp_path / "wrong.yaml").write_text("tiles: 3\n")
    with pytest.raises(UsageError, match="tiles"):
        build_from_yaml(tmp_path / "wrong.yaml", tmp_path / "out")


def test_what_was_built_can_be_read(built: Path) -> None:
    found = list(samples(built, "train"))
    assert len(found) == manifest(built)["counts"]["samples"]["train"] >= 4
    for picture, statistics, line in found:
        assert picture.shape == (140, 224, 3) and statistics.shape == (9, 16, 48)
        assert encode(line.report)
        assert line.split == "train" == split_of(line.source)
    shard = read_shard(shards(built, "train")[0])
    assert np.array_equal(shard.diagnostic(0), mosaic(shard.statistics[0]))
    card = (built / "README.md").read_text()
    assert "train" in card and manifest(built)["sha256"] in card


def test_a_stopped_build_goes_on_and_gives_the_same(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int, name: str) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        build(SMALL, tmp_path, progress=stop)
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(InputError, match="not a finished set"):
        manifest(tmp_path)
    made = []
    real = mllm_data._shard
    monkeypatch.setattr(mllm_data, "_shard", lambda config, job: made.append(job) or real(config, job))
    again = build(SMALL, tmp_path)
    assert len(made) == len(again["files"]) // 2 - 1
    lines = {name: digest for name, digest in again["files"].items() if name.endswith(".jsonl")}
    assert lines == {n: d for n, d in manifest(built)["files"].items() if n.endswith(".jsonl")}
    for path in shards(built, "train"):
        ours, theirs = read_shard(path), read_shard(tmp_path / path.relative_to(built))
        assert np.array_equal(ours.statistics, theirs.statistics) and np.array_equal(ours.picture, theirs.picture)


def test_another_configuration_is_refused(built: Path) -> None:
    with pytest.raises(UsageError, match="another configuration"):
        build(SMALL.model_copy(update={"seed": 6}), built)


def test_a_broken_shard_is_refused(built: Path, tmp_path: Path) -> None:
    shard = read_shard(shards(built, "train")[0])
    path = shard_path(tmp_path, "train", 0)
    write_shard(path, Shard(shard.picture[:-1], shard.statistics, shard.lines))
    with pytest.raises(InputError, match="is due"):
        read_shard(path)
    write_shard(path, shard)
    path.with_suffix(".npz").write_bytes(b"no arrays")
    with pytest.raises(InputError, match="not a readable shard"):
        read_shard(path)
    first = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**first, "split": "test"}) + "\n")
    with pytest.raises(InputError, match="another split"):
        read_shard(path)
    path.write_text(json.dumps({**first, "report": {}}) + "\n")
    with pytest.raises(InputError, match="does not hold samples"):
        read_shard(path)
    with pytest.raises(InputError, match="no samples of test"):
        shards(tmp_path, "test")


# Sources


def test_splits_never_share_a_picture() -> None:
    folder = shared_data("hdr").parent
    found = [*drawn_sources(200, 5, 10, 1), *photo_sources(folder, 6, 2, 1), *clip_sources(folder, 2)]
    names = [source.name for source in found]
    assert len(set(names)) == len(names)
    by_picture: dict[str, set[str]] = {}
    for source in found:
        by_picture.setdefault(source.picture, set()).add(source.split)
    assert all(len(splits) == 1 for splits in by_picture.values())
    assert {source.split for source in found if source.origin == "clips"} == {"clips"}
    photos = {source.split for source in found if source.origin in ("polyhaven", "openexr", "ultrahdr")}
    assert {"train", "test"} <= photos


def test_asking_for_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="photo_views: 0"):
        build(SMALL.model_copy(update={"photo_views": 1}), tmp_path / "out", tmp_path)
    with pytest.raises(UsageError, match="no source"):
        build(SMALL.model_copy(update={"charts": 0}), tmp_path / "out")


def test_the_users_pictures_are_sources(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    gradient = np.tile(np.linspace(20, 230, 640, dtype=np.uint8)[None, :, None], (360, 1, 3))
    cv2.imwrite(str(tmp_path / "deep" / "a.png"), gradient)
    (tmp_path / "notes.txt").write_text("no picture")
    (source,) = image_sources(tmp_path)
    nits = source.render()
    assert nits.shape == (360, 640, 3) and 150 < nits.max() <= 203.1
    (tmp_path / "b.jpg").write_bytes(b"broken")
    broken = next(item for item in image_sources(tmp_path) if item.name != source.name)
    with pytest.raises(InputError, match=r"b\.jpg"):
        broken.render()


def test_real_clips_are_read_for_their_own_split() -> None:
    folder = shared_data("clips").parent
    found = clip_sources(folder, 3)
    assert len(found) >= 15
    nits = found[0].render()
    assert nits.ndim == 3 and nits.shape[2] == 3 and 20 < nits.max() <= 203.5


def test_real_clips_go_through_real_coders_as_they_move() -> None:
    sequences = [source for source in clip_sources(shared_data("clips").parent, 2) if source.frames is not None]
    source = next(item for item in sequences if "bbb-960" in item.name)
    assert source.frames is not None
    frames = source.frames()
    assert len(frames) == RUN and not np.array_equal(frames[0], frames[-1])
    made = [make_coded_sample(source, frames, np.random.default_rng(seed)) for seed in range(6)]
    damaged = [item for item in made if item.report.distortions]
    assert 1 <= len(damaged) <= 5
    assert all(item.report.distortions[0].type == "blocking_artifacts" for item in damaged)
    assert all(np.array_equal(item.frame, frames[-1]) == (item.extra["delivery"] == "uncoded") for item in made)


# Labels and samples


def test_grades_follow_the_master() -> None:
    flat = np.full((90, 160, 3), 40.0, np.float32)
    assert master_stops(flat) == (0.0, 0.0) and grades(0.0, 0.0) == ("very_low", "low")
    half = flat.copy()
    half[:, 80:] *= 16
    stops, spread = master_stops(half)
    assert stops == pytest.approx(4.0, abs=0.01) and spread == pytest.approx(4.0, abs=0.01)
    half[:45] = 0.0
    assert master_stops(half)[0] == pytest.approx(np.log2(640 / 0.05), abs=0.01)
    assert grades(12.0, 6.0) == ("very_high", "high") and grades(8.0, 4.0) == ("medium", "medium")


def _source(master: np.ndarray) -> Source:
    return Source("title-x", "title-x", "titles", "train", lambda: master)


def test_a_sample_is_the_same_from_the_same_seed_and_keeps_its_masters_range() -> None:
    y, x = np.mgrid[0:576, 0:1024].astype(np.float32)
    texture = 1.0 + 0.3 * np.sin(x / 3) * np.cos(y / 4)
    nits = (2 + 70 * (x[..., None] / 1024) ** 2 * np.array([1.0, 0.6, 0.3])) * texture[..., None]
    nits[40:90, 60:140] = 900.0
    master = nits.astype(np.float32)
    made = [make_sample(_source(master), master, (0.0, 0.0, 1.0), np.random.default_rng(4)) for _ in range(2)]
    assert made[0] is not None and made[1] is not None
    assert np.array_equal(made[0].statistics, made[1].statistics) and made[0].report == made[1].report
    assert made[0].extra["luminance_truth"] == "hdr master"
    pristine = make_sample(_source(master), master, (1.0, 0.0, 0.0), np.random.default_rng(4))
    assert pristine is not None and pristine.report.distortions == () and pristine.report.score == 5.0
    assert pristine.extra["stops"] == made[0].extra["stops"]  # the picture was damaged, not the master


def test_a_picture_with_defects_of_its_own_is_no_source() -> None:
    white = np.full((576, 1024, 3), 5000.0, np.float32)
    dark = np.full((576, 1024, 3), 0.01, np.float32)
    for master in (white, dark):
        assert make_sample(_source(master), master, (1.0, 0.0, 0.0), np.random.default_rng(0)) is None


def test_lines_are_strict(built: Path) -> None:
    line = next(samples(built, "train"))[2]
    assert Line.model_validate_json(line.model_dump_json()) == line
    with pytest.raises(ValueError, match="id"):
        Line.model_validate({**line.model_dump(), "id": "../up"})


def test_a_split_without_samples_is_not_made(tmp_path: Path) -> None:
    build(SMALL.model_copy(update={"per_source": {"train": 1}}), tmp_path)
    assert set(manifest(tmp_path)["counts"]["samples"]) == {"train"} and not (tmp_path / "test").exists()
