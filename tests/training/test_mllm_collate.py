"""Targets of the cell head, text batches, and random access to stored samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from analysis.mllm.families import family
from analysis.mllm.frame_report import FrameReport
from analysis.schema import Distortion
from toolchain.errors import InputError
from training.data.mllm_shards import Line, Shard, shard_path, write_shard
from training.mllm_collate import (
    NO_LOSS,
    TYPES,
    cell_targets,
    coverage,
    edge_waves,
    picture_targets,
    region_targets,
    texts_to_batch,
)
from training.mllm_maps import draw_maps
from training.mllm_model import processor
from training.mllm_reader import compact_prompt_text
from training.mllm_rows import Rows

REPORT = FrameReport(
    dynamic_range="high",
    contrast="medium",
    distortions=(Distortion(type="noise", severity="moderate", bbox_1000=(0, 0, 500, 1000)),),
    key=(0,),
    level="fair",
    score=3.0,
)


def test_coverage_is_the_share_of_each_cell() -> None:
    found = coverage((0, 0, 500, 1000))
    assert found.shape == (9, 16)
    np.testing.assert_allclose(found[:, :8], 1, atol=1e-5)
    assert not found[:, 8:].any()
    np.testing.assert_allclose(coverage((100, 0, 200, 500)).sum() / 144, 0.05, atol=1e-6)


def test_cell_targets_reach_up_to_the_severity() -> None:
    noise = cell_targets(REPORT)[0, 0, TYPES.index("noise")]
    np.testing.assert_allclose(noise, [1, 1, 0], atol=1e-6)
    assert cell_targets(REPORT).sum() == pytest.approx(9 * 8 * 2, abs=1e-3)


def test_cells_of_a_region_know_its_edges_and_no_others_do() -> None:
    assert region_targets(REPORT).any(axis=(2, 3)).sum() == 9 * 8
    item = Distortion(type="noise", severity="minor", bbox_1000=(250, 0, 500, 333))
    found = region_targets(REPORT.model_copy(update={"distortions": (item,)}))
    assert found.any(axis=(2, 3)).sum() == 3 * 4 and found[:3, 4:8].any(axis=(2, 3)).all()
    np.testing.assert_allclose(np.arccos(found[0, 4, :, 0]) / np.pi, [0.25, 0, 0.5, 0.333], atol=1e-3)
    np.testing.assert_allclose(found[2, 7], edge_waves(item.bbox_1000))
    everywhere = item.model_copy(update={"bbox_1000": (0, 0, 1000, 1000)})
    assert not region_targets(REPORT.model_copy(update={"distortions": (everywhere,)})).any()


def test_grades_are_steps() -> None:
    assert picture_targets(REPORT).tolist() == [1, 1, 1, 0, 1, 0]


def test_losses_lie_on_the_answer_and_its_end_alone() -> None:
    made = processor([family("compact").prompt().user])
    prompt = compact_prompt_text(made)
    answers = ["dr4 ct2 ; clean ; qj", "dr1 ct1 ; noise minor global ; key 0 ; qa"]
    batch = texts_to_batch(made.tokenizer, [prompt, prompt], answers)
    for row, answer in enumerate(answers):
        told = batch.labels[row][batch.labels[row] != NO_LOSS]
        assert made.tokenizer.decode(told) == answer + "<|im_end|>"
    assert batch.mm_token_type_ids.sum(1).tolist() == [184, 184]


def test_simulated_maps_say_what_the_report_says() -> None:
    rng = np.random.default_rng(0)
    agree = []
    for _ in range(600):
        one = draw_maps(rng)
        true = cell_targets(one.report)[..., 0] > 0.5
        if true.any():
            agree.append(one.cells[..., 0][true].mean() - one.cells[..., 0][~true].mean())
    assert np.mean(agree) > 2.0  # logits apart, on the whole
    assert np.min(agree) < np.mean(agree) / 2  # and some frames are hard


def test_rows_are_read_at_random_places(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 140, 224, 3), dtype=np.uint8)
    stored = np.random.default_rng(1).integers(0, 256, (3, 9, 16, 48), dtype=np.uint8)
    lines = [Line(id=f"s-{index}", source="s", split="train", report=REPORT) for index in range(3)]
    for number in range(2):
        write_shard(shard_path(tmp_path, "train", number), Shard(pictures + np.uint8(number), stored, lines))
    rows = Rows(tmp_path, "train")
    assert len(rows) == 6
    np.testing.assert_array_equal(rows.picture(4), pictures[1] + np.uint8(1))
    np.testing.assert_array_equal(rows.statistics(5), stored[2])
    assert len(Rows(tmp_path, "train", 2)) == 2


def test_a_cut_shard_is_an_input_error(tmp_path: Path) -> None:
    path = shard_path(tmp_path, "train", 0)
    arrays = Shard(np.zeros((1, 140, 224, 3), np.uint8), np.zeros((1, 9, 16, 48), np.uint8), [])
    write_shard(
        path, Shard(arrays.picture, arrays.statistics, [Line(id="s", source="s", split="train", report=REPORT)])
    )
    whole = path.with_suffix(".npz").read_bytes()
    path.with_suffix(".npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable shard"):
        Rows(tmp_path, "train")
