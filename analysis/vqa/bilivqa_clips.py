"""A file of any kind, SDR or HDR, as the clips that BILIVQA scores: only the frames it needs are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path

from analysis.vqa.display import CLIP_FRAMES
from analysis.vqa.spec import Image, output_nits, source_nits
from toolchain.errors import InputError
from toolchain.video.color_tags import NOT_DISPLAY_REFERRED, UNREADABLE_MATRICES
from toolchain.video.decode import decode_frames, deinterlace_filters
from toolchain.video.facts import ColorInterpretation, MediaFacts, VideoFacts
from toolchain.video.picture import rgb_signal
from toolchain.video.probe import probe

CLIPS = 3
"""Clips of a video, spread evenly."""

WORKING_SIDE = 480
"""The longer side of a frame that is judged; larger ones are averaged down to it."""

_HDR_READ = ColorInterpretation(matrix="bt2020nc", primaries="bt2020", range="limited", chroma_location="topleft")


@dataclass(frozen=True)
class ClipReader:
    """One file whose light is known. `open_clips` makes it."""

    path: Path
    video: VideoFacts

    @cached_property
    def frame_count(self) -> int:
        """As the container states it, else by its duration; at least 1."""
        stated = self.video.frame_count or round((self.video.duration_s or 0) * self._rate)
        return max(1, stated)

    @property
    def _rate(self) -> Fraction:
        return self.video.frame_rate or Fraction(25)

    def starts(self, count: int = CLIPS) -> list[int]:
        """Frame numbers at which clips begin: at most `count`, none overlapping, each amid its share of the video."""
        room = self.frame_count - CLIP_FRAMES
        clips = max(1, min(count, self.frame_count // CLIP_FRAMES))
        return [max(0, int(room * (index + 0.5) / clips)) for index in range(clips)]

    def frames(self, start: int) -> Iterator[Image]:
        """Up to 32 frames from number `start` on as BT.2020 nits at working size, float32 HxWx3, SDR white at 203.

        InputError where the file is damaged there or holds no frame.
        """
        filters = deinterlace_filters(self.video.field_order)
        decoded = decode_frames(self.path, self.video, filters, start_pts=self._pts(start), thread_count=1)
        found = False
        for frame in islice(decoded, CLIP_FRAMES):
            found = True
            yield self._nits(rgb_signal(frame, self._color, WORKING_SIDE, WORKING_SIDE))
        if not found and start:
            yield from self.frames(0)  # shorter than it says

    def _pts(self, start: int) -> int | None:
        if start == 0 or self.video.time_base is None:
            return None
        # Half a frame early: stored times are rounded.
        return (self.video.start_pts or 0) + int((start - Fraction(1, 2)) / self._rate / self.video.time_base)

    @cached_property
    def _color(self) -> ColorInterpretation:
        if self.video.hdr == "none":
            return self.video.color
        return self.video.color.model_copy(
            update={name: getattr(_HDR_READ, name) for name in self.video.color.assumed}
        )

    def _nits(self, signal: Image) -> Image:
        if self.video.hdr == "none":
            return source_nits(signal, self._color)
        return output_nits(signal, "hlg" if self.video.hdr == "hlg" else "hdr10")


def open_clips(path: Path) -> ClipReader:
    """Probe a file. InputError for what is no video or whose light is not known here (log, linear, Dolby Vision)."""
    facts: MediaFacts = probe(path)
    video = facts.video
    if video is None:
        raise InputError(f"{path} holds no picture: give a file with a video stream")
    unreadable = video.tags.matrix in UNREADABLE_MATRICES and video.color.matrix != "rgb"
    if video.hdr == "dolby_vision" or unreadable or (video.hdr == "none" and _no_display(video)):
        what = video.hdr_reason or f"transfer {video.tags.transfer}, matrix {video.tags.matrix}"
        raise InputError(
            f"{path} cannot be shown as light here ({what}): give SDR, PQ or HLG with an ordinary matrix"
        )
    return ClipReader(path, video)


def _no_display(video: VideoFacts) -> bool:
    return video.tags.transfer in NOT_DISPLAY_REFERRED
