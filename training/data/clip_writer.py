"""Writes a clip with a tone and timed captions; the same input gives the same bytes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from av.video.stream import VideoStream

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
SAMPLE_RATE_HZ = 48000
TONE_HZ = 440.0
TONE_AMPLITUDE = 0.1
TimedPackets = tuple[Fraction, list[av.Packet]]
_MILLISECOND = Fraction(1, 1000)
_ASS_HEADER = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class VideoCoding:
    """An encoder, its options, and the colour it carries, in FFmpeg's names and H.273 code points."""

    encoder: Literal["libx264", "libx265", "ffv1"]
    pix_fmt: str
    options: dict[str, str]
    primaries: int
    transfer: int
    matrix: int


SDR_H264 = VideoCoding("libx264", "yuv420p", {"crf": "18", "preset": "veryfast"}, 1, 1, 1)
_PQ_X265 = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:chromaloc=2:lossless=1:"
    "repeat-headers=1:pools=none:frame-threads=1:info=0:log-level=error"
)
PQ_HEVC = VideoCoding("libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": _PQ_X265}, 9, 16, 9)
PQ_FFV1 = VideoCoding("ffv1", "yuv420p10le", {"level": "3", "slices": "4"}, 9, 16, 9)


@dataclass(frozen=True)
class Caption:
    """One subtitle line and the time it is shown."""

    text: str
    start_s: Fraction
    end_s: Fraction


class ClipWriter:
    """A container being written: give it every frame in order, then leave the `with` block.

    `container_format` is one of CONTAINERS' values. Raises OSError when the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        container_format: str,
        coding: VideoCoding,
        size: tuple[int, int],
        frame_rate: Fraction,
        captions: tuple[Caption, ...] = (),
        tone_s: Fraction = Fraction(0),
    ) -> None:
        options = {"fflags": "+bitexact"}  # no creation time, library version or random track identifier
        self._container: OutputContainer = av.open(str(path), "w", format=container_format, options=options)
        self._frame_rate, self._coding, self._frames = frame_rate, coding, 0
        self._video = self._add_video(size, container_format)
        sources: list[Iterator[TimedPackets]] = []
        if captions:
            sources.append(_caption_packets(self._add_words(container_format), captions))
        if tone_s:
            sources.append(_tone_packets(self._add_sound(), tone_s))
        self._packets = heapq.merge(*sources, key=lambda timed: timed[0])

    def write(self, frame: av.VideoFrame) -> None:
        """Encode the next frame; sound and captions follow along."""
        frame.pts, frame.time_base = self._frames, 1 / self._frame_rate
        frame.color_primaries, frame.color_trc = self._coding.primaries, self._coding.transfer
        frame.colorspace, frame.color_range = self._coding.matrix, 1
        self._frames += 1
        self._container.mux(self._video.encode(frame))
        self._catch_up(self._frames / self._frame_rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._video.encode())
                self._catch_up(None)
        finally:
            self._container.close()

    def _add_video(self, size: tuple[int, int], container_format: str) -> VideoStream:
        coding = self._coding
        deep = coding.pix_fmt.endswith("10le")
        options = coding.options | {"chroma_sample_location": "topleft" if deep else "left", "flags": "+bitexact"}
        stream = self._container.add_stream(coding.encoder, rate=self._frame_rate, options=options)
        context = stream.codec_context
        stream.width, stream.height = size
        stream.pix_fmt = coding.pix_fmt
        context.time_base = stream.time_base = 1 / self._frame_rate
        context.thread_count = 2  # fixed, for x264's rate control depends on it
        context.color_primaries, context.color_trc = coding.primaries, coding.transfer
        context.colorspace, context.color_range = coding.matrix, 1
        if coding.encoder == "libx265" and container_format != "matroska":
            context.codec_tag = "hvc1"
        return stream

    def _add_sound(self) -> AudioStream:
        stream = self._container.add_stream(
            "aac", rate=SAMPLE_RATE_HZ, layout="stereo", options={"b": "96000", "flags": "+bitexact"}
        )
        stream.metadata["language"] = "eng"
        return stream

    def _add_words(self, container_format: str) -> SubtitleStream:
        stream = self._container.add_stream("subrip" if container_format == "matroska" else "mov_text")
        stream.metadata["language"] = "eng"
        stream.codec_context.subtitle_header = _ASS_HEADER.replace("\n", "\r\n").encode()
        stream.codec_context.time_base = stream.time_base = _MILLISECOND
        stream.codec_context.open()
        return stream

    def _catch_up(self, until_s: Fraction | None) -> None:
        for start_s, packets in self._packets:
            self._container.mux(packets)
            if until_s is not None and start_s >= until_s:
                return


def _caption_packets(stream: SubtitleStream, captions: tuple[Caption, ...]) -> Iterator[TimedPackets]:
    for line in captions:
        duration_ms = round((line.end_s - line.start_s) * 1000)
        event = f"0,0,Default,,0,0,0,,{line.text}".encode()
        packet = stream.codec_context.encode_subtitle(SubtitleSet.create(event, 0, duration_ms))
        packet.stream, packet.time_base = stream, _MILLISECOND
        packet.pts = packet.dts = round(line.start_s * 1000)
        packet.duration = duration_ms
        yield line.start_s, [packet]


def _tone_packets(stream: AudioStream, duration_s: Fraction) -> Iterator[TimedPackets]:
    """A sine on both channels, encoded in frames of 1024 samples."""
    total = round(duration_s * SAMPLE_RATE_HZ)
    for start in range(0, total, 1024):
        index = np.arange(start, min(start + 1024, total))
        wave = TONE_AMPLITUDE * np.sin(2.0 * np.pi * TONE_HZ * index / SAMPLE_RATE_HZ)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
        yield Fraction(start, SAMPLE_RATE_HZ), stream.encode(frame)
    yield duration_s, stream.encode()
