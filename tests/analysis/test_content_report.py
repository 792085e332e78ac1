"""Rules of the content report: monotone, local where it can be, pooled by frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import ANALYSER, SEVERITY, amount, build_analysis, build_report, pool
from analysis.schema import Signals
from analysis.signals.observer import ShotSignals
from toolchain.models.spec import ShotTone
from toolchain.video.shots import Shot

CLEAN = Signals(
    stops=8.0, p0_5=0.05, p50=0.4, p99_5=0.9, clipped_share=0.0, crushed_share=0.0, saturation=0.1, blockiness=1.0,
    noise_sigma=0.3, blur=0.3, banding=0.2, flatness=0.05,
)  # fmt: skip


def signals(**changes):
    return CLEAN.model_copy(update=changes)


def shot_signals(index, frames, measured=CLEAN, level=100, boxes=None):
    histogram = np.zeros(256)
    histogram[level] = 1.0
    start = 1000 * index
    return ShotSignals(
        Shot(index=index, start_frame=start, end_frame=start + frames, hard_cut=True, key_frames=(start,)),
        measured, ShotTone(histogram=tuple(histogram)), np.zeros((2, 2), np.float32), boxes or {},
    )  # fmt: skip


def test_a_clean_picture_has_no_distortions():
    report = build_report(CLEAN)
    assert report.distortions == ()
    assert (report.quality.level, report.quality.score) == ("excellent", 5.0)
    assert report.content.description == "Live action: medium brightness, high contrast over 8.0 stops."


@pytest.mark.parametrize("signal", SEVERITY)
def test_amounts_follow_the_table(signal):
    limits = SEVERITY[signal]
    assert [amount(signal, limit) for limit in limits] == ["minor", "moderate", "severe"]
    assert amount(signal, np.nextafter(limits[0], 0)) == "none"


@pytest.mark.parametrize(
    ("signal", "kind"),
    [("banding", "color_banding"), ("blockiness", "blocking_artifacts"), ("noise_sigma", "noise"),
     ("blur", "low_clarity"), ("clipped_share", "overexposure"), ("crushed_share", "underexposure"),
     ("saturation", "oversaturation")],
)  # fmt: skip
def test_each_severe_signal_is_the_key_distortion(signal, kind):
    report = build_report(signals(**{signal: SEVERITY[signal][2]}))
    assert [report.distortions[i].type for i in report.key_distortions] == [kind]
    assert report.distortions[report.key_distortions[0]].severity == "severe"


@given(st.sampled_from(sorted(SEVERITY)), st.floats(0, 1), st.floats(0, 1))
def test_more_of_a_defect_never_scores_better(signal, first, second):
    low, high = sorted((first * 2 * SEVERITY[signal][2], second * 2 * SEVERITY[signal][2]))
    scores = [build_report(signals(**{signal: value})).quality.score for value in (low, high)]
    assert scores[1] <= scores[0]


def test_highlights_alone_are_not_overexposure():
    assert build_report(signals(clipped_share=0.02)).distortions == ()


def test_a_local_defect_keeps_its_box_and_others_cover_the_picture():
    measured = signals(clipped_share=0.2, noise_sigma=5.0, letterbox=(0, 120, 1000, 880))
    report = build_report(measured, {"overexposure": (600, 100, 900, 300)})
    boxes = {item.type: item.bbox_1000 for item in report.distortions}
    assert boxes == {"overexposure": (600, 100, 900, 300), "noise": (0, 120, 1000, 880)}


def test_a_picture_of_one_colour_is_named_so():
    report = build_report(signals(p0_5=0.5, p99_5=0.5, stops=0.0, banding=1.0))
    assert [item.type for item in report.distortions] == ["meaningless_solid_color"]


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"flatness": 0.3, "saturation": 0.25}, "animation"),
        ({"flatness": 0.6, "saturation": 0.3}, "animation"),
        ({"flatness": 0.8, "saturation": 0.03}, "screen"),
        ({"flatness": 0.3, "saturation": 0.25, "noise_sigma": 2.0}, "live_action"),
        ({"flatness": 0.3, "saturation": 0.25, "face_share": 0.1}, "live_action"),
        ({"saturation": 0.4}, "live_action"),
    ],
)
def test_categories(changes, category):
    assert build_report(signals(**changes)).content.category == category


@pytest.mark.parametrize(
    ("ev", "surround"), [(None, "not_applicable"), (-2, "darker"), (0.3, "similar"), (1, "brighter")]
)
def test_face_against_surround(ev, surround):
    assert build_report(signals(face_ev=ev)).luminance.face_surround == surround


def test_pooling_weighs_by_frames_and_merges_histograms():
    noisy = signals(noise_sigma=4.3, face_share=0.2, face_ev=-1.0)
    pooled, report = pool([shot_signals(0, 30, level=50), shot_signals(1, 10, noisy, level=200)])
    assert pooled.noise_sigma == pytest.approx(0.75 * 0.3 + 0.25 * 4.3)
    assert pooled.face_ev == pytest.approx(-1.0)
    assert pooled.p50 == pytest.approx(50.5 / 256)
    assert pooled.p99_5 == pytest.approx(200.5 / 256)
    assert report.content.has_face


def test_pooled_category_is_mixed_when_both_are_large():
    drawn = signals(flatness=0.6, saturation=0.3)
    _, report = pool([shot_signals(0, 30), shot_signals(1, 20, drawn)])
    assert report.content.category == "mixed"
    _, report = pool([shot_signals(0, 90), shot_signals(1, 10, drawn)])
    assert report.content.category == "live_action"


def test_pooled_bars_must_be_in_every_shot():
    bars = signals(letterbox=(0, 100, 1000, 900))
    assert pool([shot_signals(0, 5, bars), shot_signals(1, 5)])[0].letterbox is None
    assert pool([shot_signals(0, 5, bars), shot_signals(1, 5, bars)])[0].letterbox == (0, 100, 1000, 900)


def test_analysis_holds_every_shot():
    analysis = build_analysis([shot_signals(0, 5), shot_signals(1, 7)])
    assert analysis.analyser == ANALYSER
    assert [item.shot for item in analysis.shots] == [0, 1]
