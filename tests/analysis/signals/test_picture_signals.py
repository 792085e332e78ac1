"""Tone, colour, letterbox, faces and boxes on pictures whose truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.signals import chroma, faces, tone
from analysis.signals.boxes import displayed_box, hull
from analysis.signals.letterbox import active_picture

BARS = {  # BT.709 limited-range codes of 100 % colours, and whether a component is at white
    "white": (235, 128, 128, 1.0, 0.0),
    "black": (16, 128, 128, 0.0, 0.0),
    "red": (63, 102, 240, 1.0, 1.0),
    "blue": (32, 240, 118, 1.0, 1.0),
    "mid grey": (126, 128, 128, 0.0, 0.0),
}


def plane(code, shape=(40, 60)):
    return np.full(shape, code, np.uint8)


@pytest.mark.parametrize("name", BARS)
def test_clipping_and_saturation_of_pure_colours(name):
    y, cb, cr, clipped, saturated = BARS[name]
    rgb = chroma.rgb_planes(plane(y), plane(cb), plane(cr), "bt709", full_range=False)
    assert chroma.clipped_mask(rgb).mean() == clipped
    assert chroma.saturation(rgb) == pytest.approx(saturated, abs=0.01)


def test_clipped_share_is_the_white_area():
    y = plane(120, (40, 80))
    y[:, :20] = 235
    rgb = chroma.rgb_planes(y, plane(128, y.shape), plane(128, y.shape), "bt601", full_range=False)
    assert chroma.clipped_mask(rgb).mean() == 0.25


def test_stops_of_published_levels():
    assert tone.stops(0.5, 1.0) == pytest.approx(2.4)
    assert tone.stops(0.0, 1.0) == pytest.approx(np.log2(203 / 0.05))
    assert tone.stops(0.0, 0.0) == 0.0


@pytest.mark.parametrize(("full_range", "black", "white"), [(False, 16, 235), (True, 0, 255)])
def test_tone_reads_the_range(full_range, black, white):
    counts = tone.code_counts(np.array([[black, black, black, white]], np.uint8))
    shot = tone.shot_tone(counts, full_range)
    assert sum(shot.histogram) == pytest.approx(1.0)
    assert shot.histogram[0] == 0.75
    assert shot.histogram[-1] == 0.25
    assert tone.crushed_share(counts, full_range) == 0.75


@given(st.lists(st.integers(0, 50), min_size=256, max_size=256), st.floats(0, 1))
def test_taking_bars_away_leaves_the_brightest_pixels(counts, share):
    before = np.array(counts, np.int64)
    after = tone.without_bars(before, share)
    assert (after >= 0).all()
    assert (after <= before).all()
    assert after.sum() == before.sum() - round(share * int(before.sum()))
    if after.any():
        kept = np.flatnonzero(after)[0]
        assert (after[kept + 1 :] == before[kept + 1 :]).all()


def test_no_pixels_count_as_black():
    counts = np.zeros(256, np.int64)
    assert tone.shot_tone(counts, False).histogram[0] == 1.0
    assert tone.crushed_share(counts, False) == 0.0


@pytest.mark.parametrize("bar", [0, 10, 34])
def test_letterbox_and_pillarbox_are_found(bar):
    frame = np.random.default_rng(0).integers(40, 200, (270, 480)).astype(np.uint8)
    frame[:bar] = frame[270 - bar :] = 16
    active = active_picture(frame, full_range=False)
    pillar = active_picture(np.ascontiguousarray(frame.T), full_range=False)
    if bar == 0:
        assert active is None
        assert pillar is None
    else:
        assert active == pytest.approx((0, bar / 270, 1, 1 - bar / 270))
        assert pillar == pytest.approx((bar / 270, 0, 1 - bar / 270, 1))


def test_dark_scenes_are_no_letterbox():
    sky = np.full((270, 480), 16, np.uint8)
    assert active_picture(sky, full_range=False) is None
    sky[150:] = 90  # a night sky above a lit street
    assert active_picture(sky, full_range=False) is None
    fade = np.repeat(np.abs(np.linspace(-60, 60, 270)), 480).reshape(270, 480)
    assert active_picture((16 + 60 - fade).astype(np.uint8), full_range=False) is None


def test_boxes_turn_with_the_display():
    region = (0.1, 0.2, 0.4, 0.9)
    assert displayed_box(region, 0) == (100, 200, 400, 900)
    assert displayed_box(region, 90) == (100, 100, 800, 400)
    assert displayed_box(region, 180) == (600, 100, 900, 800)
    assert displayed_box(region, -90) == displayed_box(region, 270) == (200, 600, 900, 900)


@pytest.mark.parametrize(("degrees", "nearest"), [(315, 0), (314, 270), (44, 0), (46, 90), (-44, 0), (181, 180)])
def test_a_slanted_display_counts_as_the_nearest_quarter_turn(degrees, nearest):
    region = (0.1, 0.2, 0.4, 0.9)
    assert displayed_box(region, degrees) == displayed_box(region, nearest)


@given(st.tuples(*[st.floats(0, 1)] * 4), st.integers(-720, 720))
def test_boxes_are_never_empty_and_stay_inside(corners, turn):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    left, top, right, bottom = displayed_box((x0, y0, x1, y1), turn)
    assert 0 <= left < right <= 1000
    assert 0 <= top < bottom <= 1000


def test_hull_ignores_stray_pixels():
    mask = np.zeros((100, 200), bool)
    assert hull(mask) is None
    mask[20:60, 50:150] = True
    mask[99, 199] = True
    assert hull(mask) == pytest.approx((0.25, 0.2, 0.75, 0.6), abs=0.011)


@pytest.mark.parametrize("picture", ["black", "white", "noise", "stripes"])
def test_no_face_where_there_is_none(picture):
    shape = (225, 360, 3)
    noise = np.random.default_rng(5).random(shape)
    frames = {"black": np.zeros(shape), "white": np.ones(shape), "noise": noise}
    frames["stripes"] = np.broadcast_to((np.arange(360) // 12 % 2)[None, :, None], shape)
    assert faces.find_faces(frames[picture].astype(np.float32)) == []


def test_face_light_is_a_ratio_of_display_light():
    luma = np.full((100, 100), 0.5, np.float32)
    luma[20:60, 20:60] = 0.25
    face = [(0.2, 0.2, 0.6, 0.6)]
    assert faces.face_ev(luma, face) == pytest.approx(-2.4, abs=1e-3)
    assert faces.face_share(luma.shape, face) == pytest.approx(0.16)
    assert faces.face_share(luma.shape, face * 2) == pytest.approx(0.16)
    assert faces.face_ev(luma, []) is None
    assert faces.face_ev(np.zeros((100, 100), np.float32), face) == 0.0
