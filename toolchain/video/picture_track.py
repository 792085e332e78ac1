"""The picture stream of the final file: the segments' packets on one clock, with the HDR metadata put in."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import ffmpeg
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from toolchain.errors import AgentError
from toolchain.video.encode import read_segment, url
from toolchain.video.ffmpeg_cli import run_ffmpeg
from toolchain.video.hdr_metadata import HdrMetadata, with_av1_metadata, with_hevc_metadata
from toolchain.video.output import OutputSpec


def presentation_times(segments: Sequence[Path]) -> list[int]:
    """Every frame's timestamp over all segments, increasing, in ticks of the picture stream's time base."""
    return [pts for path in segments for pts in _times(path)]


def template_file(segment: Path, metadata: HdrMetadata | None) -> Path:
    """A file whose only stream has the segment's parameters, and the metadata as FFmpeg's stream side data.

    FFmpeg's muxers write the `mdcv` and `clli` boxes and the Matroska Colour elements from that side data, which PyAV
    cannot set but copies from a template stream. ffmpeg can: it puts the first frame into a file beside the segment.
    """
    if metadata is None:
        return segment
    template = segment.with_name("template.mkv")
    side_data = {
        "mastering_display:v:0": metadata.mastering_argument(),
        "content_light:v:0": f"{metadata.max_cll},{metadata.max_fall}",
    }
    first = ffmpeg.input(url(segment), **side_data)
    run_ffmpeg(ffmpeg.output(first, url(template), c="copy", **{"frames:v": 1}))
    return template


def require_one_encoder(segments: Sequence[Path]) -> None:
    """AgentError where there are no segments or their decoder configurations differ (an older run's leftovers)."""
    if not segments:
        raise AgentError("there are no segments to join")
    first = _context(segments[0]).extradata
    for path in segments[1:]:
        if _context(path).extradata != first:
            raise AgentError(f"{path.name} was encoded with other settings than {segments[0].name}; render it again")


def timed_packets(segments: Sequence[Path], spec: OutputSpec, last_duration: int | None) -> Iterator[Packet]:
    """All packets in coding order. With reorder depth d, packet i is decoded at the i-d th presentation time.

    So decode times increase strictly and never exceed presentation times over any variable frame rate. A duration is
    the distance to the next frame; the last frame's is `last_duration`, else that of the frame before it, else 1.
    """
    depth = _context(segments[0]).reorder_depth if spec.codec == "hevc" else 0
    tail: list[int] | None = None
    last_pts: int | None = None
    for path in segments:
        times = _times(path)
        if last_pts is not None and times[0] <= last_pts:
            raise AgentError(f"{path.name} begins at {times[0]}, before the segment ahead of it ends ({last_pts})")
        step = times[-1] - times[-2] if len(times) > 1 else last_duration or 1
        if tail is None:
            tail = [times[0] - (depth - i) * step for i in range(depth)]
        decode_times = tail + times
        final = last_duration if last_duration is not None and path == segments[-1] else step
        for index, packet in enumerate(read_segment(path)):
            pts = cast(int, packet.pts)
            packet.dts = decode_times[index]
            if packet.dts > pts:
                raise AgentError(f"{path.name} reorders frames by more than the {depth} its header announces")
            following = bisect.bisect_right(times, pts)
            packet.duration = times[following] - pts if following < len(times) else final
            yield packet
        tail, last_pts = decode_times[len(times) :], times[-1]


def final_packet(packet: Packet, spec: OutputSpec, metadata: HdrMetadata | None, time_base: Fraction) -> Packet:
    """The packet as it goes into the container: metadata at random access points, `hvc1` rules kept, exact clock."""
    result = packet
    if spec.codec == "hevc":
        unit = with_hevc_metadata(bytes(packet), metadata, keep_parameter_sets=spec.container == "mkv")
        result = _replaced(packet, unit)
    elif spec.codec == "av1" and metadata is not None and packet.is_keyframe:
        result = _replaced(packet, with_av1_metadata(bytes(packet), metadata))
    result.time_base = time_base
    return result


def _replaced(packet: Packet, payload: bytes) -> Packet:
    result = Packet(payload)
    result.pts, result.dts, result.duration = packet.pts, packet.dts, packet.duration
    result.is_keyframe = packet.is_keyframe
    return result


def _times(path: Path) -> list[int]:
    return sorted(cast(int, packet.pts) for packet in read_segment(path))


def _context(path: Path) -> VideoCodecContext:
    with av.open(url(path)) as container:
        return container.streams.video[0].codec_context
