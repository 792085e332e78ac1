"""Is the picture interlaced, and which field comes first? FFmpeg's idet against the flag."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from av.filter import Graph

from toolchain.video.decode import decode_frames
from toolchain.video.describe import buffer_arguments
from toolchain.video.facts import FieldOrder, VideoFacts

CHECKED_FRAMES = 200
CHECKED_FRAMES_WHEN_FLAGGED_PROGRESSIVE = 16
"""Few: the flag is nearly always right, and each costs a decoded frame."""

UNFLAGGED_THRESHOLD = 1.25
"""idet's intl_thres without an interlaced flag: at its own 1.04, sharp progressive animation passes for combed, at
1.25 every interlaced test clip is still found. With a flag the burden of proof is the other way round: 1.04."""

FLAGGED_THRESHOLD = 1.04
MIN_DECIDED = 5
"""Fewer frames than this that idet could tell (still or blank pictures) leave the verdict to the flag."""


def detect_field_order(path: Path, video: VideoFacts) -> FieldOrder:
    """ "progressive", "tff" or "bff": what idet sees in the first frames; the flag where it cannot tell.

    A stream flagged progressive is called interlaced only when nearly every frame is combed.
    """
    flagged = video.field_order
    limit = CHECKED_FRAMES_WHEN_FLAGGED_PROGRESSIVE if flagged == "progressive" else CHECKED_FRAMES
    threshold = FLAGGED_THRESHOLD if flagged in ("tff", "bff") else UNFLAGGED_THRESHOLD
    tff, bff, progressive = _counts(path, video, limit, threshold)
    combed = tff + bff
    if combed + progressive < MIN_DECIDED:
        return "progressive" if flagged == "unknown" else flagged
    share = combed / (combed + progressive)
    if share < (0.9 if flagged == "progressive" else 0.5):
        return "progressive"
    return "tff" if tff >= bff else "bff"


def _counts(path: Path, video: VideoFacts, limit: int, threshold: float) -> tuple[int, int, int]:
    """Frames that idet's repeated vote calls top first, bottom first and progressive."""
    graph: Graph | None = None
    seen: dict[str, str] = {}
    for frame in islice(decode_frames(path, video), limit):
        if graph is None:
            graph = Graph()
            source = graph.add("buffer", buffer_arguments(frame, video.time_base))
            graph.link_nodes(
                source, graph.add("idet", f"intl_thres={threshold}"), graph.add("buffersink")
            ).configure()
            graph.vpush(frame)  # idet compares neighbours and answers one frame late
            continue
        graph.vpush(frame)
        seen = graph.vpull().metadata
    tff, bff, progressive = (
        round(float(seen.get(f"lavfi.idet.multiple.{name}", 0))) for name in ("tff", "bff", "progressive")
    )
    return tff, bff, progressive
