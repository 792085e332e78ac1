"""The whole file through one model: decode -> restore -> expand (fused kernel) -> encode, segment by segment.

A segment depends on nothing but the source, the shots and the settings, and gets its name when it is whole. So a
killed render goes on at the first missing one, and the result is the same as that of an uninterrupted one. While a
segment is encoded, the one before it is decoded again, and its light level measured on what was written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, takewhile
from pathlib import Path
from typing import Literal, Protocol

import av
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from toolchain.errors import InputError
from toolchain.events import Emit, Progress
from toolchain.expanders import Expander, FrameFunction
from toolchain.files import write_atomic
from toolchain.kernel import FrameSpec
from toolchain.lut import OutputFormat
from toolchain.segments import Segment
from toolchain.video.decode import decode_frames
from toolchain.video.encode import SegmentEncoder, coded_size, new_frame, plane_views, url
from toolchain.video.facts import VideoFacts
from toolchain.video.measure import LightLevelMeter
from toolchain.video.output import OutputSpec

KERNEL_THREADS = 2
FRAMES_IN_FLIGHT = 4
"""Frames between decoder and encoder: enough to keep the kernel threads busy, few enough for 2160p memory."""

PROGRESS_EVERY_FRAMES = 8

FALLBACK_FRAME_RATE = Fraction(25)
"""Rate control's guess where the file states no rate; timestamps do not depend on it."""


class SegmentReport(BaseModel):
    """What was measured on a finished segment, stored beside it.

    Light levels in nits of max(R, G, B); None for HLG, whose light depends on the display and is written nowhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    max_cll: int | None = None
    max_fall: int | None = None


class FrameRestorer(Protocol):
    """A network that mends a frame before it is expanded; any thread may call it."""

    def restore(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame at 10 bits or more, same chroma format, colour tags and time."""
        ...


@dataclass(frozen=True)
class RenderJob:
    """All that decides the rendered pictures.

    `pts`: the source's presentation times in the stream's time base, one a frame. `restorers` run after the filters,
    in order.
    """

    source: Path
    video: VideoFacts
    pts: NDArray[np.int64]
    segments: Sequence[Segment]
    filters: Sequence[tuple[str, str]]
    expander: Expander
    output: OutputSpec
    folder: Path
    restorers: Sequence[FrameRestorer] = ()

    def segment_path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.index:05d}.mkv"


def render(job: RenderJob, emit: Emit) -> list[SegmentReport]:
    """Render into `job.folder` from the first missing segment on; returns the reports of all segments, in order.

    Raises InputError when the source does not decode to the frames that were scanned.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    done = list(takewhile(lambda segment: job.segment_path(segment).exists(), job.segments))
    missing = job.segments[len(done) :]
    with ThreadPoolExecutor(1) as meter, ThreadPoolExecutor(KERNEL_THREADS) as kernels:
        reports = [meter.submit(_measure, job, segment) for segment in done]
        if missing:
            frames = _frames_from(job, missing[0].start_frame)
            for segment in missing:
                _encode(job, segment, frames, kernels, emit)
                reports.append(meter.submit(_measure, job, segment))
            next(frames, None)  # runs to the check that the source ends where it did when it was scanned
        return [report.result() for report in reports]


def _frames_from(job: RenderJob, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Source frames from frame `first` on; those before it that the expander must have seen are shown to it."""
    frames = _source_frames(job, job.expander.first_needed(first))
    for number, frame in frames:
        if number < first:
            job.expander.at(number, frame)
        else:
            yield number, frame


