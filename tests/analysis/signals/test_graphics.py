"""Subtitles and logos are found; walls, skies, windows, snow and moving text are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.signals.graphics import GraphicsTracker, block_mask

SHAPE = (270, 480)
GREY = np.full(SHAPE, 128, np.uint8)


def background(seed: int, shift: int = 0) -> np.ndarray:
    """A soft moving scene, luma 30 to 150."""
    coarse = np.random.default_rng(seed).uniform(30, 150, (18, 40)).astype(np.float32)
    picture = cv2.resize(coarse, (SHAPE[1] + 200, SHAPE[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture[:, shift : shift + SHAPE[1]], 16, 160).astype(np.uint8)


def write(picture: np.ndarray, text: str, at: tuple[int, int], scale: float = 0.5, level: int = 232) -> np.ndarray:
    """Text as a video holds it: drawn large, scaled down, so its edges are soft."""
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    font = cv2.FONT_HERSHEY_SIMPLEX
    for colour, width in ((16, 14), (level, 6)):
        cv2.putText(large, text, (4 * at[0], 4 * at[1]), font, 4 * scale, colour, width, cv2.LINE_AA)
    return cv2.resize(large, SHAPE[::-1], interpolation=cv2.INTER_AREA)


def track(frames, cb=GREY, cr=GREY, step_s=0.2):
    tracker = GraphicsTracker()
    for index, frame in enumerate(frames):
        tracker.push(index * step_s, frame, cb, cr, False)
    return tracker.finish()


def test_a_standing_subtitle_is_found_and_nothing_else():
    mask = track([write(background(0, 3 * i), "What did you say?", (120, 245)) for i in range(6)])
    inside = np.zeros(SHAPE, bool)
    inside[225:256, 112:300] = True
    assert mask[inside].mean() > 0.15
    assert not mask[~inside].any()


def test_yellow_subtitles_count():
    frames = [write(background(0, 3 * i), "What did you say?", (120, 245), level=219) for i in range(6)]
    yellow = np.where(frames[0] > 170, 20, 128).astype(np.uint8)
    assert track(frames, cb=yellow).any()


def test_text_that_passes_by_or_flashes_is_not_held():
    rolling = [write(background(0), "Directed by someone", (100, 250 - 12 * i)) for i in range(8)]
    assert not track(rolling).any()
    flash = [background(0), write(background(0), "What did you say?", (120, 245)), background(0), background(0)]
    assert not track(flash).any()


def test_text_through_a_shot_shorter_than_the_limit_counts():
    assert track([write(background(0), "The End of it", (150, 140), 0.8)] * 2, step_s=0.1).any()


def corner_logo(picture):
    picture = picture.copy()
    cv2.circle(picture, (440, 28), 12, 230, 3, cv2.LINE_AA)
    return picture


def test_a_corner_logo_is_found_when_the_picture_moves():
    mask = track([corner_logo(background(1, 8 * i)) for i in range(10)])
    assert mask[14:44, 424:456].mean() > 0.2
    assert not mask[60:].any()


def bright_scenes():
    rng = np.random.default_rng(2)
    wall = background(3)
    wall[40:200, 100:350] = 235
    window = background(4)
    window[60:180, 150:300] = 235
    window[60:180, 220:226] = 60  # its cross-bars
    window[118:123, 150:300] = 60
    snow = background(5)
    for _ in range(300):
        cv2.circle(snow, (int(rng.integers(480)), int(rng.integers(270))), int(rng.integers(1, 3)), 232, -1)
    twigs = background(6)
    for _ in range(60):
        start = rng.integers((480, 270))
        cv2.line(
            twigs, tuple(map(int, start)), tuple(map(int, start + rng.integers(-40, 40, 2))), 225, 2, cv2.LINE_AA
        )
    fence = background(7)
    fence[100:220, ::24] = fence[100:220, 1::24] = 225
    lamps = background(8)
    for x in range(20, 480, 60):
        cv2.circle(lamps, (x, 60), 6, 235, -1)
    return {
        "white wall": wall,
        "window": window,
        "snow": snow,
        "twigs": twigs,
        "fence": fence,
        "row of lamps": lamps,
        "black": np.full(SHAPE, 16, np.uint8),
        "white": np.full(SHAPE, 235, np.uint8),
        "noise": rng.integers(16, 236, SHAPE).astype(np.uint8),
    }


@pytest.mark.parametrize("name", bright_scenes())
def test_bright_things_that_stand_still_are_not_graphics(name):
    assert not track([bright_scenes()[name]] * 8).any()


def test_planes_that_change_after_the_call_do_not_matter():
    tracker, shared = GraphicsTracker(), np.empty(SHAPE, np.uint8)
    for i in range(6):
        shared[:] = write(background(0, 3 * i), "What did you say?", (120, 245))
        tracker.push(0.2 * i, shared, GREY, GREY, False)
        shared[:] = 0
    assert tracker.finish().any()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (853, 479), (480, 270), (16, 16)])
def test_block_mask_covers_each_marked_pixel(width, height):
    mask = np.zeros(SHAPE, np.float32)
    mask[100:110, 200:260] = mask[-1, -1] = 1.0
    blocks = block_mask(mask, width, height)
    assert blocks.shape == (-(-height // 16), -(-width // 16))
    assert blocks.dtype == np.float32
    full = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    assert (np.kron(blocks, np.ones((16, 16)))[:height, :width][full] == 1.0).all()
    assert not block_mask(np.zeros(SHAPE, np.float32), width, height).any()
