"""Frames for large models: stored beside the shards, shown at a family's own size, mirrored, and hostile files."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("trl")

import torch

from analysis.mllm.families import JsonFamily, family
from analysis.mllm.frame_report import FrameReport
from toolchain.errors import InputError
from training.data.mllm_augment import mirrored_report
from training.data.mllm_data import MllmDataConfig, build, sources_of, stamp_of
from training.data.mllm_frames import FrameFile, frames_path, png, shrunk, write_frames
from training.data.mllm_native import NativeFrames
from training.data.mllm_shards import Line, Shard, manifest, shards, write_shard
from training.mllm_asked import Asked
from training.mllm_model import CompactConfig, compact_model, processor
from training.mllm_rows import Rows
from training.recipe import load_recipe
from training.rewards import rewards_of
from training.rollouts import Rollouts
from training.sft import SftConfig
from training.sft_rows import row_maker

SIDE = 500
CONFIG = MllmDataConfig(titles=0, scenes=0, charts=2, photo_views=0, per_source={"train": 3}, frame_side_px=SIDE)
LARGE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl")
RECIPES = Path(__file__).parents[2] / "configs" / "training"
CLEAN = FrameReport(dynamic_range="high", contrast="low", distortions=(), key=(), level="good", score=4.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mllm")
    build(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def native(data: Path) -> list[np.ndarray]:
    """The first split's native frames. Making them checks that pictures and statistics are those of a set without."""
    made = NativeFrames(data, CONFIG)
    return [frame for path in shards(data, "train") for _, frame in made.of(path)]


def large(name: str) -> JsonFamily:
    found = family(name)
    assert isinstance(found, JsonFamily)
    return found


def sft(name: str) -> SftConfig:
    return SftConfig(family=name, start="x", steps=1)


# The set


def test_a_set_without_frames_keeps_its_stamp() -> None:
    """The digest was made before frames could be stored: sets of then must stay resumable."""
    plain = CONFIG.model_copy(update={"frame_side_px": 0, "per_source": MllmDataConfig().per_source})
    stamp = stamp_of(plain, sources_of(plain, None, None))
    assert stamp == "122a001e8ea01bb7e3e364cdbb0aa1a253508e7558f21ca9e11c79c82abbda86"
    assert stamp_of(plain.model_copy(update={"frame_side_px": SIDE}), sources_of(plain, None, None)) != stamp


def test_the_large_set_is_the_usual_one_with_frames() -> None:
    usual, ours = (
        load_recipe(RECIPES / f"{name}.yaml", MllmDataConfig, "a set") for name in ("mllm_data", "mllm_data_large")
    )
    assert ours == usual.model_copy(update={"frame_side_px": 1344})


def test_frames_are_stored_whole_and_hashed(data: Path, native: list[np.ndarray]) -> None:
    (path,) = shards(data, "train")
    assert f"train/{frames_path(path).name}" in manifest(data)["files"]
    rows = Rows(data, "train")
    stored = FrameFile(frames_path(path), [rows.line(row).id for row in range(len(rows))])
    for row, frame in enumerate(native):
        found = stored.read(rows.line(row).id)
        assert np.array_equal(found, shrunk(frame, SIDE)) and max(found.shape) <= SIDE
        assert stored.size(rows.line(row).id) == (found.shape[1], found.shape[0])
    assert {SIDE} <= {max(shrunk(frame, SIDE).shape) for frame in native}


def test_a_frame_is_never_enlarged() -> None:
    frame = np.zeros((90, 160, 3), np.uint8)
    assert shrunk(frame, 160) is frame and shrunk(frame, 80).shape == (45, 80, 3)


# What models are shown


@pytest.mark.parametrize("name", LARGE)
def test_a_large_family_is_shown_the_frame_and_its_boxes_fit(name: str, data: Path, native: list[np.ndarray]) -> None:
    rows, asked = Rows(data, "train"), large(name)
    make = row_maker(rows, sft(name), None)
    for row in range(len(rows)):
        image = make(row)["images"][0]
        assert image.size == asked.picture_size(*_size(shrunk(native[row], SIDE))) != (224, 140)
        assert np.array_equal(np.array(image), asked.shown(shrunk(native[row], SIDE)))
        told = asked.parse(make(row)["completion"][0]["content"], image.size)
        for said, true in zip(told.distortions, rows.line(row).report.distortions, strict=True):
            assert said.type == true.type
            assert np.abs(np.subtract(said.bbox_1000, true.bbox_1000)).max() <= 1000 / min(image.size)

    boxes = {item.bbox_1000 for row in range(len(rows)) for item in rows.line(row).report.distortions}
    assert boxes - {(0, 0, 1000, 1000)}  # there is something to convert


