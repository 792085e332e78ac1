"""Segments: complete or absent, exact in time, the same bits every time."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from tests.toolchain.video.segments import encode, small_spec
from toolchain.errors import AgentError, EnvironmentNotReady, InputError, UsageError
from toolchain.video.encode import (
    SegmentEncoder,
    coded_size,
    new_frame,
    plane_views,
    read_segment,
)
from toolchain.video.output import CONTAINERS_OF, Codec, HdrFormat, OutputSpec, container_for

CODECS: tuple[Codec, ...] = ("hevc", "av1", "prores", "ffv1")
TICK = Fraction(1, 30000)
VFR = [0, 1001, 2003, 2500, 7000, 7001, 9000, 20000, 20500, 61000]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", [0, -7007, 90000 * 26 * 3600])
def test_timestamps_are_exact_also_negative_and_after_26_hours(tmp_path: Path, codec: Codec, start: int) -> None:
    pts = [start + value for value in VFR]
    spec = small_spec(tmp_path / "o.mkv", codec)
    path = encode(tmp_path / "s.mkv", spec, pts, TICK)
    assert sorted(packet.pts for packet in read_segment(path) if packet.pts is not None) == pts


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_file(tmp_path: Path, codec: Codec) -> None:
    spec = small_spec(tmp_path / "o.mkv", codec)
    first = encode(tmp_path / "a.mkv", spec, VFR, TICK).read_bytes()
    assert encode(tmp_path / "b.mkv", spec, VFR, TICK).read_bytes() == first


def test_the_thread_pool_does_not_change_the_bits(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mkv")
    pts = [1001 * i for i in range(24)]
    first = encode(tmp_path / "a.mkv", spec, pts, TICK, size=(256, 192)).read_bytes()
    pooled = spec.model_copy(update={"threads": 4})
    assert encode(tmp_path / "b.mkv", pooled, pts, TICK, size=(256, 192)).read_bytes() == first


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("hdr_format", "transfer"), [("hdr10", 16), ("hlg", 18)])
def test_the_bitstream_states_its_colour(tmp_path: Path, codec: Codec, hdr_format: HdrFormat, transfer: int) -> None:
    spec = small_spec(tmp_path / "o.mkv", codec, hdr_format)
    path = encode(tmp_path / "s.mkv", spec, [0, 1001], TICK)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, transfer, 9)
        assert context.color_range == 1
        assert context.pix_fmt == spec.pixel_format


def test_the_lossless_codec_returns_what_was_written(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mkv", "ffv1")
    rng = np.random.default_rng(3)
    frame = new_frame(spec, 64, 48)
    written = []
    for plane in plane_views(frame):
        plane[:] = rng.integers(64, 940, plane.shape)
        written.append(plane.copy())
    frame.pts = 0
    with SegmentEncoder(tmp_path / "s.mkv", spec, 64, 48, Fraction(1), TICK, Fraction(30)) as encoder:
        encoder.write(frame)
    with av.open(str(tmp_path / "s.mkv")) as container:
        for plane, wanted in zip(plane_views(next(container.decode(video=0))), written, strict=True):
            assert np.array_equal(plane, wanted)


def test_a_segment_starts_with_a_random_access_point_and_closes_its_group(tmp_path: Path) -> None:
    path = encode(tmp_path / "s.mkv", small_spec(tmp_path / "o.mkv"), [1001 * i for i in range(30)], TICK)
    packets = list(read_segment(path))
    assert packets[0].is_keyframe
    assert packets[0].pts == min(packet.pts for packet in packets if packet.pts is not None)


def test_nothing_has_the_final_name_before_close_or_after_abort(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mkv")
    path = tmp_path / "s.mkv"
    encoder = SegmentEncoder(path, spec, 64, 48, Fraction(1), TICK, Fraction(30))
    frame = new_frame(spec, 64, 48)
    frame.pts = 0
    encoder.write(frame)
    assert not path.exists()
    encoder.abort()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        SegmentEncoder(tmp_path / "s.mkv", small_spec(tmp_path / "o.mkv"), 64, 48, Fraction(1), TICK, Fraction(30)),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_segment_without_frames_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no frames"):
        encode(tmp_path / "s.mkv", small_spec(tmp_path / "o.mkv"), [], TICK)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_without_a_time_is_our_bug(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mkv")
    with pytest.raises(AgentError, match="no timestamp"):
        encoder = SegmentEncoder(tmp_path / "s.mkv", spec, 64, 48, Fraction(1), TICK, Fraction(30))
        try:
            encoder.write(new_frame(spec, 64, 48))
        finally:
            encoder.abort()


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mkv", "ffv1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(EnvironmentNotReady, match="no space left"):
            encode(tmp_path / "s.mkv", spec, [1001 * i for i in range(60)], TICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_the_environments_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotReady, match="cannot write"):
        encode(tmp_path / "absent" / "s.mkv", small_spec(tmp_path / "o.mkv"), [0], TICK)


@pytest.mark.parametrize("name", ["-x.mkv", "a:b.mkv", "pipe:1.mkv", "%d.mkv", "Füße und 空.mkv"])
def test_odd_names_are_only_names(tmp_path: Path, name: str) -> None:
    encode(tmp_path / name, small_spec(tmp_path / "o.mkv"), [0, 1001], TICK)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list(read_segment(tmp_path / name))) == 2


@pytest.mark.parametrize("size", [(64, 64), (66, 50), (1920, 32), (720, 720)])
@pytest.mark.parametrize("codec", CODECS)
def test_encoders_take_every_coded_size(tmp_path: Path, codec: Codec, size: tuple[int, int]) -> None:
    spec = small_spec(tmp_path / "o.mkv", codec)
    coded = coded_size(spec, *size)
    path = encode(tmp_path / "s.mkv", spec, [0, 1001], TICK, size=coded)
    assert sorted(packet.pts for packet in read_segment(path)) == [0, 1001]


@pytest.mark.parametrize(
    ("codec", "size", "able"),
    [
        ("hevc", (8192, 16), "prores or ffv1"),
        ("hevc", (30, 4209), "prores or ffv1"),
        ("av1", (640, 16), "hevc or prores or ffv1"),
        ("av1", (64, 8706), "hevc or prores or ffv1"),
        ("av1", (16, 16384), "prores or ffv1"),
    ],
)
def test_a_size_the_encoder_refuses_is_known_before_any_work(
    tmp_path: Path, codec: Codec, size: tuple[int, int], able: str
) -> None:
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]}.*--codec {able}$"):
        small_spec(tmp_path / "o.mkv", codec).check_size(*size)


@pytest.mark.parametrize(
    ("codec", "size"),
    [
        *product(CODECS, [(32, 640), (34, 34), (8192, 32), (64, 8704)]),
        *product(("hevc", "prores", "ffv1"), [(16, 16), (16, 4207), (31, 8192)]),
    ],
)
def test_a_size_that_is_not_refused_can_be_encoded(tmp_path: Path, codec: Codec, size: tuple[int, int]) -> None:
    spec = small_spec(tmp_path / "o.mkv", codec)
    spec.check_size(*size)
    path = encode(tmp_path / "s.mkv", spec, [0, 1, 2, 3, 4], TICK, size=coded_size(spec, *size))
    with av.open(str(path)) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == 5 * [coded_size(spec, *size)]


CHILD = """
import sys
from fractions import Fraction
from pathlib import Path
from tests.toolchain.video.segments import encode
from toolchain.video.output import OutputSpec
folder, width, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
spec = OutputSpec.for_path(folder / "o.mkv", preset="veryfast", threads=1)
encode(folder / "s.mkv", spec, [1001 * i for i in range(count)], Fraction(1, 30000), size=(width, 64))
"""


def encode_in_child(folder: Path, width: int, count: int, checks: dict[str, str]) -> None:
    environment = {**os.environ, **checks, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", CHILD, str(folder), str(width), str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("width", [16, 48])
def test_a_narrow_picture_does_not_corrupt_memory(tmp_path: Path, width: int) -> None:
    """glibc's checking malloc ends a process that wrote beyond a buffer: x265 did below 50 pixels of width."""
    try:
        ctypes.CDLL("libc_malloc_debug.so.0")
    except OSError:
        pytest.skip("the C library has no checking malloc")
    encode_in_child(tmp_path, width, 40, {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_segment_may_be_shorter_than_the_reordering(tmp_path: Path, count: int) -> None:
    """x265 leaves its decode times uninitialised then; glibc fills such memory so that they are surely wrong."""
    encode_in_child(tmp_path, 64, count, {"MALLOC_PERTURB_": "85"})
    assert sorted(packet.pts or 0 for packet in read_segment(tmp_path / "s.mkv")) == [1001 * i for i in range(count)]


@pytest.mark.parametrize(("codec", "size"), [("hevc", (2, 2)), ("hevc", (8192, 16)), ("av1", (2, 2))])
def test_a_size_the_encoder_refuses_is_a_usage_error(tmp_path: Path, codec: Codec, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"cannot encode {size[0]}x{size[1]}"):
        encode(tmp_path / "s.mkv", small_spec(tmp_path / "o.mkv", codec), [0], TICK, size=size)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_preset_is_a_usage_error(tmp_path: Path) -> None:
    spec = OutputSpec.for_path(tmp_path / "o.mkv", preset="warp")
    with pytest.raises(UsageError, match="'warp'"):
        encode(tmp_path / "s.mkv", spec, [0], TICK)


def test_coded_size_rounds_up_where_the_encoder_needs_it(tmp_path: Path) -> None:
    assert coded_size(small_spec(tmp_path / "o.mkv"), 1919, 1079) == (1920, 1080)
    assert coded_size(small_spec(tmp_path / "o.mov", "prores"), 1919, 1079) == (1920, 1079)
    assert coded_size(small_spec(tmp_path / "o.mkv", "ffv1"), 1919, 1079) == (1919, 1079)


@pytest.mark.parametrize(
    ("source_chroma", "written"),
    [("4:0:0", "4:2:0"), ("4:2:0", "4:2:0"), ("4:2:2", "4:2:2"), ("4:1:1", "4:2:2"), ("4:4:0", "4:4:4"),
     ("4:4:4", "4:4:4"), ("rgb", "4:4:4"), (None, "4:2:0")],
)  # fmt: skip
def test_ffv1_keeps_the_chroma_and_the_size_of_the_source(
    tmp_path: Path, source_chroma: str | None, written: str
) -> None:
    spec = OutputSpec.for_path(tmp_path / "o.mkv", "ffv1", threads=1, source_chroma=source_chroma)
    assert spec.chroma == written
    path = encode(tmp_path / "s.mkv", spec, [0, 1001], TICK, size=coded_size(spec, 65, 49))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.format.name, frame.width, frame.height) == (spec.pixel_format, 65, 49)


@pytest.mark.parametrize(("codec", "chroma"), [("hevc", "4:4:4"), ("prores", "4:2:0")])
def test_a_chroma_format_the_codec_is_not_written_in_is_refused(tmp_path: Path, codec: Codec, chroma: str) -> None:
    data = OutputSpec.for_path(tmp_path / "o.mkv", codec, source_chroma="4:4:4").model_dump()
    assert data["chroma"] == {"hevc": "4:2:0", "prores": "4:2:2"}[codec]
    with pytest.raises(ValueError, match=f"{codec} is not written as {chroma}"):
        OutputSpec.model_validate({**data, "chroma": chroma})


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "hevc"), ("a", "hevc"), ("a.mov", "av1"), ("a.mp4", "prores"), ("a.mp4", "ffv1"), ("a.mov", "ffv1")],
)
def test_impossible_pairs_are_usage_errors(name: str, codec: Codec) -> None:
    with pytest.raises(UsageError, match=r"must end in \.m"):
        container_for(Path(name), codec)


def test_possible_pairs_follow_the_extension_whatever_its_case() -> None:
    for codec, containers in CONTAINERS_OF.items():
        for container in containers:
            assert container_for(Path(f"x.{container.upper()}"), codec) == container
            assert OutputSpec.for_path(Path(f"x.{container}"), codec).container == container


@pytest.mark.parametrize("cores", [1, 64, 96, 512])
def test_the_settings_of_a_machine_with_many_cores_cross_the_pipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    spec = OutputSpec.for_path(tmp_path / "o.mkv")
    assert spec.threads == min(cores, 64)
    assert OutputSpec.model_validate_json(spec.model_dump_json()) == spec
