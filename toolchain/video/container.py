"""Opening a hostile media file: local files and known formats only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from toolchain.errors import InputError

FORMATS = (
    "mov", "matroska", "mpegts", "mpeg", "avi", "flv", "asf", "nut", "mxf", "ivf", "h264", "hevc", "av1", "obu",
    "mpegvideo", "m4v", "dv",
)  # fmt: skip
"""Demuxers that hold video themselves. Playlists (hls, concat, image sequences) name other files and stay out; so do
containers where a missing end goes unnoticed (Ogg, GIF, YUV4MPEG)."""

SEEKABLE = ("mov", "matroska")
"""Formats whose index finds the key frame at or before a timestamp; the others are decoded from the start."""

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


def short_reason(error: BaseException) -> str:
    """FFmpeg's own words for an error, without number and file name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
