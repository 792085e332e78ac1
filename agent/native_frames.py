"""Key frames at their own resolution, as a viewer sees them: what a multimodal analyser looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.workspace import Workspace
from analysis.signals.boxes import quarter_turns
from toolchain.errors import InputError
from toolchain.video.decode import decode_frames, deinterlace_filters, pts_of
from toolchain.video.facts import VideoFacts
from toolchain.video.picture import rgb_signal


@dataclass(frozen=True)
class NativeFrame:
    """One key frame: HxWx3 R'G'B' uint8, full range, upright, in the video's own transfer function."""

    shot: int
    number: int
    rgb: NDArray[np.uint8]


def choose_key_frames(stored: Sequence[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """At most `limit` of the (shot, frame number) that the scan stored, in order.

    All of them if they fit. Otherwise one a shot (its middle one), and of too many shots evenly spread ones.
    """
    if len(stored) <= limit:
        return list(stored)
    by_shot: dict[int, list[tuple[int, int]]] = {}
    for key in stored:
        by_shot.setdefault(key[0], []).append(key)
    one_each = [keys[len(keys) // 2] for keys in by_shot.values()]
    if len(one_each) <= limit:
        return one_each
    return [one_each[i] for i in np.linspace(0, len(one_each) - 1, limit).round().astype(int)]


def native_frames(
    path: Path, video: VideoFacts, workspace: Workspace, chosen: Sequence[tuple[int, int]]
) -> Iterator[NativeFrame]:
    """Read the chosen (shot, frame number) from the source, one after the other, deinterlaced as the scan was.

    Raises InputError when the file is not the one that was scanned.
    """
    pts = workspace.load_pts()
    filters = deinterlace_filters(workspace.load_scan().field_order)
    for shot, number in chosen:
        wanted = int(pts[number])
        frame = next(decode_frames(path, video, filters, start_pts=wanted, end_pts=wanted + 1), None)
        if frame is None or pts_of(frame) != wanted:
            raise InputError(f"{path} has no frame {number} any more: it changed since it was scanned, start again")
        signal = rgb_signal(frame, video.color)
        codes = np.rint(np.minimum(signal, 1) * 255).astype(np.uint8)
        yield NativeFrame(shot, number, np.ascontiguousarray(np.rot90(codes, -quarter_turns(video.rotation_deg))))
