"""Frame pairs for the judge: from key frames through a model, or from a source and an output file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.parallel import in_order
from agent.workspace import Workspace
from analysis.vqa.spec import FramePair, HdrFormat, Image, output_nits, source_nits
from analysis.vqa.view import SourceView
from toolchain.color.transfer import REFERENCE_WHITE_NITS, pq_eotf, pq_eotf_inverse
from toolchain.errors import InputError
from toolchain.models.spec import Picture, PixelFunction, ShotContext
from toolchain.video.decode import Filters, decode_frames, pts_of
from toolchain.video.facts import ColorInterpretation, VideoFacts
from toolchain.video.picture import load_signal, rgb_signal
from toolchain.video.shots import Shot

WORKING_WIDTH = 480
WORKING_HEIGHT = 480

HDR_COLOR = ColorInterpretation(matrix="bt2020nc", primaries="bt2020", range="limited", chroma_location="topleft")


@dataclass(frozen=True)
class KeyFrame:
    """A stored key frame ready for the judge: BT.2020 light in nits, what is derived from it, graphics weights."""

    shot: int
    number: int
    of_source: SourceView
    weights: Image


def load_key_frame(path: Path, shot: int, number: int, color: ColorInterpretation, mask: Image | None) -> KeyFrame:
    """Read what the scan stored. `mask`: float32 blocks of the full frame, or None where there are no graphics."""
    of_source = SourceView(source_nits(load_signal(path), color))
    return KeyFrame(shot, number, of_source, frame_mask(mask, *of_source.rgb.shape[:2]))


class ShotContexts:
    """What models may know of each shot: its tone and its key frames. Pictures are read when first asked for."""

    def __init__(self, workspace: Workspace, video: VideoFacts):
        self._color = video.color
        self._full_size = (video.height, video.width)
        self._tones = {item.shot.index: item.tone for item in workspace.load_measurements()}
        self._files: dict[int, list[Path]] = {}
        for shot, _, path in workspace.key_frame_files():
            self._files.setdefault(shot, []).append(path)
        self.of = lru_cache(maxsize=4)(self._context)

    def _context(self, shot: int) -> ShotContext:
        pictures = tuple(self._picture(path) for path in self._files.get(shot, ()))
        return ShotContext(self._tones[shot], pictures, self._full_size)

    def _picture(self, path: Path) -> Picture:
        light = source_nits(load_signal(path), self._color) / np.float32(REFERENCE_WHITE_NITS)
        return light.astype(np.float32, copy=False)


def pilot_pair(frame: KeyFrame, expand: PixelFunction) -> FramePair:
    """What a model makes of one key frame; on graphics, doing nothing takes over as it does in the render."""
    source, weights = frame.of_source.rgb, frame.weights
    expanded = expand(source.astype(np.float64) / REFERENCE_WHITE_NITS).astype(np.float32)
    graphics = weights > 0
    if graphics.any():
        kept, mixed = pq_eotf_inverse(source[graphics]), pq_eotf_inverse(expanded[graphics])
        expanded[graphics] = pq_eotf(mixed + weights[graphics][:, None] * (kept - mixed))
    return FramePair(frame.shot, frame.number, frame.number, source, expanded, weights)


def frame_mask(mask: NDArray[np.float32] | None, height: int, width: int) -> Image:
    """A block mask at picture size; zeros where there is none."""
    if mask is None:
        return np.zeros((height, width), np.float32)
    return _resized(mask, width, height, cv2.INTER_LINEAR)


def _resized(image: Image, width: int, height: int, interpolation: int) -> Image:
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Window:
    """Frames [start, end) of one shot that are read in a row; all are measured up to `measured_end` (None: the end),
    the rest only shown to the judging network."""

    shot: int
    start: int
    end: int
    measured_end: int | None = None

    def measures(self, number: int) -> bool:
        return self.measured_end is None or number < self.measured_end


def choose_windows(
    shots: Sequence[Shot], count: int, length: int, key_frames: Sequence[int], shown: int = 0
) -> list[Window]:
    """At most `count` windows over the shots: `length` frames to measure, and up to `shown` to read.

    Windows begin at key frames of the output where a shot has one, so that a decoder reaches them at once, and never
    cross a cut. What two windows measure never overlaps, and a window is cut short only where its shot has no room
    for a whole one. Adjacent shots are taken in pairs, so that a jump at their cut is seen.
    """
    per_shot = max(1, count // len(shots))
    chosen = shots if len(shots) <= count else [shots[i] for i in _spread_pairs(len(shots), count)]
    windows = []
    for shot in chosen:
        starts = _starts(shot, length, key_frames)
        picks = np.linspace(0, len(starts) - 1, min(per_shot, len(starts))).round().astype(int)
        windows += [
            Window(
                shot.index,
                starts[i],
                min(starts[i] + max(length, shown), shot.end_frame),
                min(starts[i] + length, shot.end_frame),
            )
            for i in sorted(set(picks))
        ]
    return windows


def _starts(shot: Shot, length: int, key_frames: Sequence[int]) -> list[int]:
    """Key frames of the shot that leave room for a whole window, `length` or more apart; else where it begins."""
    starts: list[int] = []
    for frame in key_frames:
        fits = shot.start_frame <= frame <= shot.end_frame - length
        if fits and (not starts or frame >= starts[-1] + length):
            starts.append(frame)
    return starts or [shot.start_frame]


def _spread_pairs(total: int, count: int) -> list[int]:
    """Indices of about `count` of `total` shots: neighbours two by two, evenly spread; an odd one is the last."""
    pairs = max(1, count // 2)
    firsts = np.linspace(0, total - 2, pairs).round().astype(int) if pairs > 1 else [(total - 2) // 2]
    chosen = {int(index) for first in firsts for index in (first, first + 1)}
    return sorted(chosen | {total - 1} if count % 2 and count > 1 else chosen)[-count:]


@dataclass(frozen=True)
class Compared:
    """One side of a comparison: a file, its picture stream, and the times of its frames in presentation order."""

    path: Path
    video: VideoFacts
    pts: NDArray[np.int64]
    filters: Filters = ()

    def signals(self, window: Window, color: ColorInterpretation) -> Iterator[tuple[int, Image]]:
        """(frame number, R'G'B' signal at working size) of the window's frames. Raises InputError where one lacks."""
        start, last = int(self.pts[window.start]), int(self.pts[window.end - 1])
        # Windows are read side by side, so one thread each; a second one would decode frames ahead that nobody wants.
        frames = decode_frames(self.path, self.video, self.filters, start_pts=start, end_pts=last + 1, thread_count=1)
        number = window.start - 1
        for number, frame in enumerate(frames, start=window.start):
            if pts_of(frame) != self.pts[number]:
                raise self._lost(number)
            yield number, rgb_signal(frame, color, WORKING_WIDTH, WORKING_HEIGHT)
        if number != window.end - 1:
            raise self._lost(number + 1)

    def _lost(self, number: int) -> InputError:
        return InputError(
            f"{self.path} is damaged at frame {number} of {len(self.pts)}: the file lists a picture that does not "
            "decode; copy it again"
        )


def hdr_color(video: VideoFacts) -> ColorInterpretation:
    """How an HDR picture's samples are read: as tagged, and as HDR10 where the file does not say."""
    return video.color.model_copy(update={name: getattr(HDR_COLOR, name) for name in video.color.assumed})


def compare(
    source: Compared,
    output: Compared,
    hdr_format: HdrFormat,
    windows: Sequence[Window],
    masks: dict[int, Image | None],
) -> Iterator[FramePair]:
    """Frame pairs of the windows in order, read on a few threads. `masks` gives a shot's block mask; for a shot that
    is missing no detector ran."""

    def read(numbered: tuple[int, Window]) -> list[FramePair]:
        index, window = numbered
        return list(_window_pairs(source, output, hdr_format, index, window, masks))

    for pairs in in_order(read, enumerate(windows)):
        yield from pairs


def _window_pairs(
    source: Compared,
    output: Compared,
    hdr_format: HdrFormat,
    index: int,
    window: Window,
    masks: dict[int, Image | None],
) -> Iterator[FramePair]:
    pairs = zip(
        source.signals(window, source.video.color), output.signals(window, hdr_color(output.video)), strict=True
    )
    for (number, before), (_, after) in pairs:
        before_nits = source_nits(before, source.video.color)
        after_nits = output_nits(after, hdr_format)
        if after_nits.shape != before_nits.shape:
            after_nits = _resized(after_nits, before_nits.shape[1], before_nits.shape[0], cv2.INTER_AREA)
        height, width = before_nits.shape[:2]
        weights = frame_mask(masks[window.shot], height, width) if window.shot in masks else None
        glance = not window.measures(number)
        yield FramePair(window.shot, index, number, before_nits, after_nits, weights, glance)
