"""The contact sheet: boxes where they belong, in the colour of their severity, labels that do not hide each other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.report.analysis_image import check_image_path, displayed, write_image
from agent.report.contact_sheet import CELL_PX, KEY_COLOR, SEVERITY_COLORS, SheetFrame, annotated, contact_sheet
from analysis.schema import Distortion, Severity
from toolchain.errors import UsageError
from toolchain.video.facts import ColorInterpretation, ColorTags, VideoFacts

GREY = np.full((270, 480, 3), 90, np.uint8)


def defect(severity: Severity, *box: int) -> Distortion:
    x0, y0, x1, y1 = box
    return Distortion(type="noise", severity=severity, bbox_1000=(x0, y0, x1, y1))


def frame(*found: Distortion, key: tuple[int, ...] = (), picture: np.ndarray = GREY) -> SheetFrame:
    return SheetFrame(picture, "shot 0", found, key)


def where(picture: np.ndarray, color: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero((picture == color).all(axis=-1))


@pytest.mark.parametrize("severity", ["minor", "moderate", "severe"])
def test_a_box_has_its_place_and_its_severitys_colour(severity: Severity) -> None:
    drawn = annotated(frame(defect(severity, 250, 100, 750, 900)))
    rows, columns = where(drawn, SEVERITY_COLORS[severity])
    assert (columns.min(), columns.max()) == pytest.approx((120, 360), abs=3)
    assert (rows.min(), rows.max()) == pytest.approx((27, 243), abs=3)
    others = [color for name, color in SEVERITY_COLORS.items() if name != severity]
    assert all(len(where(drawn, color)[0]) == 0 for color in others)


def test_the_key_distortion_is_marked_and_its_box_is_thicker() -> None:
    item = defect("minor", 100, 100, 900, 900)
    plain, key = annotated(frame(item)), annotated(frame(item, key=(0,)))
    color = SEVERITY_COLORS["minor"]
    middle = slice(200, 280)  # columns of the lower edge, away from the label
    assert (key[200:, middle] == color).all(axis=-1).sum() > 1.5 * (plain[200:, middle] == color).all(axis=-1).sum()
    assert len(where(plain, KEY_COLOR)[0]) == 0
    assert len(where(key, KEY_COLOR)[0]) > 300


def test_equal_boxes_and_their_labels_are_all_seen() -> None:
    whole = [defect(severity, 0, 0, 1000, 1000) for severity in ("minor", "moderate", "severe")]
    drawn = annotated(frame(*whole, key=(2,)))
    labels = [(drawn == color).all(axis=-1).sum() for color in SEVERITY_COLORS.values()]
    assert min(labels) > 1500  # a label alone is about 140 x 20 pixels
    edges = [color for color in SEVERITY_COLORS.values() if (drawn[-30:, 240] == color).all(axis=-1).any()]
    assert len(edges) == 3


def test_boxes_at_the_last_corner_and_crowds_of_labels_stay_inside() -> None:
    crowd = [defect("severe", 990, 990, 1000, 1000) for _ in range(30)]
    assert annotated(frame(*crowd, key=(0,))).shape == (270, 480, 3)


def test_small_pictures_are_enlarged_and_tall_ones_keep_their_shape() -> None:
    assert annotated(frame(picture=GREY[:90, :160])).shape == (270, CELL_PX, 3)
    assert annotated(frame(picture=np.zeros((1920, 1080, 3), np.uint8))).shape == (CELL_PX, 270, 3)


def test_the_sheet_holds_every_frame_and_a_long_heading() -> None:
    frames = [frame(picture=np.full((90, 160, 3), 40 + 9 * i, np.uint8)) for i in range(7)]
    sheet = contact_sheet(("clip.mp4 \N{SNOWMAN}", "word " * 60), frames)
    shown = [len(where(sheet, (level, level, level))[0]) for level in range(40, 40 + 63, 9)]
    assert min(shown) > 0.95 * CELL_PX * 270


def video(**changes: object) -> VideoFacts:
    color = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")
    values = {"index": 0, "kind": "video", "codec": "h264", "pix_fmt": "yuv420p", "bit_depth": 8, "chroma": "4:2:0"}
    return VideoFacts.model_validate(
        {**values, "width": 4, "height": 2, "tags": ColorTags(), "color": color, **changes}
    )


def test_pictures_are_shown_as_a_player_shows_them() -> None:
    signal = np.zeros((2, 4, 3), np.float32)
    signal[0, 0] = 1.7  # super-white is white
    assert displayed(signal, video())[0, 0].tolist() == [255] * 3
    turned = displayed(signal, video(rotation_deg=90))
    assert turned.shape == (4, 2, 3)
    assert turned[0, 1].tolist() == [255] * 3
    assert displayed(signal, video(sample_aspect_ratio="2/1")).shape == (2, 8, 3)


def test_the_picture_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    write_image(path, GREY)
    assert (cv2.imread(str(path)) == GREY).all()
    with pytest.raises(UsageError, match="--overwrite"):
        check_image_path(path, overwrite=False)
    check_image_path(path, overwrite=True)
    with pytest.raises(UsageError, match="exists"):
        write_image(path, GREY)
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_cannot_be_pictures_are_refused(tmp_path: Path) -> None:
    clip = tmp_path / "clip.png"
    clip.touch()
    folder = tmp_path / "folder.png"
    folder.mkdir()
    for path, words in (
        (tmp_path / "out.gif", "must end in"),
        (tmp_path / "no" / "out.png", "does not exist"),
        (folder, "is a folder"),
        (clip, "the video itself"),
    ):
        with pytest.raises(UsageError, match=words):
            check_image_path(path, overwrite=True, inputs=(clip,))
