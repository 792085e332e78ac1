"""Pictures of a report: one curve for both sides, and a gain map whose colours mean stops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.report.pictures import MAP_COLORS, gain_picture, gain_stops, page_picture, save_jpeg


def grey(nits: float) -> np.ndarray:
    return np.full((4, 6, 3), nits, np.float32)


def test_dark_tones_are_shown_as_they_are_and_the_peak_is_the_pages_white() -> None:
    assert page_picture(grey(40.0), 1000.0)[0, 0].tolist() == pytest.approx(
        [255 * (40 / 203) ** (1 / 2.4)] * 3, abs=1
    )
    assert page_picture(grey(1000.0), 1000.0)[0, 0].tolist() == pytest.approx([255] * 3, abs=1)
    levels = [int(page_picture(grey(nits), 1000.0)[0, 0, 0]) for nits in (0, 1, 50, 100, 203, 400, 800, 4000)]
    assert levels == sorted(levels)
    assert 190 < levels[4] < 240


def test_hues_stay_and_what_no_page_can_show_is_clipped() -> None:
    dim, bright = np.float32([[[40, 30, 25]]]), np.float32([[[400, 300, 250]]])
    hue = [cv2.cvtColor(page_picture(rgb, 1000.0), cv2.COLOR_RGB2HSV)[0, 0, 0] for rgb in (dim, bright)]
    assert abs(int(hue[0]) - int(hue[1])) <= 2
    shown = page_picture(np.float32([[[0, 1000, 0], [-5, 20000, 3]]]), 1000.0)
    assert shown.dtype == np.uint8
    assert shown.max() == 255


def test_the_gain_map_reads_in_stops() -> None:
    gains = [float(gain_stops(grey(50.0), grey(nits))[0, 0]) for nits in (50.0, 400.0, 6.25)]
    assert gains == pytest.approx([0, 3, -3], abs=0.03)
    colors = gain_picture(np.float32([[0, 9, -9]]))[0]
    assert colors.tolist() == [list(MAP_COLORS[i]) for i in (2, 4, 0)]


@pytest.mark.parametrize(("rotation_deg", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_pictures_are_turned_clockwise(rotation_deg: int, corner: tuple[int, int], tmp_path: Path) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:12, :12] = 255
    save_jpeg(tmp_path / "p.jpg", picture, rotation_deg)
    read = cv2.imread(str(tmp_path / "p.jpg"), cv2.IMREAD_GRAYSCALE)
    assert read is not None
    assert read.shape == ((32, 64) if rotation_deg % 180 == 0 else (64, 32))
    assert read[corner] > 230
    assert np.sort([read[y, x] for y in (0, -1) for x in (0, -1)])[2] < 40
