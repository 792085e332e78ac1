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
"""One row a connected shape, in OpenCV's columns CC_STAT_*."""

SAMPLE_S = 0.19  # pictures closer in time than this are skipped: three make up PERSIST_S
PERSIST_S = 0.38
STILL_CODES = 12  # how far a stroke's luma may wander between samples
MIN_LEVEL = 0.62  # of white; thin strokes lose level in the small picture ...
MIN_LINE_LEVEL = 0.78  # ... but not all strokes of a line do
MIN_CONTRAST_CODES = 32  # over the surround
NEUTRAL_CODES = 22  # chroma distance from grey
YELLOW_CB = 80  # yellow subtitles: little blue, red-difference near grey
STROKE_SHARE = 1 / 22  # of the height: wider bright shapes are picture
MAX_GLYPH_HEIGHT = 1 / 6
GAP_SHARE = 1 / 13  # of the height: strokes closer than this belong to one line
MIN_GLYPHS = 4
MIN_FRESH_PX = 12  # newly lasting strokes that are worth a look
MIN_GLYPH_PX = 4
MAX_LEVEL_SPREAD = 34.0  # codes between the glyphs' brightest pixels
FILL = (0.12, 0.7)
MIN_CROSSINGS = 4.0  # strokes met on the way along the line
MAX_PITCH = 0.9  # of the glyph height, from stroke to stroke: letters stand close
MIN_LINE_ASPECT = 1.5
MAX_BASE_SPREAD = 0.3  # of the glyph height, around the median
MIN_ON_BASE = 0.6
MAX_HEIGHT_RATIO = 1.7  # capitals and small letters; twigs and glints differ more

LOGO_ZONE = 0.22  # of width and height, at each corner
LOGO_MIN_S = 1.0
LOGO_HELD = 0.9  # of the shot's time
LOGO_MIN_PX = 12
LOGO_CALM_CODES = 16  # how far the logo itself may change ...
LOGO_STIR_CODES = 24  # ... while most of the picture around it changes more
LOGO_STIR_SHARE = 0.6


