"""Decoded frames in presentation order with exact timestamps, optionally filtered, from any point of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.models.restore import restore_filters
from toolchain.video.container import SEEKABLE, open_container, short_reason
from toolchain.video.describe import buffer_arguments
from toolchain.video.facts import FieldOrder, VideoFacts

Filters = Sequence[tuple[str, str]]

PREROLL_FRAMES = 4
"""Frames decoded before the first wanted one when filters run: bwdif looks at two neighbours on each side."""

Chroma = Literal["4:0:0", "4:2:0", "4:2:2", "4:4:4", "4:1:1", "4:4:0", "rgb"]
_PLANAR: dict[Chroma, str] = {
    "4:0:0": "gray",
    "4:2:0": "{family}420p",
    "4:2:2": "{family}422p",
    "4:1:1": "{family}422p",
    "4:4:4": "{family}444p",
    "4:4:0": "{family}444p",
    "rgb": "gbrp",
}
_FIRST_FIELD: dict[FieldOrder, float] = {"tff": 0, "bff": 1}
_DEPTHS = {8: "", 10: "10le", 12: "12le", 16: "16le"}


def deinterlace_filters(field_order: FieldOrder) -> tuple[tuple[str, str], ...]:
    """Filters that turn interlaced frames into as many progressive ones; none for progressive or unknown.

    They are the catalogue's model `deinterlace` with the field that comes first.
    """
    if field_order not in _FIRST_FIELD:
        return ()
    return restore_filters("deinterlace", {"parity": _FIRST_FIELD[field_order]})


@cache
def chroma_of(pix_fmt: str) -> Chroma:
    """Chroma format of an FFmpeg pixel format; 4:1:0 counts as 4:2:0, the nearest that is worked on."""
    form = av.VideoFormat(pix_fmt)
    if form.is_rgb or form.has_palette:
        return "rgb"
    if len(form.components) < 3:
        return "4:0:0"
    # 64 is a size that every subsampling divides, so the shares are exact.
    shares = 64 // form.chroma_width(64), 64 // form.chroma_height(64)
    ratios: dict[tuple[int, int], Chroma] = {(1, 1): "4:4:4", (2, 1): "4:2:2", (4, 1): "4:1:1", (1, 2): "4:4:0"}
    return ratios.get(shares, "4:2:0")


@cache
def decoded_format(pix_fmt: str, min_bits: int = 8) -> str:
    """The planar little-endian format that frames of `pix_fmt` leave this module in, at least `min_bits` deep.

    Planar formats of 8, 10, 12 or 16 bits without alpha stay; others go to the nearest one that loses nothing but
    alpha: packed and semi-planar to planar, 4:1:1 to 4:2:2, 4:4:0 to 4:4:4, 9 and 14 bits up, RGB to gbrp.
    """
    bits = max([min_bits, *(c.bits for c in av.VideoFormat(pix_fmt).components)])
    depth = next((known for known in _DEPTHS if known >= bits), 16)
    family = "yuvj" if pix_fmt.startswith("yuvj") and depth == 8 else "yuv"
    return _PLANAR[chroma_of(pix_fmt)].format(family=family) + _DEPTHS[depth]


def decode_frames(
    path: Path,
    video: VideoFacts,
    filters: Filters = (),
    *,
    start_pts: int | None = None,
    end_pts: int | None = None,
    thread_count: int = 2,
) -> Iterator[VideoFrame]:
    """Frames with `start_pts` <= pts < `end_pts`, strictly increasing, pts and time_base those of the stream.

    Frames come in `decoded_format(video.pix_fmt)`, or at 10 bits or more of the same chroma format when `filters`
    ((name, arguments) pairs; a leading bwdif runs before the conversion) are given; matrix and range are never
    changed. What an edit list discards is left out. Frames without a timestamp get frame number / frame rate.
    A range gives the same frames as the same part of a whole decode. Raises InputError at the first damage, at a
    change of size or format, and when timestamps do not increase; the frames before it have been yielded.
    """
    with open_container(path) as container:
        stream = container.streams[video.index]
        if not isinstance(stream, VideoStream):
            raise InputError(f"{path} has no picture in stream {video.index}: it changed since it was probed")
        _set_threads(stream, thread_count)
        preroll = _preroll_ticks(video) if filters else 0
        packets = _packets_from(container, stream, None if start_pts is None else start_pts - preroll)
        frames = _uniform(path, video, _decoded(path, video, packets, start_pts))
        for frame in _increasing(path, video, _filtered(frames, video, filters)):
            pts = pts_of(frame)
            if end_pts is not None and pts >= end_pts:
                return
            if start_pts is None or pts >= start_pts:
                yield frame


def pts_of(frame: VideoFrame) -> int:
    """The frame's timestamp; every frame of `decode_frames` has one, so InputError is for frames from elsewhere."""
    if frame.pts is None:
        raise InputError("a frame without a timestamp: rewrite the file with `ffmpeg -i IN -c copy OUT.mp4`")
    return frame.pts


