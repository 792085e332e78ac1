"""Damage for the analyser's training: grows with its strength, stays in its box, is labelled by what was done."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.mllm.code import decode, encode
from analysis.mllm.frame_report import LEVELS
from analysis.schema import Box, DistortionType
from training.data.distortions import DISTORTIONS, SEVERITY, STRENGTHS, distort, permitted, visible
from training.data.distortions_coding import JPEG_QUALITY, coded_clip, jpeg, video_coding
from training.data.distortions_detail import Picture
from training.data.distortions_layout import Damage, damaged, solid_strength
from training.data.distortions_regions import WHOLE, area_share, cropped, draw_boxes, flipped, pixels_of
from training.data.distortions_score import harm, report, score


def change(before: Picture, after: Picture) -> float:
    return float(np.sqrt(((after.astype(np.float64) - before) ** 2).mean()))


def test_every_type_but_flicker_can_be_made() -> None:
    assert set(DISTORTIONS) == set(get_args(DistortionType)) - {"flicker"}
    assert len(SEVERITY) == len(STRENGTHS) == 5
    assert list(SEVERITY) == sorted(SEVERITY, key=("minor", "moderate", "severe").index)


@pytest.mark.parametrize("kind", list(DISTORTIONS))
def test_damage_grows_with_its_strength_and_shows(scene: Picture, kind: DistortionType) -> None:
    amounts = []
    for strength in STRENGTHS:
        outs = [distort(scene, kind, strength, np.random.default_rng(seed)) for seed in range(6)]
        assert all(out.shape == scene.shape and out.dtype == np.uint8 for out in outs)
        assert sum(visible(scene, out, kind, strength) for out in outs) >= 3
        amounts.append(float(np.mean([change(scene, out) for out in outs])))
    if kind != "meaningless_solid_color":  # whose strength is its area
        assert amounts == sorted(amounts) and amounts[-1] > 1.4 * amounts[0], amounts


@pytest.mark.parametrize("kind", list(DISTORTIONS))
def test_damage_is_the_same_from_the_same_seed(scene: Picture, kind: DistortionType) -> None:
    first, second = (distort(scene, kind, 3, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first, second)


def test_what_does_not_show_is_not_listed() -> None:
    grey = np.full((180, 320, 3), 120, np.uint8)
    for kind in ("low_clarity", "motion_blur", "edge_aliasing", "desaturation"):
        assert not visible(grey, distort(grey, kind, 5, np.random.default_rng(0)), kind, 5)
    for seed in range(20):
        _, done = damaged(grey, "global", np.random.default_rng(seed))
        assert not {item.kind for item in done} & {"low_clarity", "motion_blur", "edge_aliasing", "desaturation"}


def test_pairs_are_symmetric_and_none_hides_the_other() -> None:
    for first in DISTORTIONS:
        assert not permitted(first, first)
        assert not permitted("meaningless_solid_color", first)
        for second in DISTORTIONS:
            assert permitted(first, second) == permitted(second, first)
    assert not permitted("low_clarity", "motion_blur") and not permitted("noise", "blocking_artifacts")
    assert permitted("low_clarity", "underexposure") and permitted("color_cast", "noise")


@pytest.mark.parametrize("strength", STRENGTHS)
def test_blocks_of_all_coders_are_about_as_strong(scene: Picture, strength: int) -> None:
    errors: dict[str, list[float]] = {}
    for seed in range(30):
        how = video_coding(strength, np.random.default_rng(seed))
        errors.setdefault(how.coder, []).append(change(scene, coded_clip([scene], how)))
    errors["jpeg"] = [change(scene, jpeg(scene, JPEG_QUALITY[strength - 1]))]
    typical = [float(np.median(found)) for found in errors.values()]
    assert len(errors) >= 3 and max(typical) < 1.9 * min(typical), errors


# Layouts


@pytest.mark.parametrize("seed", range(25))
def test_local_damage_stays_in_its_boxes(scene: Picture, seed: int) -> None:
    frame, done = damaged(scene, "local", np.random.default_rng(seed))
    if any(item.box == WHOLE for item in done):
        return
    outside = np.ones(scene.shape[:2], bool)
    for item in done:
        x0, y0, x1, y1 = pixels_of(item.box, scene)
        assert change(scene[y0:y1, x0:x1], frame[y0:y1, x0:x1]) > 0.5
        outside[y0:y1, x0:x1] = False
    assert np.array_equal(frame[outside], scene[outside])


def test_layouts_are_what_they_are_called(scene: Picture) -> None:
    assert damaged(scene, "pristine", np.random.default_rng(0))[1] == []
    kinds, counts = set(), []
    for seed in range(150):
        frame, done = damaged(scene, "global", np.random.default_rng(seed))
        assert all(item.box == WHOLE for item in done) and frame.shape == scene.shape
        assert all(permitted(a.kind, b.kind) for i, a in enumerate(done) for b in done[:i])
        kinds |= {item.kind for item in done}
        exposed = [item.strength for item in done if DISTORTIONS[item.kind].group == "exposure"]
        assert len(done) == 1 or all(strength <= 3 for strength in exposed)
        counts.append(len(done))
    assert kinds == set(DISTORTIONS)
    assert {1, 2, 3} <= set(counts)
    local = [damaged(scene, "local", np.random.default_rng(seed))[1] for seed in range(80)]
    assert {1, 2, 3} <= {sum(item.box != WHOLE for item in done) for done in local}


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_boxes_are_on_the_grid_and_apart(seed: int, count: int) -> None:
    boxes = draw_boxes(np.random.default_rng(seed), count)
    assert 1 <= len(boxes) <= count
    for index, box in enumerate(boxes):
        assert all(edge % 20 == 0 and 0 <= edge <= 1000 for edge in box)
        assert 0.015 < area_share(box) < 0.5
        for other in boxes[:index]:
            assert box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]


BOXES = st.tuples(st.integers(0, 42), st.integers(0, 42), st.integers(7, 50), st.integers(7, 50)).map(
    lambda v: (20 * v[0], 20 * v[1], min(1000, 20 * (v[0] + v[2])), min(1000, 20 * (v[1] + v[3])))
)


@given(BOXES)
def test_flipping_twice_is_nothing_and_crops_to_the_frame_too(box: Box) -> None:
    assert flipped(flipped(box)) == box
    whole = cropped(box, (0.0, 0.0, 1.0, 1.0))
    assert whole == (WHOLE if area_share(box) >= 0.7 else box)


def test_crops_move_boxes() -> None:
    window = (0.2, 0.0, 1.0, 0.8)
    assert cropped((200, 0, 600, 400), window) == (0, 0, 500, 500)
    assert cropped((0, 0, 180, 400), window) is None  # outside
    assert cropped((0, 0, 260, 400), window) is None  # a sliver is left
    assert cropped(WHOLE, window) == WHOLE
    assert cropped((200, 0, 1000, 600), window) == WHOLE  # three quarters of the new frame


def test_a_solid_surface_is_as_strong_as_it_is_large() -> None:
    strengths = [
        solid_strength(Damage("meaningless_solid_color", 1, (0, 0, side, side))) for side in (200, 300, 500, 1000)
    ]
    assert strengths == [2, 3, 4, 5]
    assert solid_strength(Damage("noise", 1, WHOLE)) == 1


# Scores

DAMAGES = st.lists(
    st.builds(Damage, st.sampled_from(list(DISTORTIONS)), st.sampled_from(STRENGTHS), BOXES), max_size=4
)


@settings(max_examples=60)
@given(DAMAGES, st.builds(Damage, st.sampled_from(list(DISTORTIONS)), st.integers(1, 4), BOXES))
def test_more_damage_never_raises_the_score(others: list[Damage], one: Damage) -> None:
    before, after = score(others), score([*others, one])
    stronger = score([*others, Damage(one.kind, one.strength + 1, one.box)])
    larger = score([*others, Damage(one.kind, one.strength, WHOLE)])
    assert 5.0 >= before >= after >= stronger >= 1.0 and after >= larger


def test_single_global_distortions_reach_every_level() -> None:
    reports = [report([], "low", "low")]
    reports += [report([Damage("noise", strength, WHOLE)], "low", "low") for strength in STRENGTHS]
    assert [item.level for item in reports] == ["excellent", "excellent", "good", "fair", "poor", "bad"]
    assert report([Damage("noise", 5, WHOLE), Damage("color_cast", 5, WHOLE)], "low", "low").level == LEVELS[0]
    assert reports[0].score == 5.0 and reports[0].key == ()


@given(DAMAGES.filter(bool))
def test_the_key_distortion_is_the_most_harmful_and_reports_have_a_short_answer(damages: list[Damage]) -> None:
    truth = report(damages, "medium", "high")
    ordered = sorted(damages, key=lambda item: (item.box[1], item.box[0]))
    assert harm(ordered[truth.key[0]]) == max(map(harm, damages))
    again = decode(encode(truth))
    assert again.distortions == truth.distortions and again.key == truth.key and again.level == truth.level