def test_the_mirrored_sample_has_the_mirrored_frame(data: Path) -> None:
    rows, asked = Rows(data, "train"), large("qwen2_5_vl")
    make = row_maker(rows, sft("qwen2_5_vl"), None)
    for row in range(len(rows)):
        one, other = make(row), make(len(rows) + row)
        image = other["images"][0]
        assert np.array_equal(np.array(image), np.array(one["images"][0])[:, ::-1])
        due = asked.write(mirrored_report(rows.line(row).report), image.size)
        assert other["completion"][0]["content"] == due


def test_the_compact_family_sees_what_it_always_saw(data: Path) -> None:
    rows = Rows(data, "train")
    assert np.array_equal(rows.shown(0, family("compact")), rows.picture(0))
    assert rows.shown_size(0, family("compact")) == (224, 140)


def test_rewards_judge_by_the_size_that_was_shown(data: Path) -> None:
    asked = Asked(Rows(data, "train"), "qwen2_5_vl", range(3), {})
    for place in range(3):
        task = asked.task(place)
        assert task.size == asked.images(place)[0].size != (224, 140)
        perfect = rewards_of(task, large("qwen2_5_vl").write(task.truth, task.size))
        assert perfect["form"] == 1.0 and perfect["boxes"] == pytest.approx(1.0, abs=0.02)


def test_a_model_with_random_weights_takes_the_rows(data: Path) -> None:
    tiny = CompactConfig(
        hidden=80, layers=1, heads=2, key_heads=1, inner=32, eye_hidden=32, eye_layers=1, eye_heads=2
    )
    torch.set_num_threads(1)
    asked = Asked(Rows(data, "train"), "qwen2_5_vl", [0], {})
    made = processor([family("compact").prompt().user])
    made.tokenizer.padding_side = "left"
    (prompt,), answers = Rollouts(compact_model(tiny), made, 3).tokens([asked.shown(0)], 2)
    tokens = [image.width * image.height // 28**2 for image in asked.images(0)]
    asked_for = made.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert isinstance(asked_for, int)
    assert prompt.count(asked_for) == sum(tokens) and tokens[0] > 140 and len(answers) == 2


# Hostile files


def zipped(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED, name: str = "a.png") -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    memory = io.BytesIO()
    image.save(memory, kind)
    return memory.getvalue()


def test_a_file_that_is_no_zip_of_stored_frames_is_refused(tmp_path: Path) -> None:
    good = png(np.zeros((9, 16, 3), np.uint8))
    FrameFile(zipped(tmp_path / "good.zip", good), ["a"])
    (tmp_path / "text.zip").write_text("no frames")
    cases = {
        "text.zip": "not hold",
        zipped(tmp_path / "packed.zip", good, zipfile.ZIP_DEFLATED).name: "is compressed",
        zipped(tmp_path / "other.zip", good, name="b.png").name: "a.png",
        "nowhere.zip": "nowhere",
    }
    for name, said in cases.items():
        with pytest.raises(InputError, match=said):
            FrameFile(tmp_path / name, ["a"])


@pytest.mark.parametrize("harm", ["text", "grey", "jpeg", "huge", "cut", "changed"])
def test_a_picture_that_is_not_a_stored_frame_is_refused(harm: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise))
    content = {
        "text": b"no picture",
        "grey": encoded(Image.new("L", (16, 9))),
        "jpeg": encoded(Image.new("RGB", (16, 9)), "JPEG"),
        "huge": encoded(Image.new("RGB", (4097, 1))),
        "cut": whole[: len(whole) // 2],
        "changed": whole,
    }[harm]
    path = zipped(tmp_path / "frames.zip", content)
    if harm == "changed":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    file = FrameFile(path, ["a"])
    with pytest.raises(InputError, match="delete the shard"):
        file.read("a")


def test_frames_of_some_shards_only_are_refused(data: Path, tmp_path: Path) -> None:
    (path,) = shards(data, "train")
    shutil.copytree(path.parent, tmp_path / "train")
    blank = Shard(
        np.zeros((1, 140, 224, 3), np.uint8),
        np.zeros((1, 9, 16, 48), np.uint8),
        [Line(id="bare", source="s", split="train", report=CLEAN)],
    )
    bare = tmp_path / "train" / "00009.jsonl"
    write_shard(bare, blank)
    with pytest.raises(InputError, match="not of 1 shards"):
        Rows(tmp_path, "train")
    write_frames(frames_path(bare), {"bare": png(np.zeros((90, 160, 3), np.uint8))})
    assert Rows(tmp_path, "train").shown_size(3, family("qwen2_vl")) == large("qwen2_vl").picture_size(160, 90)


def _size(frame: np.ndarray) -> tuple[int, int]:
    return frame.shape[1], frame.shape[0]
