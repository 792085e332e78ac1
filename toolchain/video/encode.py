"""Encode one closed-GOP segment into its own file, whose existence under its final name means it is complete.

Segments are Matroska files whose "millisecond" is one tick of the picture stream's own time base, so that every
timestamp is exact, and all are shifted by `PTS_BIAS` because Matroska holds no negative time. `read_segment` undoes
both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self, cast

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from toolchain.errors import AgentError, EnvironmentNotReady, UsageError
from toolchain.files import disk_errors, publish
from toolchain.video.output import (
    ENCODER_OF,
    MATRIX_BT2020_NCL,
    PRIMARIES_BT2020,
    OutputSpec,
)

PTS_BIAS = 1 << 40
_SEGMENT_TICK = Fraction(1, 1000)
_RANGE_LIMITED = 1


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns any failure of writing media to `path` into our errors."""
    try:
        with disk_errors(path):
            yield
    except OSError as error:
        raise EnvironmentNotReady(f"cannot write {path}: {error}") from error
    except MemoryError as error:
        raise EnvironmentNotReady(f"out of memory writing {path.name}; free some memory and run it again") from error
    except av.error.FFmpegError as error:
        raise AgentError(f"FFmpeg refused to write {path.name}: {error}") from error


def url(path: Path) -> str:
    """The path as FFmpeg must get it: a name such as `-x.mp4`, `a:b.mp4` or `pipe:` is only a name."""
    return f"file:{path}"


def coded_size(spec: OutputSpec, width: int, height: int) -> tuple[int, int]:
    """The size the encoder takes; where it is larger by one, the caller repeats the last row or column.

    HEVC counts its cropping in chroma samples (ITU-T H.265, 7.4.3.2.1) and SVT-AV1 takes even sizes only, so both
    sides are rounded up to even; ProRes' width is. FFV1 takes any size.
    """
    even_columns, even_rows = spec.codec != "ffv1", spec.codec in ("hevc", "av1")
    return width + (width % 2 if even_columns else 0), height + (height % 2 if even_rows else 0)


def new_frame(spec: OutputSpec, width: int, height: int) -> av.VideoFrame:
    """A frame for the encoder, not cleared; fill it through `plane_views` and set `pts`."""
    return av.VideoFrame(width, height, spec.pixel_format)


def plane_views(frame: av.VideoFrame) -> tuple[NDArray[np.uint16], ...]:
    """Writable (rows, columns) uint16 views of a 10-bit planar frame's Y, Cb, Cr; no copy is made."""
    return tuple(
        np.frombuffer(plane, np.uint16).reshape(plane.height, plane.line_size // 2)[:, : plane.width]  # type: ignore[arg-type]
        for plane in frame.planes
    )


class SegmentEncoder:
    """Writes frames of one segment; `close` completes the file, `abort` removes it. Usable in a `with` block.

    `width` and `height` are as `coded_size` returns them. `time_base` is the unit of every frame's `pts`, which must
    increase. Raises EnvironmentNotReady (disk full, unwritable folder) or AgentError (the encoder refused).
    """

    def __init__(
        self,
        path: Path,
        spec: OutputSpec,
        width: int,
        height: int,
        sample_aspect_ratio: Fraction,
        time_base: Fraction,
        frame_rate: Fraction,
    ):
        self.path = path
        self.frame_count = 0
        self._packet_count = 0
        self._spec = spec
        self._time_base = time_base
        self._part = path.with_name(f"{path.name}.part")
        with writing(path):
            self._container = av.open(
                url(self._part), "w", format="matroska", container_options={"fflags": "+bitexact"}
            )
            self._stream = self._container.add_stream(ENCODER_OF[spec.codec], rate=frame_rate)
            options = spec.encoder_options(width, height, frame_rate)
            self._stream.options = {**options, "chroma_sample_location": spec.chroma_location}
            context = cast(VideoCodecContext, self._stream.codec_context)
            context.width, context.height, context.pix_fmt = width, height, spec.pixel_format
            context.time_base, context.framerate = time_base, frame_rate
            context.sample_aspect_ratio = sample_aspect_ratio
            context.thread_count = spec.threads
            _tag(context, spec)
            _open(context, spec)

    def write(self, frame: av.VideoFrame) -> None:
        """Encodes one frame with its `pts`; the frame is changed (time base, colour tags) and must not be reused."""
        if frame.pts is None:
            raise AgentError(f"a frame for {self.path.name} has no timestamp")
        frame.pts += PTS_BIAS
        frame.time_base = self._time_base
        frame.pict_type = 0  # a type left over from the source would force the encoder's decision
        _tag(frame, self._spec)
        with writing(self.path):
            self._mux(frame)
        self.frame_count += 1

    def close(self) -> None:
        """Flushes the encoder and gives the segment its final name."""
        if not self.frame_count:
            self.abort()
            raise AgentError(f"segment {self.path.name} got no frames")
        with writing(self.path):
            self._mux(None)
            self._container.close()
            publish(self._part, self.path, overwrite=True)

    def abort(self) -> None:
        """Gives the segment up: nothing stays on disk."""
        with contextlib.suppress(av.error.FFmpegError, OSError):  # the file is deleted; its trailer does not matter
            self._container.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):  # type: ignore[call-arg]
            packet.time_base = _SEGMENT_TICK
            # Matroska stores no decode times but the muxer checks them, and x265's are uninitialised memory where a
            # segment has fewer frames than it reorders. PTS_BIAS keeps these below every presentation time.
            packet.dts = self._packet_count
            self._packet_count += 1
            self._container.mux_one(packet)


def read_segment(path: Path) -> Iterator[Packet]:
    """A segment's packets in coding order; `pts` in ticks of the picture stream's time base, `dts` not meaningful."""
    with av.open(url(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None:
                packet.pts -= PTS_BIAS
                yield packet


def _open(context: VideoCodecContext, spec: OutputSpec) -> None:
    """UsageError where the encoder does not take the size or the preset; other settings are ours and valid."""
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(
            f"{ENCODER_OF[spec.codec]} cannot encode {context.width}x{context.height} with preset {spec.preset!r} "
            f"({getattr(error, 'strerror', error)}); choose another preset or another codec"
        ) from error


def _tag(target: VideoCodecContext | av.VideoFrame, spec: OutputSpec) -> None:
    target.color_primaries = PRIMARIES_BT2020
    target.color_trc = spec.transfer_code
    target.colorspace = MATRIX_BT2020_NCL
    target.color_range = _RANGE_LIMITED
