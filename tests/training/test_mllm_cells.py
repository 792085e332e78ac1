"""From cells to reports: exact maps come back as the reports they were made of, and thresholds follow the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.mllm.frame_report import FrameReport
from analysis.schema import Box, Distortion, DistortionType
from toolchain.errors import InputError
from training.boxes import iou_table
from training.data.distortions_layout import Damage
from training.data.distortions_regions import WHOLE
from training.data.distortions_score import report
from training.evaluate import evaluate
from training.evaluate_counts import Frame
from training.mllm_cells import TYPES, Described, ReadOut, _told_box, fit_read_out, load_read_out, read_report
from training.mllm_collate import cell_targets, edge_waves, picture_targets, region_targets
from training.mllm_maps import draw_maps

NOISE = TYPES.index("noise")


def described(truth: FrameReport) -> Described:
    return Described(cell_targets(truth), picture_targets(truth), region_targets(truth))


def blank() -> Described:
    return Described(*(np.zeros(shape, np.float32) for shape in ((9, 16, len(TYPES), 3), (6,), (9, 16, 4, 4))))


def exactly(truth: FrameReport, edges_told: bool = False) -> FrameReport:
    return read_report(described(truth), ReadOut.even().model_copy(update={"edges_told": edges_told}))


def drawn(count: int, seed: int = 0) -> list[FrameReport]:
    rng = np.random.default_rng(seed)
    return [draw_maps(rng).report for _ in range(count)]


def damaged(*damages: tuple[DistortionType, int, Box]) -> FrameReport:
    return report([Damage(*one) for one in damages], "high", "low")


@pytest.mark.parametrize("edges_told", [False, True])
def test_exact_maps_come_back_as_their_reports(edges_told: bool) -> None:
    frames = [Frame(str(place), "s", truth, exactly(truth, edges_told)) for place, truth in enumerate(drawn(200))]
    figures = {name: figure.value for name, figure in evaluate(frames).figures.items()}
    for name in ("pristine", "dynamic_range_exact", "contrast_exact", "severity_exact"):
        assert figures[name] == 1.0, name
    # Two regions of one type may touch the same cell, and then are one.
    assert (figures["detection_f1"] or 0) > 0.985
    assert (figures["mean_iou"] or 0) > 0.98
    # Several strengths are one severity: which of two is worst, and how bad both are, is known roughly.
    assert (figures["key_accuracy"] or 0) > 0.85
    assert (figures["level_within_one"] or 0) > 0.95


@pytest.mark.parametrize(
    "box", [(0, 0, 300, 400), (180, 120, 420, 780), (640, 700, 1000, 1000), (500, 340, 640, 480), (20, 20, 980, 240)]
)
def test_a_rim_of_partly_damaged_cells_gives_the_box_to_a_fiftieth(box: Box) -> None:
    found = exactly(damaged(("noise", 3, box)))
    assert iou_table([found.distortions[0].bbox_1000], [box])[0, 0] > (0.6 if box[2] - box[0] == 140 else 0.93)


def test_an_unsure_eye_gives_the_same_box_where_the_read_out_knows_how_sure_it_gets() -> None:
    box = (180, 120, 420, 780)
    truth = described(damaged(("noise", 3, box)))
    told = Described(0.6 * truth.cells, 0.6 * truth.grades, 0.6 * truth.regions)
    start = ReadOut(thresholds=dict.fromkeys(TYPES, 0.3))
    for how in ({"full": 0.6}, {"edges_told": True}):
        found = read_report(told, start.model_copy(update=how))
        assert iou_table([found.distortions[0].bbox_1000], [box])[0, 0] > 0.93


def test_most_of_a_frame_is_all_of_it_and_specks_are_nothing() -> None:
    truth = damaged(("noise", 4, WHOLE))
    told = described(truth)
    told.cells[2:5, 3:9] = 0  # 18 of 144 cells look clean
    found = read_report(told, ReadOut.even())
    assert [(item.type, item.bbox_1000, item.severity) for item in found.distortions] == [("noise", WHOLE, "severe")]
    speck = blank()
    speck.cells[4, 4, NOISE] = 0.6, 0.1, 0.0
    assert read_report(speck, ReadOut.even()).distortions == ()


@pytest.mark.parametrize(
    ("moderate", "severe", "word"), [(0.4, 0.1, "minor"), (0.6, 0.4, "moderate"), (0.9, 0.6, "severe")]
)
def test_severity_is_what_more_than_half_of_the_damage_is(moderate: float, severe: float, word: str) -> None:
    told = blank()
    told.cells[2:6, 3:9, NOISE] = 0.8 * np.array([1.0, moderate, severe], np.float32)
    assert [item.severity for item in read_report(told, ReadOut.even()).distortions] == [word]


def test_of_two_that_cannot_be_told_apart_the_surer_one_is_meant() -> None:
    truth = damaged(("noise", 3, WHOLE))
    told = described(truth)
    blurs = [TYPES.index(kind) for kind in ("low_clarity", "out_of_focus_blur", "motion_blur")]
    told.cells[..., blurs, 0] = 0.7, 0.9, 0.8
    assert {item.type for item in read_report(told, ReadOut.even()).distortions} == {
        "noise",
        TYPES[blurs[1]],
    }


def test_at_most_six_are_reported_the_surest_ones() -> None:
    told = blank()
    for place in range(8):
        row, column = divmod(place, 4)
        told.cells[4 * row + 1 : 4 * row + 4, 4 * column : 4 * column + 3, NOISE] = 0.6 + 0.04 * place
    found = read_report(told, ReadOut.even()).distortions
    assert len(found) == 6
    assert min(item.bbox_1000[0] for item in found if item.bbox_1000[1] < 500) > 400  # the two faintest are left out


def test_thresholds_are_chosen_type_by_type_for_the_highest_f1() -> None:
    reports = drawn(40)
    frames = [described(one) for one in reports]
    ghosts = TYPES.index("color_cast")
    rng = np.random.default_rng(1)
    for frame in frames:
        frame.cells[:, :, NOISE] *= 0.4  # seen, but never surely
        y, x = rng.integers(0, 5), rng.integers(0, 10)
        imagined = frame.cells[y : y + 4, x : x + 5, ghosts, 0]
        np.maximum(imagined, 0.6, out=imagined)

    def f1(read_out: ReadOut) -> float:
        found = [read_report(frame, read_out) for frame in frames]
        answered = [Frame(str(i), "s", *pair) for i, pair in enumerate(zip(reports, found, strict=True))]
        return evaluate(answered).figures["detection_f1"].value or 0.0

    fitted = fit_read_out(frames, reports, "model")
    assert fitted.model == "model"
    assert fitted.thresholds["noise"] < 0.4 and fitted.thresholds["color_cast"] > 0.6
    assert fitted.thresholds["flicker"] == max(fitted.thresholds.values())  # never there: never said
    assert f1(fitted) > 0.95 > 0.85 > f1(ReadOut.even())


def test_a_read_out_is_read_back_and_another_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "read_out.json"
    path.write_text(ReadOut.even().model_dump_json())
    assert load_read_out(path) == ReadOut.even()
    for text in ("", "{}", '{"thresholds": {"noise": 0.5}}', ReadOut.even().model_dump_json().replace("0.5", "1.5")):
        path.write_text(text)
        with pytest.raises(InputError, match="holds no read-out"):
            load_read_out(path)
    with pytest.raises(ValidationError, match="one for each"):
        ReadOut(thresholds={"noise": 0.5})


def test_damage_keeps_its_severity_and_place_through_the_report() -> None:
    truth = damaged(("noise", 5, (0, 0, 400, 400)), ("color_cast", 1, (600, 500, 1000, 1000)))
    expected = [("noise", "severe", (0, 0, 400, 400)), ("color_cast", "minor", (600, 500, 1000, 1000))]
    found = exactly(truth)
    assert [(item.type, item.severity, item.bbox_1000) for item in found.distortions] == expected
    assert found.key == (0,) and found.distortions[0] == Distortion(
        type="noise", severity="severe", bbox_1000=(0, 0, 400, 400)
    )


def test_edges_that_fall_together_still_make_a_box() -> None:
    far = np.broadcast_to(edge_waves((1000, 0, 1000, 1000)), (5, 4, 4))
    assert _told_box(far) == (980, 0, 1000, 1000)
    assert _told_box(np.broadcast_to(edge_waves((0, 300, 0, 300)), (5, 4, 4))) == (0, 300, 20, 320)
