"""Opening a hostile media file: local files only, known formats only, and no container that ends too early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from toolchain.errors import InputError

FORMATS = (
    "mov", "matroska", "mpegts", "mpeg", "avi", "flv", "ogg", "asf", "nut", "mxf", "ivf",
    "h264", "hevc", "av1", "obu", "mpegvideo", "m4v", "dv", "gif",
)  # fmt: skip
"""Demuxers that hold video themselves. Playlists (hls, concat, image sequences) name other files
and stay out; so does YUV4MPEG, where a missing end cannot be noticed."""

SEEKABLE = ("mov", "matroska")
"""Formats whose index finds the key frame at or before a timestamp; the others are decoded from the start."""

_ISO_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS), "enable_drefs": "0"}
_REMEDY = "give a video file such as MP4, MOV, MKV or MPEG-TS"


def require_file(path: Path) -> int:
    """Size in bytes of a readable, non-empty regular file; InputError (one sentence) for anything else."""
    if path.is_dir():
        raise InputError(f"{path} is a directory: {_REMEDY}")
    try:
        if not path.is_file():
            raise InputError(f"{path} does not exist or is no regular file: {_REMEDY}")
        with path.open("rb") as stream:
            stream.read(1)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): check its permissions") from error
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes): {_REMEDY}")
    return size


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """The opened container. The name is passed as a local `file:` URL, so it can never select a protocol."""
    require_file(path)
    try:
        container = av.open(f"file:{path.absolute()}", "r", container_options=_OPTIONS, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a video in a known format ({short_reason(error)}): {_REMEDY}") from error
    with container:
        yield container


def main_video(container: InputContainer) -> VideoStream | None:
    """The picture stream: FFmpeg's best one that is not a cover, a thumbnail or a layer of another; None without."""
    aside = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
    pictures = [s for s in container.streams.video if not s.disposition & aside]
    best = container.streams.best("video")
    if isinstance(best, VideoStream) and best in pictures:
        return best
    return pictures[0] if pictures else None


def require_whole(path: Path) -> None:
    """InputError when the container announces more bytes than the file has (MP4/MOV boxes, Matroska segment, AVI).

    ISO/IEC 14496-12 §4.2 (box size, 64-bit size, size 0 = to the end); RFC 8794 §6 (EBML data size, all ones =
    unknown); Microsoft RIFF (chunk size after the four characters). Other formats show their damage when decoded.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[4:8] in _ISO_FIRST_BOXES:
            needed = _iso_end(stream, size)
        elif head[:4] == _EBML_MAGIC:
            needed = _ebml_end(stream, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            needed = 8 + int.from_bytes(head[4:8], "little")
        else:
            return
    if needed > size:
        raise InputError(
            f"{path} is truncated: it announces {needed} bytes and holds {size}: copy it again, or keep what is "
            "left of it with `ffmpeg -i IN -c copy OUT`"
        )


def _iso_end(stream: BinaryIO, size: int) -> int:
    offset = 0
    while offset + 8 <= size:
        stream.seek(offset)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or not header[4:8].isascii():
            return size  # 0: to the end; else not a box: padding that nobody needs
        offset += length
    return offset


def _ebml_end(stream: BinaryIO, size: int) -> int:
    offset = 0
    while offset < size:
        stream.seek(offset)
        head = stream.read(12)
        id_length = 9 - head[0].bit_length()
        if id_length > 4 or len(head) <= id_length:
            return size
        length_bytes = 9 - head[id_length].bit_length()
        if length_bytes > 8:
            return size
        raw = int.from_bytes(head[id_length : id_length + length_bytes], "big")
        unknown = (1 << 7 * length_bytes) - 1
        length = raw & unknown
        if length == unknown:
            return size
        offset += id_length + length_bytes + length
    return offset


def short_reason(error: BaseException) -> str:
    """FFmpeg's own words for an error, without number and file name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
