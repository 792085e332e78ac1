"""Graphics: subtitles, captions and logos, which must stay near reference white when the picture is expanded.

What counts: thin light strokes of one level, standing still for 0.4 s, set in a line like text. A white wall, sky,
snow or an overexposed window is wide, not thin; twigs and glints do not share a line, a height and a level.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Stats = NDArray[np.int32]

SAMPLE_S = 0.12  # pictures closer in time than this are skipped
PERSIST_S = 0.4
STILL_CODES = 12  # how far a stroke's luma may wander between samples
MIN_LEVEL = 0.62  # of white; thin strokes lose level in the small picture
MIN_CONTRAST_CODES = 32  # over the surround
NEUTRAL_CODES = 22  # chroma distance from grey
YELLOW_CB = 80  # yellow subtitles: little blue, red-difference near grey
STROKE_SHARE = 1 / 22  # of the height: wider bright shapes are picture
MAX_GLYPH_HEIGHT = 1 / 6
GAP_SHARE = 1 / 18  # of the height: strokes closer than this belong to one line
MIN_GLYPHS = 4
MIN_GLYPH_PX = 4
MAX_LEVEL_SPREAD = 34.0  # codes between the glyphs' brightest pixels
FILL = (0.12, 0.7)
MIN_CROSSINGS = 4.0  # strokes met on the way along the line
MAX_PITCH = 0.9  # of the glyph height, from stroke to stroke: letters stand close
MIN_LINE_ASPECT = 1.5
MAX_BASE_SPREAD = 0.3  # of the glyph height, around the median
MIN_ON_BASE = 0.6
MAX_HEIGHT_RATIO = 2.0  # capitals and small letters; twigs and glints differ more


def stroke_mask(y: Plane, cb: Plane, cr: Plane, full_range: bool) -> Mask:
    """Thin, near-white (or yellow) shapes that stand out from their surround.

    `y` HxW uint8, `cb` and `cr` uint8 at any size; returns bool HxW.
    """
    black, span = (0, 255) if full_range else (16, 219)
    side = max(5, round(y.shape[0] * STROKE_SHARE)) | 1
    wide = cv2.morphologyEx(y, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    strokes = (y >= black + MIN_LEVEL * span) & (cv2.subtract(y, wide) >= MIN_CONTRAST_CODES)
    neutral = (np.abs(cb.astype(np.int16) - 128) <= NEUTRAL_CODES) | (cb < YELLOW_CB)
    neutral &= np.abs(cr.astype(np.int16) - 128) <= NEUTRAL_CODES
    return strokes & (cv2.resize(neutral.view(np.uint8), y.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0)


def text_mask(strokes: Mask, y: Plane) -> Mask:
    """Those strokes that are set in lines like text, a little widened. `strokes` and `y` are HxW."""
    height = y.shape[0]
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strokes.view(np.uint8), connectivity=8)
    heights = stats[:, cv2.CC_STAT_HEIGHT]
    glyph = (heights >= MIN_GLYPH_PX) & (heights <= MAX_GLYPH_HEIGHT * height)
    glyph[0] = False
    result = np.zeros_like(strokes)
    if glyph.sum() < MIN_GLYPHS:
        return result
    peaks = np.zeros(len(stats), np.uint8)
    np.maximum.at(peaks, labels[strokes], y[strokes])
    kept = glyph[labels]
    for members in _lines(stats, glyph, kept):
        members = _on_one_base(stats, members)
        if len(members) >= MIN_GLYPHS and _is_text(stats[members], peaks[members], kept):
            band = _band(stats[members], strokes.shape)
            result[band] |= strokes[band]
    return cv2.dilate(result.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)


def _lines(stats: Stats, glyph: Mask, kept: Mask) -> list[NDArray[np.intp]]:
    """Indices of glyphs, grouped into those that nearly touch sideways."""
    gap = max(5, round(kept.shape[0] * GAP_SHARE)) | 1
    _, labels = cv2.connectedComponents(cv2.dilate(kept.view(np.uint8), np.ones((1, gap), np.uint8)))
    members = np.flatnonzero(glyph)
    # The first pixel of each glyph tells its line: glyphs are connected, so one pixel speaks for all.
    rows = stats[members, cv2.CC_STAT_TOP]
    columns = [
        stats[i, cv2.CC_STAT_LEFT] + int(np.argmax(kept[row, stats[i, cv2.CC_STAT_LEFT] :]))
        for i, row in zip(members, rows, strict=True)
    ]
    line_of = labels[rows, columns]
    return [members[line_of == line] for line in np.unique(line_of)]


def _on_one_base(stats: Stats, members: NDArray[np.intp]) -> NDArray[np.intp]:
    """The members that stand on the commonest base line; none when fewer than 60 % do."""
    bases = stats[members, cv2.CC_STAT_TOP] + stats[members, cv2.CC_STAT_HEIGHT]
    tolerance = max(1.0, MAX_BASE_SPREAD * float(np.median(stats[members, cv2.CC_STAT_HEIGHT])))
    near = np.abs(bases - np.median(bases)) <= tolerance
    return members[near] if near.mean() >= MIN_ON_BASE else members[:0]


def _box(stats: Stats) -> tuple[int, int, int, int]:
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, base = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(base.max())


def _band(stats: Stats, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The line's box, longer by two line heights each way and with room for descenders."""
    left, top, right, base = _box(stats)
    line = base - top
    rows = slice(max(0, top - line // 4), min(shape[0], base + line // 3 + 1))
    return rows, slice(max(0, left - 2 * line), min(shape[1], right + 2 * line))


def _is_text(stats: Stats, peaks: Plane, kept: Mask) -> bool:
    left, top, right, base = _box(stats)
    box = kept[top:base, left:right]
    crossings = (np.diff(box.astype(np.int8), axis=1) == 1).sum(axis=1)
    dimmest, brightest = np.percentile(peaks, (15, 95))
    small, middle, large = np.percentile(stats[:, cv2.CC_STAT_HEIGHT], (20, 50, 80))
    strokes_met = float(np.quantile(crossings, 0.75))
    return bool(
        right - left >= MIN_LINE_ASPECT * (base - top)
        and FILL[0] <= box.mean() <= FILL[1]
        and strokes_met >= MIN_CROSSINGS
        and right - left <= MAX_PITCH * middle * strokes_met
        and brightest - dimmest <= MAX_LEVEL_SPREAD
        and large <= MAX_HEIGHT_RATIO * small
    )


class GraphicsTracker:
    """Collects the graphics of one shot from its small frames; `reset` begins the next shot."""

    def __init__(self, full_range: bool):
        self._full_range = full_range
        self.reset()

    def reset(self) -> None:
        self._found: Mask | None = None
        self._since: NDArray[np.float64] = np.zeros(0)
        self._previous: Plane = np.zeros((0, 0), np.uint8)
        self._first_s = self._last_s = float("-inf")

    def push(self, time_s: float, y: Plane, cb: Plane, cr: Plane) -> None:
        """Take one small frame, shown at `time_s` seconds; frames closer than 0.12 s to the last one are skipped."""
        if time_s - self._last_s < SAMPLE_S:
            return
        strokes = stroke_mask(y, cb, cr, self._full_range)
        if self._found is None:
            self._found = np.zeros(y.shape, np.bool_)
            self._since = np.where(strokes, time_s, np.inf)
            self._first_s = time_s
        else:
            still = strokes & (cv2.absdiff(y, self._previous) <= STILL_CODES)
            self._since = np.where(still, np.minimum(self._since, time_s), np.where(strokes, time_s, np.inf))
            held = time_s - self._since
            fresh = (held >= PERSIST_S) & ~self._found
            if fresh.any():
                self._found |= text_mask(held >= PERSIST_S, y)
        self._previous, self._last_s = y, time_s

    def finish(self) -> NDArray[np.float32]:
        """The shot's mask at the small frames' size, float32 0 or 1; (0, 0) when no frame came.

        In a shot shorter than 0.4 s, strokes must stand still from its first frame to its last.
        """
        if self._found is None:
            return np.zeros((0, 0), np.float32)
        if self._last_s - self._first_s < PERSIST_S:
            self._found |= text_mask(self._since <= self._first_s, self._previous)
        return self._found.astype(np.float32)


def block_mask(mask: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A small-frame mask as weights of 16x16 luma blocks of the full frame (ceil(height/16), ceil(width/16)), 0..1.

    A block touched by any graphics has a weight near 1, so that a stroke thinner than a block is held as a whole.
    """
    rows, columns = -(-height // 16), -(-width // 16)
    if mask.size == 0 or not mask.any():
        return np.zeros((rows, columns), np.float32)
    # Each block takes the maximum over the small pixels it covers.
    y, x = np.nonzero(mask)
    result = np.zeros((rows, columns), np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            block_y = np.minimum(((y + dy) * height / mask.shape[0] - 0.01 * dy) // 16, rows - 1).astype(np.intp)
            block_x = np.minimum(((x + dx) * width / mask.shape[1] - 0.01 * dx) // 16, columns - 1).astype(np.intp)
            result[block_y, block_x] = 1.0
    return result
