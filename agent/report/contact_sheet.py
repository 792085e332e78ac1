"""A contact sheet: frames side by side with what was found in them, as labelled boxes. Drawing only.

Severity is told by colour and in words; a key distortion has a thick box and the mark KEY.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from agent.report.pictures import Picture
from analysis.schema import Box, Distortion, Severity

CELL_PX = 480
"""The longer side of a frame on the sheet."""

MIN_WIDTH_PX = 500
MAX_COLUMNS = {"wide": 4, "tall": 6}
SEVERITY_COLORS: dict[Severity, tuple[int, int, int]] = {
    "minor": (255, 221, 87),
    "moderate": (255, 150, 40),
    "severe": (255, 77, 77),
}
"""R'G'B' of boxes and labels."""

KEY_COLOR = (255, 255, 255)
_PAPER, _INK, _DARK, _QUIET = (24, 24, 27), (240, 240, 240), (10, 10, 10), (165, 165, 170)
_FONT, _SCALE, _LINE_PX, _PAD, _GAP = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 20, 4, 10
_THIN, _THICK, _NEST_PX = 2, 4, 5

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True)
class SheetFrame:
    """A frame as it is shown to viewers (HxWx3 R'G'B', upright) and what was found in it, boxes in 0..1000 of it."""

    picture: Picture
    caption: str
    distortions: tuple[Distortion, ...] = ()
    key: tuple[int, ...] = ()


def contact_sheet(heading: Sequence[str], frames: Sequence[SheetFrame]) -> Picture:
    """All frames below `heading` (its first line is the title) and the legend, HxWx3 R'G'B'.

    Frames are shown with their longer side at CELL_PX. Text beyond ASCII is drawn as `?`. `frames` is not empty.
    """
    cells = [_cell(frame) for frame in frames]
    height, width = (max(cell.shape[side] for cell in cells) for side in (0, 1))
    shape = "wide" if width >= height else "tall"
    columns = min(len(cells), MAX_COLUMNS[shape], math.ceil(math.sqrt(len(cells) * (1 if shape == "wide" else 2))))
    rows = math.ceil(len(cells) / columns)
    across = max(MIN_WIDTH_PX, columns * (width + _GAP) + _GAP)
    top = _heading(heading, across)
    sheet = _paper(rows * (height + _GAP) + _GAP, across)
    for place, cell in enumerate(cells):
        x, y = _GAP + place % columns * (width + _GAP), _GAP + place // columns * (height + _GAP)
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return np.concatenate([top, sheet])


