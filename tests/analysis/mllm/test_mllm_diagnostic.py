"""The diagnostic picture sees what shrinking erases: each damage moves the statistics that are meant for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.mllm.diagnostic import (
    AROUND,
    CELLS,
    DEVIATION,
    STATISTICS,
    USUAL,
    contrasts,
    diagnostic_image,
    mosaic,
    picture,
    quantised,
    spread,
    statistics,
)
from toolchain.errors import InputError

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scene() -> Picture:
    """640x360: a slope, cloudy texture and hard-edged figures all over it."""
    rng = np.random.default_rng(3)
    coarse = rng.normal(size=(23, 40, 3)).astype(np.float32)
    fine = rng.normal(size=(90, 160, 3)).astype(np.float32)
    size = (640, 360)
    canvas = 110 + 14 * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    canvas += 7 * cv2.resize(fine, size, interpolation=cv2.INTER_CUBIC) + np.linspace(-30, 30, 640)[None, :, None]
    for _ in range(160):
        x, y = int(rng.integers(640)), int(rng.integers(360))
        colour = tuple(float(v) for v in rng.uniform(20, 230, 3))
        cv2.ellipse(canvas, (x, y), (9, 5), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def means(image: Picture) -> dict[str, float]:
    return dict(zip(STATISTICS, statistics(image).mean(axis=(0, 1)).tolist(), strict=True))


def test_shapes_names_and_range(scene: Picture) -> None:
    found = statistics(scene)
    assert found.shape == (*CELLS, 48) and found.dtype == np.float32
    assert len(set(STATISTICS)) == 48
    assert found.min() >= 0.0 and found.max() <= 1.0 and np.isfinite(found).all()
    assert diagnostic_image(scene).shape == (252, 448, 3)
    assert picture(scene).shape == (140, 224, 3)
    assert np.array_equal(found, statistics(scene.copy()))


def test_the_mosaic_shows_each_statistic_in_its_block() -> None:
    stored = np.random.default_rng(1).integers(0, 256, (*CELLS, 48), dtype=np.uint8)
    shown = mosaic(stored)
    for row, column, k in ((0, 0, 0), (3, 7, 17), (8, 15, 47)):
        y, x = 28 * row + 7 * (k // 3 // 4) + 3, 28 * column + 7 * (k // 3 % 4) + 3
        assert shown[y, x, k % 3] == spread()[k, stored[row, column, k]]
    assert np.array_equal(mosaic(stored[None])[0], shown)


def test_a_blocks_last_lines_hold_the_statistic_against_its_picture_and_against_the_cells_around() -> None:
    stored = np.random.default_rng(2).integers(0, 256, (*CELLS, 48), dtype=np.uint8)
    shown = mosaic(stored)
    codes = spread()[np.arange(48), stored].astype(float)
    mirrored = np.pad(codes, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    for row, column, k in ((0, 0, 0), (3, 7, 17), (8, 14, 46)):
        y, x = 28 * row + 7 * (k // 3 // 4), 28 * column + 7 * (k // 3 % 4)
        block = shown[y : y + 7, x : x + 6, k % 3].astype(float)
        around = np.mean([mirrored[row + 2 + down, column + 2 + across, k] for down, across in AROUND])
        for lines, other in ((slice(5, 6), np.median(codes[..., k])), (slice(6, 7), around)):
            due = np.clip(127.5 + codes[row, column, k] - other, 0, 255)
            np.testing.assert_allclose(block[lines], due, atol=0.51)
        assert (block[:5] == codes[row, column, k]).all()


def test_a_cell_like_all_others_stands_out_nowhere_and_one_that_differs_does() -> None:
    codes = np.full((*CELLS, 48), 90, np.uint8)
    codes[4, 6, 44] = 130
    from_picture, from_around = contrasts(codes)
    assert from_picture[4, 6, 44] == from_around[4, 6, 44] == 168
    assert from_around[4, 8, 44] == 122 and from_picture[4, 8, 44] == 128
    others = np.delete(from_picture.reshape(-1, 48), 44, axis=1)
    assert (others == 128).all() and (from_around[..., :44] == 128).all()


def test_usual_values_are_shown_grey_and_three_deviations_take_the_whole_range() -> None:
    table = spread()
    assert table.shape == (48, 256) and (np.diff(table.astype(int), axis=1) >= 0).all()
    for k in range(48):
        assert abs(int(table[k, USUAL[k]]) - 127.5) <= 0.5
        above = min(255, USUAL[k] + DEVIATION[k])
        assert int(table[k, above]) - 127.5 == pytest.approx(42.5 * (above - USUAL[k]) / DEVIATION[k], abs=1)


def test_every_cell_says_where_it_is() -> None:
    shown = mosaic(np.zeros((*CELLS, 48), np.uint8)).astype(float) / 127.5 - 1
    seen = {}
    for row in range(9):
        for column in range(16):
            mark = shown[28 * row : 28 * row + 28 : 7, 28 * column + 27]
            waves = np.arange(1, 5)
            np.testing.assert_allclose(mark[:, 0], np.cos(np.pi * waves * (column + 0.5) / 16), atol=0.005)
            np.testing.assert_allclose(mark[:, 1], np.cos(np.pi * waves * (row + 0.5) / 9), atol=0.005)
            seen[mark.tobytes()] = row, column
    assert len(seen) == 144


@pytest.mark.parametrize(
    ("damage", "statistic", "way"),
    [
        ("noise", "quietest", 1),
        ("noise", "fine_log", 1),
        ("blur", "sharpest", -1),
        ("blur", "fine_rms", -1),
        ("jpeg", "common_grid_across", 1),
        ("jpeg", "common_grid_down", 1),
        ("sharpened", "overshoot", 1),
        ("stairs", "equal_across", 1),
        ("bright", "white_any", 1),
        ("dark", "near_black", 1),
        ("grey", "saturation", -1),
        ("steps", "step_share", 1),
        ("moved", "curve1_0", -1),
    ],
)
def test_each_damage_moves_its_statistic(scene: Picture, damage: str, statistic: str, way: int) -> None:
    before, after = means(scene)[statistic], means(DAMAGES[damage](scene))[statistic]
    assert way * (after - before) > 0.02, (before, after)


def _jpeg(image: Picture) -> Picture:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 8])[1], 1), np.uint8)


def _box(image: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(cv2.blur(image, size), np.uint8)


def _noisy(image: Picture) -> Picture:
    return np.clip(image + np.random.default_rng(0).normal(0, 8, image.shape), 0, 255).astype(np.uint8)


DAMAGES = {
    "noise": _noisy,
    "blur": lambda image: cv2.GaussianBlur(image, (0, 0), 2.0),
    "jpeg": _jpeg,
    "sharpened": lambda image: cv2.addWeighted(image, 3.0, cv2.GaussianBlur(image, (0, 0), 2.0), -2.0, 0),
    "stairs": lambda image: image[::3, ::3].repeat(3, 0).repeat(3, 1)[:360, :640],
    "bright": lambda image: cv2.convertScaleAbs(image, alpha=2.0),
    "dark": lambda image: cv2.convertScaleAbs(image, alpha=0.15),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "steps": lambda image: cv2.GaussianBlur(image, (0, 0), 12.0) // 6 * 6,
    "moved": lambda image: cv2.blur(image, (15, 1)),
}


def test_blur_along_rows_and_along_columns_look_different(scene: Picture) -> None:
    rows, columns = means(_box(scene, (15, 1))), means(_box(scene, (1, 15)))
    assert rows["curve1_0"] < rows["curve1_90"] - 0.05
    assert columns["curve1_90"] < columns["curve1_0"] - 0.05
    assert rows["direction_cos"] < 0.5 < columns["direction_cos"]


def test_only_the_cells_of_a_damaged_region_change(scene: Picture) -> None:
    damaged = scene.copy()
    damaged[80:200, 160:400] = _noisy(scene)[80:200, 160:400]
    own = [k for k, name in enumerate(STATISTICS) if not name.startswith("common")]
    change = np.abs(statistics(damaged) - statistics(scene))[..., own].max(axis=-1)
    inside, near = np.zeros(CELLS, bool), np.zeros(CELLS, bool)
    inside[2:5, 4:10], near[1:6, 3:11] = True, True  # filters reach a few pixels into the cells around
    assert change[inside].min() > 0.15 and change[~near].max() == 0.0


def test_a_mirrored_picture_has_mirrored_statistics(scene: Picture) -> None:
    there, back = statistics(scene), statistics(np.ascontiguousarray(scene[:, ::-1]))[:, ::-1]
    for name in ("fine_log", "luma", "curve1_0", "saturation", "direction_cos"):
        k = STATISTICS.index(name)
        assert np.abs(there[..., k] - back[..., k]).max() < 0.02, name
    rising, falling = STATISTICS.index("curve1_45"), STATISTICS.index("curve1_135")
    assert np.abs(there[..., rising] - back[..., falling]).max() < 0.02


def test_a_large_frame_is_measured_in_windows_of_its_cells(scene: Picture) -> None:
    tile = np.tile(scene, (6, 6, 1))
    large = means(np.ascontiguousarray(_jpeg(tile)))
    small = means(np.ascontiguousarray(_jpeg(tile)[:1080, :1920]))
    for name in STATISTICS:
        assert large[name] == pytest.approx(small[name], abs=0.06), name


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((360, 640), np.uint8),
        np.zeros((360, 640, 3), np.float32),
        np.zeros((60, 640, 3), np.uint8),
        np.zeros((360, 100, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(InputError):
        statistics(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_is_measured(level: int) -> None:
    found = statistics(np.full((72, 128, 3), level, np.uint8))
    assert np.isfinite(found).all()
    assert found[1:-1, 1:-1, STATISTICS.index("constant")].min() == 1.0
    assert found[..., STATISTICS.index("fine_log")].max() == 0.0


def test_rounding_to_bytes_is_fixed() -> None:
    assert quantised(np.array([0.0, 0.5, 1.0, 2.0, -1.0], np.float32)).tolist() == [0, 128, 255, 255, 0]
