"""Regions laid into sound frames: what is laid in where, what the truth then is, and which frames may give parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.mllm.frame_report import FrameReport
from analysis.schema import Box, Distortion
from training.data.mllm_shards import PICTURE_SHAPE, STATISTICS_SHAPE, Line, Shard, shard_path, write_shard
from training.mllm_collate import coverage
from training.mllm_paste import Pasting, laid_in, whole_damage
from training.mllm_rows import Rows

WHOLE: Box = (0, 0, 1000, 1000)


def _line(name: str, *found: tuple[str, Box], strength: int = 4) -> Line:
    items = tuple(
        Distortion.model_validate({"type": kind, "severity": "severe", "bbox_1000": box}) for kind, box in found
    )
    level = "poor" if items else "excellent"
    report = FrameReport(
        dynamic_range="high", contrast="low", distortions=items, key=(0,) if items else (), level=level,
        score=2.2 if items else 5.0,
    )  # fmt: skip
    strengths = {f"{kind}@{','.join(map(str, box))}": strength for kind, box in found}
    return Line(id=name, source=name, split="train", report=report, extra={"strengths": strengths})


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """A sound grey frame, one with noise all over, and frames that can give nothing."""
    lines = [
        _line("sound"),
        _line("noisy", ("noise", WHOLE)),
        _line("part", ("noise", (0, 0, 500, 500))),
        _line("two", ("noise", WHOLE), ("color_cast", WHOLE)),
        _line("solid", ("meaningless_solid_color", WHOLE)),
    ]
    levels = np.array([100, 200, 0, 0, 0], np.uint8)[:, None, None, None]
    picture = np.broadcast_to(levels, (5, *PICTURE_SHAPE)).copy()
    statistics = np.broadcast_to(levels, (5, *STATISTICS_SHAPE)).copy()
    write_shard(shard_path(tmp_path, "train", 0), Shard(picture, statistics, lines))
    return Rows(tmp_path, "train")


def test_only_frames_of_one_damage_all_over_give_parts(rows: Rows) -> None:
    found = [whole_damage(rows.line(row)) for row in range(5)]
    assert found[0] == ()
    assert found[1] is not None and (found[1][0].kind, found[1][0].strength) == ("noise", 4)
    assert found[2:] == [None, None, None]


def test_a_part_changes_its_own_pixels_and_cells_by_their_share(rows: Rows) -> None:
    box: Box = (100, 0, 500, 320)
    picture, statistics = laid_in(rows.picture(0), rows.statistics(0), rows, 1, box)
    assert (picture == 200).all(axis=2).sum() == round(0.4 * 224) * round(0.32 * 140)
    assert (rows.picture(0) == 100).all()
    np.testing.assert_allclose(statistics[..., 0], 100 + 100 * coverage(box), atol=0.51)


def test_the_truth_names_what_was_laid_in_and_grades_the_sound_frame(rows: Rows) -> None:
    pasting, rng = Pasting(rows), np.random.default_rng(0)
    drawn = [pasting.draw(rng) for _ in range(60)]
    again = Pasting(rows).draw(np.random.default_rng(0))
    assert again[2] == drawn[0][2] and np.array_equal(again[1], drawn[0][1])
    counts = {len(report.distortions) for _, _, report in drawn}
    assert counts == {0, 1, 2, 3}  # none where a sound part was laid in
    for picture, _, report in drawn:
        changed = (picture == 200).any()
        assert bool(report.distortions) == changed
        assert all(item.type == "noise" and item.severity == "severe" for item in report.distortions)
        assert report.dynamic_range == "high" and (report.score == 5.0) == (not report.distortions)


def test_without_sound_or_damaged_frames_there_is_nothing_to_draw(tmp_path: Path) -> None:
    shard = Shard(np.zeros((1, *PICTURE_SHAPE), np.uint8), np.zeros((1, *STATISTICS_SHAPE), np.uint8), [_line("a")])
    write_shard(shard_path(tmp_path, "train", 0), shard)
    assert not Pasting(Rows(tmp_path, "train"))
