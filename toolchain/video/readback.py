"""The finished file, read back: does it say and hold what it should?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import ffmpeg
from av.container import InputContainer
from av.video.stream import VideoStream

from toolchain.video.encode import url
from toolchain.video.ffmpeg_cli import run_ffmpeg
from toolchain.video.hdr_metadata import HdrMetadata, av1_metadata_obus, hevc_sei
from toolchain.video.mux import MuxReport
from toolchain.video.output import MATRIX_BT2020_NCL, PRIMARIES_BT2020, OutputSpec

_AV1_DECODERS = ("av1", "libdav1d", "libaom-av1")


def verify_container(
    path: Path,
    spec: OutputSpec,
    metadata: HdrMetadata | None,
    pts: Sequence[int],
    time_base: Fraction,
    report: MuxReport,
    display_matrix: Sequence[int] | None = None,
) -> list[str]:
    """Every discrepancy between the file and what was asked for, each in one sentence; empty when all is right.

    Compared: codec, pixel format, colour tags, display matrix, every timestamp (`pts` in ticks of `time_base`, as
    `presentation_times` gives them), number of streams, and the HDR metadata in the bitstream and in the container.
    """
    try:
        with av.open(url(path)) as container:
            stream = container.streams.video[0]
            problems = _stream_problems(stream, spec)
            # FFmpeg shows QuickTime's own chapter and time code tracks as data streams; nobody asked for them.
            count = sum(other.type != "data" for other in container.streams)
            if count != report.stream_count:
                problems.append(f"{count} streams, expected {report.stream_count}")
            first_key, found = _packets(container, stream)
            clock, shift = stream.time_base or time_base, report.shift / time_base
            problems += _time_problems(found, [rescaled(value + shift, time_base, clock) for value in pts])
            problems += _matrix_problems(path, display_matrix)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        return [f"{path.name} cannot be read back: {error}"]
    if metadata is not None:
        problems += _metadata_problems(path, spec, metadata, first_key)
    return problems


def rescaled(ticks: Fraction | int, source: Fraction, target: Fraction) -> int:
    """Ticks of another time base, halves away from zero as FFmpeg's muxers round (av_rescale_q)."""
    exact = Fraction(ticks) * source / target
    magnitude = int(abs(exact) + Fraction(1, 2))
    return magnitude if exact >= 0 else -magnitude


def _stream_problems(stream: VideoStream, spec: OutputSpec) -> list[str]:
    context = stream.codec_context
    facts: dict[str, tuple[object, object]] = {
        "pixel format": (context.pix_fmt, spec.pixel_format),
        "primaries": (int(context.color_primaries), PRIMARIES_BT2020),
        "transfer": (int(context.color_trc), spec.transfer_code),
        "matrix": (int(context.colorspace), MATRIX_BT2020_NCL),
        "range": (int(context.color_range), 1),
    }
    if spec.codec == "hevc" and spec.container != "mkv":
        facts["codec tag"] = (context.codec_tag, "hvc1")
    problems = [
        f"{name} is {found!r}, expected {wanted!r}" for name, (found, wanted) in facts.items() if found != wanted
    ]
    if context.codec.name not in (_AV1_DECODERS if spec.codec == "av1" else (spec.codec,)):
        problems.append(f"codec is {context.codec.name!r}, expected {spec.codec!r}")
    return problems


def _packets(container: InputContainer, stream: VideoStream) -> tuple[bytes, list[int]]:
    """The first random access point and all presentation times, sorted."""
    first_key, times = b"", []
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            first_key = first_key or (bytes(packet) if packet.is_keyframe else b"")
            times.append(packet.pts)
    return first_key, sorted(times)


def _time_problems(found: Sequence[int], wanted: Sequence[int]) -> list[str]:
    if len(found) != len(wanted):
        return [f"{len(found)} frames, expected {len(wanted)}"]
    wrong = [index for index, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b]
    if not wrong:
        return []
    at = wrong[0]
    return [f"{len(wrong)} timestamps differ, the first at frame {at}: {found[at]}, expected {wanted[at]}"]


def _matrix_problems(path: Path, wanted: Sequence[int] | None) -> list[str]:
    with av.open(url(path)) as container:
        frame = next(container.decode(container.streams.video[0]))
        data = frame.side_data.get("DISPLAYMATRIX")
    found = None if data is None else tuple(memoryview(bytes(data)).cast("i"))
    if found == (None if wanted is None else tuple(wanted)):
        return []
    return [f"display matrix is {found}, expected {wanted}"]


def _metadata_problems(path: Path, spec: OutputSpec, metadata: HdrMetadata, first_key: bytes) -> list[str]:
    problems = []
    if spec.codec == "hevc" and not all(unit in first_key for unit in hevc_sei(metadata)):
        problems.append("the bitstream lacks the mastering display or light level SEI")
    if spec.codec == "av1" and av1_metadata_obus(metadata) not in first_key:
        problems.append("the bitstream lacks the mastering display or light level OBU")
    picture = ffmpeg.input(url(path))["v:0"]
    text = run_ffmpeg(ffmpeg.output(picture, "-", format="null", c="copy", **{"frames:v": 1}))
    display = re.search(r"Mastering display metadata:.*?(r\(.*)", text)
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", display[1])] if display else []
    points = [value for point in metadata.chromaticities for value in point]
    wanted = [*points, metadata.mastering_min_nits, metadata.mastering_max_nits]
    if len(numbers) != len(wanted) or any(abs(a - b) > 1e-4 for a, b in zip(numbers, wanted, strict=True)):
        problems.append(f"the container's mastering display is {numbers}, expected {wanted}")
    light = re.search(r"MaxCLL=(\d+), MaxFALL=(\d+)", text)
    found = None if light is None else (int(light[1]), int(light[2]))
    if found != (metadata.max_cll, metadata.max_fall):
        problems.append(f"the container's light level is {found}, expected {metadata.max_cll}, {metadata.max_fall}")
    return problems
