"""Facts that PyAV has no attribute for, read from FFmpeg's own descriptions (`av_dump_format`, filter showinfo)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from av.container import InputContainer
from av.filter import Graph
from av.logging import INFO, Capture, get_level, set_level
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.frame import VideoFrame

from toolchain.video.facts import FieldOrder

_LOG_LOCK = threading.Lock()
_INTERLACED: dict[str, FieldOrder] = {"T": "tff", "B": "bff"}


@dataclass(frozen=True)
class Description:
    """`interlaced` is "unknown" for a frame that is not flagged; `chroma_location` "unspecified" where not said."""

    dolby_vision: bool
    chroma_location: str
    interlaced: FieldOrder


def describe(container: InputContainer, stream_index: int, frame: VideoFrame) -> Description:
    """Container-level Dolby Vision record of one stream; chroma location and field flag of one of its frames."""
    with _captured_log() as lines:
        text = container.dumps_format()  # pyright: ignore[reportAttributeAccessIssue] (missing in the stubs)
        show_from = len(lines)
        _show(frame)
        shown = "".join(message for _, name, message in lines[show_from:] if name == "showinfo")
    section = re.search(rf"^ +Stream #0:{stream_index}\b.*?(?=^ +Stream #|\Z)", text, re.DOTALL | re.MULTILINE)
    location = re.search(r" cl:(\S+)", shown)
    interlaced = re.search(r" i:(\w)", shown)
    return Description(
        dolby_vision=bool(section and re.search(r"^ +DOVI configuration record:", section[0], re.MULTILINE)),
        chroma_location=location[1] if location else "unspecified",
        interlaced=_INTERLACED.get(interlaced[1], "unknown") if interlaced else "unknown",
    )


def side_data(frame: VideoFrame) -> dict[str, bytes]:
    """Side data of a frame by its type's name (FFmpeg's AVFrameSideDataType without the prefix)."""
    container = cast("SideDataContainer", frame.side_data)  # the stub says TypedDict
    entries = [cast("SideData", container[index]) for index in range(len(container))]
    return {entry.type.name: bytes(entry) for entry in entries}


def buffer_arguments(frame: VideoFrame, time_base: object) -> str:
    """Arguments of a `buffer` filter for frames like this one, with range and matrix so that no filter guesses."""
    range_name = {1: "tv", 2: "pc"}.get(int(frame.color_range), "unspecified")
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={time_base}"
        f":colorspace={int(frame.colorspace)}:range={range_name}"
    )


def _show(frame: VideoFrame) -> None:
    graph = Graph()
    source = graph.add("buffer", buffer_arguments(frame, frame.time_base or "1/1"))
    show, sink = graph.add("showinfo", "checksum=0"), graph.add("buffersink")
    graph.link_nodes(source, show, sink).configure()
    graph.vpush(frame)
    graph.vpull()


@contextmanager
def _captured_log() -> Iterator[list]:
    """FFmpeg's log at INFO, caught: the level is process-wide, so one at a time and restored at once."""
    with _LOG_LOCK:
        before = get_level()
        set_level(INFO)
        try:
            with Capture(local=False) as lines:
                yield lines
        finally:
            set_level(before)
