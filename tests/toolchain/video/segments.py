"""Tiny encoded segments, for the tests of encoding and muxing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from toolchain.video.encode import SegmentEncoder, new_frame, plane_views
from toolchain.video.output import Codec, HdrFormat, OutputSpec

FAST = {"hevc": "ultrafast", "av1": "11"}


def small_spec(path: Path, codec: Codec = "hevc", hdr_format: HdrFormat = "hdr10") -> OutputSpec:
    return OutputSpec.for_path(path, codec, hdr_format, preset=FAST.get(codec), threads=1)


def encode(
    path: Path,
    spec: OutputSpec,
    pts: Sequence[int],
    time_base: Fraction,
    size: tuple[int, int] = (64, 48),
    frame_rate: Fraction = Fraction(30),
    sample_aspect_ratio: Fraction = Fraction(1),
) -> Path:
    """A segment with one frame at each of `pts`; its brightness follows the time."""
    with SegmentEncoder(path, spec, *size, sample_aspect_ratio, time_base, frame_rate) as encoder:
        for value in pts:
            frame = new_frame(spec, *size)
            luma, cb, cr = plane_views(frame)
            luma[:], cb[:], cr[:] = 300 + value % 200, 500, 520
            luma[:, : size[0] // 2] += 40
            frame.pts = value
            encoder.write(frame)
    return path


def frame_times(path: Path, stream_index: int | None = None) -> list[int]:
    """Presentation times of the decoded frames of the (first) picture stream."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0] if stream_index is None else container.streams[stream_index]
        return [frame.pts for frame in container.decode(stream) if frame.pts is not None]