def annotated(frame: SheetFrame) -> Picture:
    """The frame's picture at the sheet's size with its boxes and labels, the worst drawn last."""
    scale = CELL_PX / max(frame.picture.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in frame.picture.shape[1::-1])
    shown = cv2.resize(frame.picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = np.ascontiguousarray(shown.astype(np.uint8, copy=False))
    order = sorted(range(len(frame.distortions)), key=lambda i: (i in frame.key, _weight(frame.distortions[i])))
    rects = _nested([_pixels(item.bbox_1000, picture) for item in frame.distortions])
    for index in order:
        _box(picture, rects[index], frame.distortions[index].severity, index in frame.key)
    taken: list[Rect] = []
    for index in reversed(order):  # the worst takes the place it wants
        taken.append(_label(picture, rects[index], frame.distortions[index], index in frame.key, taken))
    return picture


def _cell(frame: SheetFrame) -> Picture:
    """A frame with its caption below."""
    picture = annotated(frame)
    caption = _paper(_LINE_PX, picture.shape[1])
    _text(caption, frame.caption, 0, 0, _INK)
    return np.concatenate([picture, caption])


def _heading(lines: Sequence[str], width: int) -> Picture:
    wrapped = [
        (part, _INK if place == 0 else _QUIET) for place, line in enumerate(lines) for part in _wrap(line, width)
    ]
    top = _paper((len(wrapped) + 1) * _LINE_PX + _GAP, width)
    for row, (part, color) in enumerate(wrapped):
        _text(top, part, _GAP, _GAP // 2 + row * _LINE_PX, color)
    _legend(top, _GAP // 2 + len(wrapped) * _LINE_PX)
    return top


def _legend(top: Picture, y: int) -> None:
    x = _GAP
    for severity, color in SEVERITY_COLORS.items():
        x = _tag(top, severity, x, y, color, _DARK)[2] + _PAD
    x = _tag(top, "KEY", x, y, KEY_COLOR, _DARK)[2]
    _text(top, "what hurts the most", x, y, _QUIET)


def _box(picture: Picture, rect: Rect, severity: Severity, key: bool) -> None:
    x0, y0, x1, y1 = rect
    cv2.rectangle(picture, (x0, y0), (x1, y1), _DARK, (_THICK if key else _THIN) + 2)
    cv2.rectangle(picture, (x0, y0), (x1, y1), SEVERITY_COLORS[severity], _THICK if key else _THIN)


def _label(picture: Picture, box: Rect, item: Distortion, key: bool, taken: Sequence[Rect]) -> Rect:
    """Write type and severity inside the box's upper left corner, or as near as no other label stands."""
    name = f"{item.type.replace('_', ' ')}, {item.severity}"
    width = _text_width(name) + 2 * _PAD + (_text_width("KEY") + 2 * _PAD if key else 0)
    x, y = _free_place(picture, box, width, taken)
    left = _tag(picture, "KEY", x, y, KEY_COLOR, _DARK)[2] if key else x
    _tag(picture, name, left, y, SEVERITY_COLORS[item.severity], _DARK)
    return x, y, x + width, y + _LINE_PX


def _free_place(picture: Picture, box: Rect, width: int, taken: Sequence[Rect]) -> tuple[int, int]:
    bottom, right = picture.shape[0] - _LINE_PX, picture.shape[1] - width
    x, y = min(box[0], max(0, right)), min(box[1], max(0, bottom))
    below = [(x, row) for row in range(y, max(y, bottom) + 1, _LINE_PX)]
    above = [(x, row) for row in range(y - _LINE_PX, -1, -_LINE_PX)]
    for left, row in (*below, *above):
        if not any(left < r[2] and r[0] < left + width and row < r[3] and r[1] < row + _LINE_PX for r in taken):
            return left, row
    return x, y


def _nested(rects: Sequence[Rect]) -> list[Rect]:
    """The same rectangles; of equal ones each lies inside the one before, so that all are seen."""
    placed: list[Rect] = []
    for index, rect in enumerate(rects):
        room = max(0, min(rect[2] - rect[0], rect[3] - rect[1]) // 2 - _THICK)
        inset = min(room, _NEST_PX * sum(other == rect for other in rects[:index]))
        placed.append((rect[0] + inset, rect[1] + inset, rect[2] - inset, rect[3] - inset))
    return placed


def _pixels(box: Box, picture: Picture) -> Rect:
    """Corner pixels, the last ones included."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (share / 1000 * side for share, side in zip(box, (width, height, width, height), strict=True))
    return int(x0), int(y0), max(int(x0), math.ceil(x1) - 1), max(int(y0), math.ceil(y1) - 1)


def _weight(item: Distortion) -> int:
    return list(SEVERITY_COLORS).index(item.severity)


def _tag(canvas: Picture, text: str, x: int, y: int, ground: Sequence[int], ink: Sequence[int]) -> Rect:
    right = x + _text_width(text) + 2 * _PAD
    cv2.rectangle(canvas, (x, y), (right - 1, y + _LINE_PX - 1), tuple(ground), cv2.FILLED)
    _text(canvas, text, x, y, ink)
    return x, y, right, y + _LINE_PX


def _text(canvas: Picture, text: str, x: int, y: int, color: Sequence[int]) -> None:
    """A line whose row begins at `y`, _PAD in from `x`."""
    spot = (x + _PAD, y + _LINE_PX - 6)
    cv2.putText(canvas, _ascii(text), spot, _FONT, _SCALE, tuple(color), 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return cv2.getTextSize(_ascii(text), _FONT, _SCALE, 1)[0][0]


def _wrap(line: str, width: int) -> list[str]:
    """`line` in parts that fit into `width` pixels, broken between words."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and _text_width(longer) > width - 2 * _GAP - 2 * _PAD:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _paper(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _PAPER, np.uint8)
