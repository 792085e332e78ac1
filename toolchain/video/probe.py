"""What is this file? Every stream as the container states it, and a decoded frame as proof of a picture."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from toolchain.errors import AlreadyHdr, InputError
from toolchain.video.color_tags import NOT_DISPLAY_REFERRED, UNREADABLE_MATRICES, interpret, read_tags
from toolchain.video.container import main_video, open_container, require_file, short_reason
from toolchain.video.decode import chroma_of
from toolchain.video.describe import describe, side_data
from toolchain.video.facts import FieldOrder, MediaFacts, StreamFacts, VideoFacts
from toolchain.video.hdr_detect import detect_hdr
from toolchain.video.truncation import require_whole

MIN_SIDE = 16
MAX_SIDE = 16384
MAX_PIXELS = 1 << 27
MAX_FRAME_RATE = 1000
PROBED_FRAMES = 3
"""Frames decoded to read the bitstream's tags and side data (metadata may come after the first picture)."""

_KINDS = {"video", "audio", "subtitle", "attachment", "data"}
_FIELD_ORDERS: dict[int, FieldOrder] = {1: "progressive", 2: "tff", 3: "bff", 4: "bff", 5: "tff"}
"""AVFieldOrder; 4 and 5 are coded in one order and displayed in the other, and display counts."""


def probe(path: Path) -> MediaFacts:
    """Facts of a file with a decodable picture, HDR or not (see `require_sdr`).

    Raises InputError for anything else: missing, empty, a directory, not media, truncated, without a picture,
    encrypted or of an unknown codec, smaller than 16x16, over 16384 in a dimension or over 2^27 pixels.
    """
    size = require_file(path)
    require_whole(path)
    with open_container(path) as container:
        stream = main_video(container)
        if stream is None:
            raise InputError(f"{path} holds no picture ({_kinds(container)}): give a file with a video stream")
        frames = _first_frames(path, container, stream)
        video = _video_facts(container, stream, frames)
        return MediaFacts(
            path=path,
            size_bytes=size,
            format_name=container.format.name,
            duration_s=container.duration / av.time_base if container.duration else None,
            streams=tuple(video if s.index == stream.index else _stream_facts(s) for s in container.streams),
            video=video,
            chapter_count=len(container.chapters()),
            tags=dict(container.metadata),
        )


def require_sdr(facts: MediaFacts) -> VideoFacts:
    """The picture's facts when it is SDR that can be converted.

    Raises AlreadyHdr with the reason for HDR, InputError for light that is not display-referred (linear, log) or
    in a matrix that cannot be undone (constant luminance, YCgCo).
    """
    video = facts.video
    if video is None:
        raise InputError(f"{facts.path} holds no picture: give a file with a video stream")
    if video.hdr != "none":
        raise AlreadyHdr(f"{facts.path} is HDR already: {video.hdr_reason}; the original is kept as it is")
    if video.tags.transfer in NOT_DISPLAY_REFERRED:
        raise InputError(
            f"{facts.path} has the transfer function {video.tags.transfer!r}, which is not an SDR display curve: "
            "grade it to BT.709 first"
        )
    if video.tags.matrix in UNREADABLE_MATRICES and video.color.matrix != "rgb":
        raise InputError(
            f"{facts.path} uses the colour matrix {video.tags.matrix!r}; bt709, bt601, bt2020nc and RGB can be "
            "read: convert it first"
        )
    return video


def _kinds(container: InputContainer) -> str:
    kinds = sorted({"cover picture" if s.type == "video" else s.type for s in container.streams})
    return "only " + ", ".join(kinds) if kinds else "no streams"


def _first_frames(path: Path, container: InputContainer, stream: VideoStream) -> list[VideoFrame]:
    context = stream.codec_context
    if context is None:
        raise InputError(f"{path} has a picture in an unknown codec: convert it to H.264, HEVC, ProRes or FFV1 first")
    _require_size(path, context.width, context.height)
    try:
        frames = list(islice(container.decode(stream), PROBED_FRAMES))
    except (FFmpegError, ValueError) as error:
        raise InputError(
            f"{path} has no decodable picture ({context.name}: {short_reason(error)}): check that it is complete "
            "and not encrypted"
        ) from error
    if not frames:
        raise InputError(f"{path} has no decodable frame ({context.name}): check that it is complete")
    _require_size(path, frames[0].width, frames[0].height)
    return frames


def _require_size(path: Path, width: int, height: int) -> None:
    if (width, height) == (0, 0):
        return  # not known before the first frame
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has a picture of {width}x{height}: {MIN_SIDE} to {MAX_SIDE} a side and at most {MAX_PIXELS} "
            "pixels are allowed; scale it first"
        )


def _stream_facts(stream: Stream) -> StreamFacts:
    return StreamFacts(**_common(stream))


def _common(stream: Stream) -> dict:
    context = stream.codec_context
    kind = stream.type if stream.type in _KINDS else "data"
    return {
        "index": stream.index,
        "kind": kind,
        "codec": context.codec.canonical_name if context else getattr(stream, "name", None) or "unknown",
        "language": stream.language or None,
        "title": stream.metadata.get("title"),
        "dispositions": tuple(flag.name for flag in Disposition if flag in stream.disposition),
        "time_base": stream.time_base,
        "start_pts": stream.start_time,
    }


def _video_facts(container: InputContainer, stream: VideoStream, frames: list[VideoFrame]) -> VideoFacts:
    frame, context = frames[0], stream.codec_context
    description = describe(container, stream.index, frame)
    tags = read_tags(frame, context, description.chroma_location)
    metadata = {name: data for each in frames for name, data in side_data(each).items()}
    hdr, reason = detect_hdr(tags, metadata, context.codec_tag, description.dolby_vision)
    matrix = _display_matrix(frame)
    # Matroska without a frame duration gives its tick rate (1000) as the average of a stream's first frames.
    known = [r for r in (stream.average_rate, stream.guessed_rate) if r and r < MAX_FRAME_RATE]
    rate = known[0] if known else None
    seconds = _duration_s(container, stream)
    return VideoFacts(
        **_common(stream),
        pix_fmt=frame.format.name,
        bit_depth=max(c.bits for c in frame.format.components),
        chroma=chroma_of(frame.format.name),
        width=frame.width,
        height=frame.height,
        sample_aspect_ratio=stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1),
        rotation_deg=_rotation_deg(matrix),
        display_matrix=matrix,
        frame_rate=rate,
        frame_count=stream.frames or None,
        duration_s=seconds,
        field_order=_field_order(context.field_order, description.interlaced),
        tags=tags,
        color=interpret(tags, pix_fmt=frame.format.name, width=frame.width, height=frame.height, frame_rate=rate),
        hdr=hdr,
        hdr_reason=reason,
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    data = side_data(frame).get("DISPLAYMATRIX")
    return tuple(int(value) for value in np.frombuffer(data, "<i4", 9)) if data else None


def _rotation_deg(matrix: tuple[int, ...] | None) -> int:
    """Clockwise turn in 0..359 of the matrix's first column (ISO/IEC 14496-12 §6.2.2: a, b = cos, sin); 0 without."""
    if not matrix:
        return 0
    a, b = matrix[0], matrix[1]
    return round(float(np.degrees(np.arctan2(b, a)))) % 360


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _field_order(coded: int, interlaced: FieldOrder) -> FieldOrder:
    """The codec's statement; where it makes none, the first frame's flag."""
    return _FIELD_ORDERS.get(coded, interlaced)