def planes(frame: VideoFrame) -> tuple[NDArray, ...]:
    """Views of the visible samples, (H, W) uint8 or uint16, Y Cb Cr (or Y alone); R, G, B for gbrp formats.

    No copy: a view keeps its frame alive. Only for the formats of `decoded_format`.
    """
    form = frame.format
    views = []
    for index, plane in enumerate(frame.planes):
        chroma = index > 0 and not form.is_rgb
        width = form.chroma_width(frame.width) if chroma else frame.width
        height = form.chroma_height(frame.height) if chroma else frame.height
        dtype = np.uint8 if form.components[0].bits <= 8 else np.uint16
        rows = np.frombuffer(cast(memoryview, plane), dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
        views.append(rows[:height, :width])
    if form.name.startswith("gbrp"):
        green, blue, red = views
        return red, green, blue
    return tuple(views)


def _set_threads(stream: VideoStream, thread_count: int) -> None:
    stream.codec_context.thread_type = ThreadType.AUTO
    stream.codec_context.thread_count = thread_count


def _preroll_ticks(video: VideoFacts) -> int:
    rate, time_base = video.frame_rate or Fraction(24), video.time_base or Fraction(1, 90000)
    return round(PREROLL_FRAMES / rate / time_base)


def _packets_from(container: InputContainer, stream: VideoStream, pts: int | None) -> Iterator[Packet]:
    """Packets from a key frame at or before `pts` (presentation order restarts there, open GOP or not), else all."""
    if pts is None or not any(name in container.format.name for name in SEEKABLE):
        return container.demux(stream)
    container.seek(pts, stream=stream, backward=True)
    packets = container.demux(stream)
    first = next(packets, None)
    if first is not None and first.size and first.is_keyframe and first.pts is not None and first.pts <= pts:
        return chain([first], packets)
    container.seek(stream.start_time or 0, stream=stream, backward=True)
    return container.demux(stream)


def _decoded(path: Path, video: VideoFacts, packets: Iterator[Packet], start_pts: int | None) -> Iterator[VideoFrame]:
    """Frames of the packets, each with a pts; InputError at the first packet or frame that is damaged.

    Pictures before `start_pts` may be broken: after a seek they can lack what they refer to, and nobody wants them.
    """
    count, first_pts = 0, None
    missing: set[int] = set()

    def damaged(what: str) -> InputError:
        total = f" of {video.frame_count}" if video.frame_count else ""
        return InputError(
            f"{path} is damaged after frame {count}{total} ({what}): copy it again, or keep what is left of it with "
            "`ffmpeg -i IN -c copy OUT`"
        )

    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            frames = packet.decode()
        except (FFmpegError, ValueError) as error:
            raise damaged(short_reason(error)) from error
        if packet.size and packet.is_corrupt:
            raise damaged("a packet is cut short")
        if packet.size and not packet.is_discard and packet.pts is not None:
            missing.add(packet.pts)
        for frame in frames:
            if frame.pts is None:
                frame.pts = _numbered_pts(video, count)
            if frame.is_corrupt and (start_pts is None or frame.pts >= start_pts):
                raise damaged("a picture does not decode cleanly")
            first_pts = frame.pts if first_pts is None else first_pts
            missing.discard(frame.pts)
            count += 1
            yield frame
    # Pictures before the first one belong to a group that began before the file does.
    lost = sum(first_pts is None or pts > first_pts for pts in missing)
    if lost and video.field_order not in ("tff", "bff") and video.codec in _ONE_PACKET_A_FRAME:
        raise damaged(f"{lost} pictures are missing")


_ONE_PACKET_A_FRAME = ("h264", "hevc", "av1", "vp9", "prores", "ffv1", "dnxhd", "mjpeg", "rawvideo")
"""Codecs where each packet must give one picture of its own timestamp (progressive only: fields share one)."""


def _numbered_pts(video: VideoFacts, number: int) -> int:
    rate, time_base = video.frame_rate or Fraction(25), video.time_base or Fraction(1, 90000)
    return round(number / rate / time_base)


def _uniform(path: Path, video: VideoFacts, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    for frame in frames:
        if (frame.width, frame.height, frame.format.name) != (video.width, video.height, video.pix_fmt):
            raise InputError(
                f"{path} changes its picture from {video.width}x{video.height} {video.pix_fmt} to "
                f"{frame.width}x{frame.height} {frame.format.name}: convert it to one size and format first"
            )
        yield frame


def _increasing(path: Path, video: VideoFacts, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    last_pts: int | None = None
    for frame in frames:
        pts = pts_of(frame)
        if last_pts is not None and pts <= last_pts:
            raise InputError(
                f"{path} has timestamps that do not increase ({last_pts}, then {pts} in units of "
                f"{video.time_base} s): rewrite them with `ffmpeg -i IN -c copy OUT.mp4`"
            )
        last_pts = pts
        yield frame


def _filtered(frames: Iterator[VideoFrame], video: VideoFacts, filters: Filters) -> Iterator[VideoFrame]:
    steps = _steps(video.pix_fmt, filters)
    if not steps:
        yield from frames
        return
    graph: Graph | None = None
    for frame in frames:
        graph = graph or _graph(frame, video, steps)
        graph.vpush(frame)
        yield from _pulled(graph, video)
    if graph is not None:
        graph.vpush(None)
        yield from _pulled(graph, video)


def _steps(pix_fmt: str, filters: Filters) -> list[tuple[str, str]]:
    """The given filters with the format conversions they need around them."""
    lead = [step for step in filters[:1] if step[0] == "bwdif"]
    rest = list(filters[len(lead) :])
    target = decoded_format(pix_fmt, 10 if rest else 8)
    # bwdif takes planar formats only; the second conversion also undoes a format that a filter chose for itself.
    first = [("format", decoded_format(pix_fmt))] if lead and decoded_format(pix_fmt) != pix_fmt else []
    convert = [("format", target)] if target != pix_fmt else []
    return [*first, *lead, *convert, *rest, *(convert or [("format", target)] if rest else [])]


def _graph(frame: VideoFrame, video: VideoFacts, steps: Sequence[tuple[str, str]]) -> Graph:
    graph = Graph()
    nodes = [graph.add("buffer", buffer_arguments(frame, video.time_base))]
    nodes += [graph.add(name, arguments) for name, arguments in steps]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def _pulled(graph: Graph, video: VideoFacts) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.vpull()
        except (BlockingIOError, EOFError):
            return
        if frame.time_base != video.time_base and frame.time_base and video.time_base:
            ticks = pts_of(frame) * frame.time_base / video.time_base
            if ticks.denominator != 1:
                raise InputError(f"a filter moved a timestamp to {ticks} ticks of {video.time_base} s")
            frame.duration = round(frame.duration * frame.time_base / video.time_base)
            frame.pts, frame.time_base = int(ticks), video.time_base
        yield frame
