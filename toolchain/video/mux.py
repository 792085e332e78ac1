"""The final file: picture segments joined, HDR metadata completed, everything else of the source beside them."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from pydantic import BaseModel, ConfigDict

from toolchain.errors import InputError, SubprocessFailed
from toolchain.files import fsync_file
from toolchain.video.companions import (
    MUXER_OF,
    Companion,
    add_copy,
    attach_cover,
    convert_subtitles,
    copied_packets,
    describe,
    is_cover,
    plan_companions,
)
from toolchain.video.container import open_container
from toolchain.video.encode import url, writing
from toolchain.video.facts import MediaFacts, VideoFacts
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.labels import Labels, copy_labels, file_tags, lost_labels, needs_mdta
from toolchain.video.losses import picture_losses
from toolchain.video.output import OutputSpec
from toolchain.video.picture_track import (
    final_packet,
    presentation_times,
    require_one_encoder,
    template_file,
    timed_packets,
)

if TYPE_CHECKING:
    from av.container.core import Chapter  # exists for type checkers only

_LARGEST_TIMESCALE = 2**31 - 1


class MuxReport(BaseModel):
    """What the final file holds, and everything of the source that it does not hold as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warnings: tuple[str, ...]
    stream_count: int
    shift: Fraction


def finalise(
    segments: Sequence[Path],
    source: Path,
    facts: MediaFacts,
    spec: OutputSpec,
    metadata: HdrMetadata | None,
    temporary: Path,
    last_duration: int | None = None,
) -> MuxReport:
    """Writes the whole deliverable to `temporary` and waits until it is on disk; the caller renames it.

    `segments` are in presentation order, from one encoder setting. `facts` are of `source`. `metadata` None: none is
    written (HLG). `last_duration`: of the last frame, in ticks of the picture's time base; None repeats the last
    step. Small working files go beside the segments. Raises EnvironmentNotReady (disk full), AgentError (segments
    that do not fit together), InputError (no picture, or the source itself as target); then `temporary` is gone.
    """
    video = facts.video
    if video is None or video.time_base is None:
        raise InputError(f"{source} has no picture stream with a time base: nothing to write")
    if temporary.exists() and temporary.samefile(source):
        raise InputError(f"{temporary} is the source itself: choose another output file")
    require_one_encoder(segments)
    try:
        with writing(temporary):
            report = _write(segments, source, video, spec, metadata, temporary, last_duration)
            fsync_file(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return report


def _write(
    segments: Sequence[Path],
    source: Path,
    video: VideoFacts,
    spec: OutputSpec,
    metadata: HdrMetadata | None,
    temporary: Path,
    last_duration: int | None,
) -> MuxReport:
    time_base = cast(Fraction, video.time_base)
    with ExitStack() as stack:
        opened = stack.enter_context(open_container(source))
        companions = plan_companions(opened, video.index, spec.container)
        warnings = picture_losses(video, spec, metadata)
        warnings += [companion.warning for companion in companions if companion.warning]
        subtitles = _converted_subtitles(source, companions, spec, segments[0].parent, warnings)
        if subtitles is not None:
            stack.enter_context(subtitles)
        template = stack.enter_context(av.open(url(template_file(segments[0], metadata))))
        options = _muxer_options(opened, spec, time_base, companions)
        output = stack.enter_context(
            av.open(url(temporary), "w", format=MUXER_OF[spec.container], container_options=options)
        )
        layout = _Layout(output)
        times = presentation_times(segments[:1])
        rate = _constant_rate(times, video)
        layout.add_picture(template.streams.video[0], opened.streams[video.index], video, spec, rate)
        layout.add_companions(companions, source, subtitles)
        shift = _shift(times[0], time_base, warnings)
        output.metadata.update(file_tags(opened))
        output.set_chapters([_moved_chapter(chapter, shift) for chapter in opened.chapters()])
        wanted = Labels.of(output)
        pictures = (final_packet(p, spec, metadata, time_base) for p in timed_packets(segments, spec, last_duration))
        queues = [_routed(pictures, layout.picture), copied_packets(opened, layout.copied, spec.container, warnings)]
        if subtitles is not None:
            queues.append(copied_packets(subtitles, layout.converted, spec.container, warnings))
        _mux_all(output, queues, layout.picture, shift, warnings)
        stream_count = len(output.streams)
        output.close()
    return MuxReport(
        warnings=(*warnings, *lost_labels(wanted, temporary, spec.container)), stream_count=stream_count, shift=shift
    )


class _Layout:
    """The output's streams, and which input stream feeds each."""

    def __init__(self, output: OutputContainer):
        self.output = output
        self.picture: Stream
        self.copied: dict[int, Stream] = {}
        self.converted: dict[int, Stream] = {}

    def add_picture(
        self, template: VideoStream, source: Stream, video: VideoFacts, spec: OutputSpec, rate: Fraction | None
    ) -> None:
        """`rate`: only where it is constant; Matroska states it for every frame, and time codes count with it."""
        picture = self.output.add_stream_from_template(template, opaque=True)
        picture.time_base = cast(Fraction, video.time_base)
        picture.codec_context.sample_aspect_ratio = video.sample_aspect_ratio
        picture.set_display_matrix(video.display_matrix)
        if rate is not None:
            picture.codec_context.framerate = rate
        if spec.codec == "hevc" and spec.container != "mkv":
            picture.codec_context.codec_tag = "hvc1"
        copy_labels(source, picture, encoded_anew=True)
        self.picture = picture

    def add_companions(self, companions: Sequence[Companion], source: Path, subtitles: InputContainer | None) -> None:
        converted = iter(subtitles.streams.subtitles if subtitles else ())
        for companion in companions:
            stream = companion.stream
            if companion.how == "attach":
                attach_cover(self.output, source, stream)
            elif companion.how == "copy":
                self.copied[stream.index] = add_copy(self.output, stream)
            elif companion.how == "convert" and (text := next(converted, None)) is not None:
                self.converted[text.index] = add_copy(self.output, text)
                copy_labels(stream, self.converted[text.index], encoded_anew=True)


def _converted_subtitles(
    source: Path, companions: Sequence[Companion], spec: OutputSpec, folder: Path, warnings: list[str]
) -> InputContainer | None:
    streams = [companion.stream for companion in companions if companion.how == "convert"]
    if not streams:
        return None
    try:
        return av.open(url(convert_subtitles(source, streams, spec.container, folder)))
    except SubprocessFailed as error:
        warnings += [f"{describe(stream)} is left out: it could not be converted ({error})" for stream in streams]
        return None


def _muxer_options(
    source: InputContainer, spec: OutputSpec, time_base: Fraction, companions: Sequence[Companion]
) -> dict[str, str]:
    """Bit-exact headers (no random ids or program names), and clocks on which every timestamp is a whole tick."""
    options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
    if spec.container == "mkv":
        return options
    delayed = [c.stream.time_base for c in companions if c.how == "copy" and c.stream.start_time]
    movie = math.lcm(time_base.denominator, *(base.denominator for base in delayed if base is not None))
    if movie > _LARGEST_TIMESCALE:
        movie = time_base.denominator
    # A cover lives in the iTunes list only, so with one the tags that this list cannot name are given up (and named).
    has_cover = any(is_cover(c.stream) for c in companions if c.how == "copy")
    flags = "+faststart" if has_cover or not needs_mdta(file_tags(source)) else "+faststart+use_metadata_tags"
    timescales = {"video_track_timescale": str(time_base.denominator), "movie_timescale": str(movie)}
    return {**options, **timescales, "movflags": flags}


def _constant_rate(times: Sequence[int], video: VideoFacts) -> Fraction | None:
    """The frame rate, where every step of the first segment is that rate's to within a tick, or a Matroska tick."""
    rate, base = video.frame_rate, video.time_base
    if not rate or not base:
        return None
    tolerance_s = max(base, Fraction(1, 1000))
    steady = all(abs((later - earlier) * base - 1 / rate) <= tolerance_s for earlier, later in pairwise(times))
    return rate if steady else None


def _shift(first_pts: int, time_base: Fraction, warnings: list[str]) -> Fraction:
    """Seconds to add to everything: 0, unless the first frame lies before zero, which no container can express."""
    if first_pts >= 0:
        return Fraction(0)
    shift = -first_pts * time_base
    warnings.append(f"the picture starts at {float(-shift):.6f} s: all streams begin {float(shift):.6f} s later")
    return shift


def _routed(packets: Iterable[Packet], stream: Stream) -> Iterator[Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _mux_all(
    output: OutputContainer,
    queues: Sequence[Iterator[Packet]],
    picture: Stream,
    shift: Fraction,
    warnings: list[str],
) -> None:
    """Interleaves by decode time. A packet of another stream that the muxer refuses is left out with a warning."""
    refused: Counter[str] = Counter()
    for packet in heapq.merge(*queues, key=_decode_time_s):
        try:
            output.mux_one(_moved(packet, shift))
        except av.error.InvalidDataError:
            if packet.stream_index == picture.index:
                raise
            refused[describe(packet.stream)] += 1
    warnings += [f"{count} damaged packets of {name} are left out" for name, count in refused.items()]


def _decode_time_s(packet: Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _moved(packet: Packet, shift: Fraction) -> Packet:
    if shift:
        ticks = round(shift / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packet


def _moved_chapter(chapter: Chapter, shift: Fraction) -> Chapter:
    ticks = round(shift / (chapter["time_base"] or Fraction(1)))
    return {**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks}