def stroke_mask(y: Plane, cb: Plane, cr: Plane, full_range: bool) -> Mask:
    """Thin, near-white (or yellow) shapes that stand out from their surround.

    `y`, `cb`, `cr` are HxW uint8 in the source's range; returns bool HxW.
    """
    side = max(5, round(y.shape[0] * STROKE_SHARE)) | 1
    wide = cv2.morphologyEx(y, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    strokes = (y >= _code(MIN_LEVEL, full_range)) & (cv2.subtract(y, wide) >= MIN_CONTRAST_CODES)
    neutral = (np.abs(cb.astype(np.int16) - 128) <= NEUTRAL_CODES) | (cb < YELLOW_CB)
    neutral &= np.abs(cr.astype(np.int16) - 128) <= NEUTRAL_CODES
    return strokes & neutral


def _code(signal: float, full_range: bool) -> float:
    return 255.0 * signal if full_range else 16.0 + 219.0 * signal


def text_mask(strokes: Mask, y: Plane, full_range: bool) -> Mask:
    """Those strokes that are set in lines like text, a little widened. `strokes` and `y` are HxW."""
    height = y.shape[0]
    _, labels, found, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    stats = found.astype(np.int32, copy=False)
    heights = stats[:, cv2.CC_STAT_HEIGHT]
    glyph = (heights >= MIN_GLYPH_PX) & (heights <= MAX_GLYPH_HEIGHT * height)
    glyph[0] = False
    result = np.zeros_like(strokes)
    if glyph.sum() < MIN_GLYPHS:
        return result
    kept = glyph[labels]
    for members in _lines(stats, glyph, kept):
        members = _on_one_base(stats, members)
        if len(members) >= MIN_GLYPHS and _is_text(stats[members], kept, y, _code(MIN_LINE_LEVEL, full_range)):
            band = _band(stats[members], strokes.shape)
            result[band] |= strokes[band]
    return _widened(result, 3)


def _lines(stats: Stats, glyph: Mask, kept: Mask) -> list[NDArray[np.intp]]:
    """Indices of glyphs, grouped into those that nearly touch sideways; groups of fewer than MIN_GLYPHS left out."""
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
    lines, sizes = np.unique(line_of, return_counts=True)
    return [members[line_of == line] for line in lines[sizes >= MIN_GLYPHS]]


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


def _peak(shape: Stats, kept: Mask, y: Plane) -> int:
    left, top, right, base = _box(shape[np.newaxis])
    return int(np.where(kept[top:base, left:right], y[top:base, left:right], 0).max())


def _band(stats: Stats, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The line's box, longer by two line heights each way and with room for descenders."""
    left, top, right, base = _box(stats)
    line = base - top
    rows = slice(max(0, top - line // 4), min(shape[0], base + line // 3 + 1))
    return rows, slice(max(0, left - 2 * line), min(shape[1], right + 2 * line))


def _is_text(stats: Stats, kept: Mask, y: Plane, min_brightest: float) -> bool:
    left, top, right, base = _box(stats)
    box = kept[top:base, left:right]
    crossings = (np.diff(box.astype(np.int8), axis=1) == 1).sum(axis=1)
    dimmest, brightest = np.percentile([_peak(shape, kept, y) for shape in stats], (15, 95))
    small, middle, large = np.percentile(stats[:, cv2.CC_STAT_HEIGHT], (20, 50, 80))
    strokes_met = float(np.quantile(crossings, 0.75))
    return bool(
        right - left >= MIN_LINE_ASPECT * (base - top)
        and FILL[0] <= box.mean() <= FILL[1]
        and strokes_met >= MIN_CROSSINGS
        and right - left <= MAX_PITCH * middle * strokes_met
        and brightest >= min_brightest
        and brightest - dimmest <= MAX_LEVEL_SPREAD
        and large <= MAX_HEIGHT_RATIO * small
    )


def logo_mask(held: Mask, change: Plane) -> Mask:
    """Strokes in the corners that stand still while the picture around them moves.

    `held`: strokes seen for nearly the whole shot; `change`: largest less smallest luma over it; both HxW.
    """
    height, width = held.shape
    rows, columns = max(1, round(LOGO_ZONE * height)), max(1, round(LOGO_ZONE * width))
    result = np.zeros_like(held)
    for across in (slice(0, columns), slice(width - columns, width)):
        for down in (slice(0, rows), slice(height - rows, height)):
            calm = held[down, across] & (change[down, across] <= LOGO_CALM_CODES)
            around = change[down, across][~_widened(calm, 5)]
            if calm.sum() >= LOGO_MIN_PX and around.size and (around >= LOGO_STIR_CODES).mean() >= LOGO_STIR_SHARE:
                result[down, across] |= calm
    return _widened(result, 3)


def _widened(mask: Mask, size: int) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)).astype(np.bool_)


class GraphicsTracker:
    """Collects the graphics of one shot from its small frames."""

    def __init__(self) -> None:
        self._found: Mask | None = None
        self._held: NDArray[np.float32] = np.zeros(0, np.float32)
        self._strokes: Mask = np.zeros((0, 0), np.bool_)
        self._previous: Plane = np.zeros((0, 0), np.uint8)
        self._low: Plane = self._previous
        self._high: Plane = self._previous
        self._full_range = False
        self._first_s = self._last_s = float("-inf")

    def push(self, time_s: float, y: Plane, cb: Plane, cr: Plane, full_range: bool) -> None:
        """Take one small frame, shown at `time_s` seconds; frames closer than 0.19 s to the last one are skipped."""
        if time_s - self._last_s < SAMPLE_S:
            return
        y = np.array(y)  # a copy: the caller's planes are views that do not last
        strokes = stroke_mask(y, cb, cr, full_range)
        if self._found is None:
            self._found = np.zeros(y.shape, np.bool_)
            self._held = np.zeros(y.shape, np.float32)
            self._first_s = time_s
            self._low, self._high = y, y
        else:
            still = strokes & (cv2.absdiff(y, self._previous) <= STILL_CODES)
            self._held = np.where(
                still & self._strokes, self._held + np.float32(time_s - self._last_s), np.float32(0)
            )
            lasting = self._held >= PERSIST_S
            if np.count_nonzero(lasting & ~self._found) >= MIN_FRESH_PX:
                self._found |= text_mask(lasting, y, full_range)
        self._strokes, self._full_range = strokes, full_range
        self._low, self._high = np.minimum(self._low, y), np.maximum(self._high, y)
        self._previous, self._last_s = y, time_s

    def finish(self) -> NDArray[np.float32]:
        """The shot's mask at the small frames' size, float32 0 or 1; (0, 0) when no frame came.

        In a shot shorter than 0.4 s, strokes must stand still from its first frame to its last.
        """
        if self._found is None:
            return np.zeros((0, 0), np.float32)
        length_s = self._last_s - self._first_s
        if length_s < PERSIST_S:
            self._found |= text_mask(self._strokes & (self._held >= length_s), self._previous, self._full_range)
        if length_s >= LOGO_MIN_S:
            self._found |= logo_mask(self._held >= LOGO_HELD * length_s, np.subtract(self._high, self._low))
        return self._found.astype(np.float32)


def block_mask(mask: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A small-frame mask as weights of 16x16 luma blocks of the full frame (ceil(height/16), ceil(width/16)), 0..1.

    A block touched by any graphics has weight 1, so that a stroke thinner than a block is held as a whole.
    """
    rows, columns = -(-height // 16), -(-width // 16)
    if mask.size == 0 or not mask.any():
        return np.zeros((rows, columns), np.float32)
    y, x = np.nonzero(mask)
    result = np.zeros((rows, columns), np.float32)
    # Both ends of each small pixel mark their block: a pixel may lie across two.
    for block_y in _blocks_of(y, height / mask.shape[0], rows):
        for block_x in _blocks_of(x, width / mask.shape[1], columns):
            result[block_y, block_x] = 1.0
    return result


def _blocks_of(index: NDArray[np.intp], scale: float, count: int) -> list[NDArray[np.intp]]:
    ends = (index * scale, (index + 1) * scale - 1e-3)
    return [np.minimum(end // 16, count - 1).astype(np.intp) for end in ends]
