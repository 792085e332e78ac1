"""The streams that travel beside the picture: which the container can hold, and how they are set up in it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import av
import av.error
import ffmpeg
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from toolchain.video.container import FORMATS, open_container
from toolchain.video.encode import url
from toolchain.video.ffmpeg_cli import run_ffmpeg
from toolchain.video.labels import copy_labels
from toolchain.video.output import Container

MUXER_OF: dict[Container, str] = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
TEXT_SUBTITLE_OF: dict[Container, str] = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip"}
_TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")
_COVER_MIME = {
    "mjpeg": ("cover.jpg", "image/jpeg"),
    "png": ("cover.png", "image/png"),
    "bmp": ("cover.bmp", "image/bmp"),
}
_CONVERSION_LIMIT_S = 600

How = Literal["copy", "convert", "attach", "drop"]


@dataclass(frozen=True)
class Companion:
    """What becomes of one source stream; `warning` says so in the user's words where it is not a plain copy."""

    stream: Stream
    how: How
    warning: str | None = None


def plan_companions(source: InputContainer, main_index: int, container: Container) -> list[Companion]:
    """One decision for each stream but the main picture, in the source's order."""
    return [_decide(stream, container) for stream in source.streams if stream.index != main_index]


def _decide(stream: Stream, container: Container) -> Companion:
    name = describe(stream)
    if container == "mkv" and is_cover(stream) and codec_name(stream) in _COVER_MIME:
        return Companion(stream, "attach")
    if stream.type == "data":
        if _rewritten(stream):
            return Companion(stream, "drop")
        return Companion(stream, "drop", f"{name} is left out: data streams are not carried over")
    if _accepts(container, stream):
        return Companion(stream, "copy")
    if stream.type == "subtitle" and codec_name(stream) in _TEXT_SUBTITLES:
        target = TEXT_SUBTITLE_OF[container]
        return Companion(stream, "convert", f"{name} is converted to {target}: {container} cannot hold it as it is")
    return Companion(stream, "drop", f"{name} is left out: {container} cannot hold it")


def _accepts(container: Container, stream: Stream) -> bool:
    """Whether FFmpeg's own muxer takes the stream, found by writing a header with it alone."""
    trial = av.open(io.BytesIO(), "w", format=MUXER_OF[container])
    try:
        add_copy(trial, stream)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    finally:
        with contextlib.suppress(av.error.FFmpegError, OSError):  # a trial: only its header matters
            trial.close()
    return True


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """A stream of `output` with the same codec parameters, time base, tags and dispositions as `stream`."""
    if stream.type == "attachment":
        attachment = cast(AttachmentStream, stream)
        name = attachment.metadata.get("filename", f"attachment-{stream.index}")
        mimetype = attachment.mimetype or attachment.metadata.get("mimetype") or "application/octet-stream"
        added: Stream = output.add_attachment(name, mimetype, attachment.data)
    else:
        added = output.add_stream_from_template(stream, opaque=True)
        added.time_base = stream.time_base
    copy_labels(stream, added)
    return added


def attach_cover(output: OutputContainer, source: Path, stream: Stream) -> None:
    """A cover picture as a Matroska attachment (RFC 9559, section 21.1): the same bytes under the agreed name."""
    name, mimetype = _COVER_MIME[codec_name(stream)]
    with open_container(source) as again:
        data = next((bytes(p) for p in again.demux(again.streams[stream.index]) if p.size), b"")
    labels = dict(stream.metadata)
    added = output.add_attachment(labels.pop("filename", name), labels.pop("mimetype", mimetype), data)
    added.metadata.update(labels)


def copied_packets(
    source: InputContainer, routes: Mapping[int, Stream], container: Container, warnings: list[str]
) -> Iterator[Packet]:
    """The packets of the routed streams, payloads untouched, on the source's clock, bound to their output streams.

    A damaged rest of the source, and decode times that run backwards (no container takes them), become warnings.
    """
    last: dict[int, int] = {}
    mended: set[int] = set()
    for packet in _until_damage(source, list(routes), warnings):
        index = packet.stream_index
        if packet.dts is None:
            packet.dts = packet.pts if packet.pts is not None else last.get(index, -1) + 1
        if packet.pts is None:  # a cover picture has no time, and audio without one is presented as it is decoded
            packet.pts = packet.dts
        repeat_allowed = container == "mkv" or packet.stream.type == "subtitle"
        earliest = last.get(index, packet.dts - 1) + (0 if repeat_allowed else 1)
        if packet.dts < earliest:
            if index not in mended:
                warnings.append(f"{describe(packet.stream)} had timestamps that run backwards; they were moved on")
            mended.add(index)
            packet.dts = earliest
            packet.pts = max(packet.pts, earliest)
        last[index] = packet.dts
        packet.stream = routes[index]
        yield packet


def _until_damage(source: InputContainer, indices: list[int], warnings: list[str]) -> Iterator[Packet]:
    if not indices:
        return
    packets = source.demux([source.streams[index] for index in indices])
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            warnings.append(f"the source is damaged ({error}): its other streams are copied up to there")
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def convert_subtitles(source: Path, streams: Sequence[Stream], container: Container, folder: Path) -> Path:
    """Text subtitles in the codec that `container` holds, on the source's own clock, in a file in `folder`."""
    target = folder / f"subtitles.{container}"
    whitelist = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    opened = ffmpeg.input(url(source.absolute()), copyts=None, **whitelist)
    chosen = [opened[str(stream.index)] for stream in streams]
    graph = ffmpeg.output(*chosen, url(target), **{"c:s": TEXT_SUBTITLE_OF[container]}, fflags="+bitexact")
    run_ffmpeg(graph, cpu_limit_s=_CONVERSION_LIMIT_S)
    return target


def is_cover(stream: Stream) -> bool:
    """A still picture that stands for the file rather than a moving one."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the stream's codec; `unknown` where it has none."""
    return stream.codec_context.codec.name if stream.codec_context else "unknown"


def describe(stream: Stream) -> str:
    """The stream in the words of a warning, e.g. `subtitle stream 3 (pgssub, eng)`."""
    tags = stream.metadata
    words = (codec_name(stream), tags.get("language"), tags.get("title"), tags.get("filename"))
    return f"{stream.type} stream {stream.index} ({', '.join(word for word in words if word)})"


def _rewritten(stream: Stream) -> bool:
    """QuickTime keeps chapter titles and time codes in data tracks; both are written anew from what FFmpeg read."""
    is_titles = stream.metadata.get("handler_name") == "SubtitleHandler" and bool(stream.container.chapters())
    return is_titles or "timecode" in stream.metadata