def _source_frames(job: RenderJob, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Numbered, filtered source frames from frame `first` on, checked against the scanned times."""
    start_pts = int(job.pts[first]) if first else None
    number = first
    for frame in decode_frames(job.source, job.video, job.filters, start_pts=start_pts):
        if number >= len(job.pts) or frame.pts != job.pts[number]:
            raise InputError(
                f"{job.source} decodes to other frames than before (at frame {number}): is it still growing?"
            )
        yield number, frame
        number += 1
    if number != len(job.pts):
        raise InputError(f"{job.source} decodes to {number} frames, {len(job.pts)} were scanned: is the file intact?")


def _encode(
    job: RenderJob,
    segment: Segment,
    frames: Iterator[tuple[int, av.VideoFrame]],
    kernels: ThreadPoolExecutor,
    emit: Emit,
) -> None:
    """Send all frames of `segment` through the kernel to an encoder of its own, and complete its file."""
    _report_path(job, segment).unlink(missing_ok=True)
    in_flight: deque[Future[av.VideoFrame]] = deque()
    with _open_encoder(job, segment) as encoder:
        for number, frame in islice(frames, segment.end_frame - segment.start_frame):
            in_flight.append(kernels.submit(_expand, job, frame, job.expander.at(number, frame)))
            if len(in_flight) == FRAMES_IN_FLIGHT:
                encoder.write(in_flight.popleft().result())
            if number % PROGRESS_EVERY_FRAMES == 0:
                emit(Progress(step="render", done=number, total=len(job.pts)))
        for expanded in in_flight:
            encoder.write(expanded.result())
    emit(Progress(step="render", done=segment.end_frame, total=len(job.pts)))


def _open_encoder(job: RenderJob, segment: Segment) -> SegmentEncoder:
    video = job.video
    width, height = coded_size(job.output, video.width, video.height)
    rate = video.frame_rate or FALLBACK_FRAME_RATE
    assert video.time_base is not None  # noqa: S101 - a scanned picture has one
    path = job.segment_path(segment)
    return SegmentEncoder(path, job.output, width, height, video.sample_aspect_ratio, video.time_base, rate)


def _expand(job: RenderJob, frame: av.VideoFrame, expand: FrameFunction) -> av.VideoFrame:
    """One decoded frame, restored and expanded into a new encoder frame, at the same time."""
    for restorer in job.restorers:
        frame = restorer.restore(frame)
    expanded = new_frame(job.output, *coded_size(job.output, frame.width, frame.height))
    target = plane_views(expanded)
    expand(frame, target, frame_spec(frame, job.video, job.output))
    _repeat_edges(target[0], frame.width, frame.height)
    expanded.pts = frame.pts
    return expanded


_CHROMA: dict[tuple[int, int], Literal["4:2:0", "4:2:2", "4:4:4"]] = {
    (2, 2): "4:2:0",
    (2, 1): "4:2:2",
    (1, 1): "4:4:4",
}


def frame_spec(frame: av.VideoFrame, video: VideoFacts, output: OutputSpec) -> FrameSpec:
    """What the kernel must know of a decoded frame; `decode_frames` yields no other chroma than these."""
    form = frame.format
    if form.is_rgb:
        chroma = "rgb"
    elif len(form.components) == 1:
        chroma = "4:0:0"
    else:
        chroma = _CHROMA[64 // form.chroma_width(64), 64 // form.chroma_height(64)]
    bits = form.components[0].bits
    return FrameSpec(frame.width, frame.height, bits, chroma, video.color, lut_format(output))


def lut_format(output: OutputSpec) -> OutputFormat:
    """What the colour tables of this output hold."""
    transfer = "pq" if output.hdr_format == "hdr10" else "hlg"
    return OutputFormat(transfer=transfer, bit_depth=10, chroma=output.chroma)


def _repeat_edges(luma: NDArray[np.uint16], width: int, height: int) -> None:
    """Fill the row or column that an even coded size adds to an odd picture."""
    luma[height:, :] = luma[height - 1]
    luma[:, width:] = luma[:, width - 1 : width]


def _report_path(job: RenderJob, segment: Segment) -> Path:
    return job.segment_path(segment).with_suffix(".json")


def _measure(job: RenderJob, segment: Segment) -> SegmentReport:
    """The light level of a finished segment, decoded again; one that was measured before is read from its report."""
    if job.output.hdr_format == "hlg":
        return SegmentReport(index=segment.index)
    stored = _report_path(job, segment)
    if stored.exists():
        return SegmentReport.model_validate_json(stored.read_bytes())
    meter = _measured(job.segment_path(segment))
    report = SegmentReport(index=segment.index, max_cll=meter.max_cll, max_fall=meter.max_fall)
    write_atomic(stored, report.model_dump_json())
    return report


def _measured(path: Path) -> LightLevelMeter:
    meter = LightLevelMeter()
    with av.open(url(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            meter.add(frame)
    return meter
