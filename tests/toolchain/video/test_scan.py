"""One pass finds the cuts it should, no others, and leaves an exact timeline."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from tests.shared_data import shared_data
from tests.toolchain.video.clips import lavfi, make, pattern
from toolchain.errors import InputError
from toolchain.events import Event, ignore
from toolchain.video.decode import decode_frames
from toolchain.video.interlace import detect_field_order
from toolchain.video.probe import probe
from toolchain.video.scan import ScanResult, SmallFrame, scan
from toolchain.video.shot_finder import ShotFinder
from toolchain.video.shots import Shot

FPS = 25


class Recorder:
    """Notes the order of calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.means: list[float] = []
        self.key_sizes: set[tuple[int, int]] = set()
        self.pts: list[int] = []

    def on_frame(self, number: int, pts: int, small: SmallFrame) -> None:
        assert small.y.shape == small.cb.shape == small.cr.shape
        assert small.y.dtype == np.uint8
        self.calls.append(("frame", number))
        self.means.append(float(small.y.mean()))
        self.pts.append(pts)

    def on_key_frame(self, shot_index: int, number: int, frame: VideoFrame) -> None:
        self.calls.append(("key", number))
        self.key_sizes.add((frame.width, frame.height))

    def on_shot(self, shot: Shot) -> None:
        self.calls.append(("shot", shot.index))


def scanned(path: Path, deinterlace: bool | None = None) -> tuple[ScanResult, Recorder]:
    recorder = Recorder()
    return scan(path, probe(path), [recorder], ignore, deinterlace), recorder


def pictures(tmp_path: Path, *pieces: tuple[str, int]) -> Path:
    """A clip of lavfi pieces of so many frames each, lossless, joined without transition."""
    sources = [f"{source}{':' if '=' in source else '='}size=160x96:rate={FPS}" for source, _ in pieces]
    inputs = [part for source in sources for part in lavfi(source)]
    cut = [
        f"[{i}]trim=end_frame={count},setpts=PTS-STARTPTS,format=yuv420p[v{i}]" for i, (_, count) in enumerate(pieces)
    ]
    joined = "".join(f"[v{i}]" for i in range(len(pieces)))
    graph = ";".join([*cut, f"{joined}concat=n={len(pieces)}"])
    return make(tmp_path / "a.mkv", *inputs, "-filter_complex", graph, "-c:v", "ffv1")


A, B, C = "mandelbrot", "testsrc2", "smptebars"
WHITE = "color=white"


def starts(result: ScanResult) -> list[tuple[int, bool]]:
    return [(shot.start_frame, shot.hard_cut) for shot in result.shots]


def test_hard_cuts_are_found_and_calls_come_in_order(tmp_path: Path):
    result, recorder = scanned(pictures(tmp_path, (A, 30), (B, 40), (C, 35)))
    assert starts(result) == [(0, False), (30, True), (70, True)]
    assert [shot.end_frame for shot in result.shots] == [30, 70, 105]
    expected = []
    for shot in result.shots:
        assert 1 <= len(shot.key_frames) <= 3
        assert all(shot.start_frame <= key < shot.end_frame for key in shot.key_frames)
        expected += [("frame", n) for n in range(shot.start_frame, shot.end_frame)]
        expected += [("key", n) for n in shot.key_frames] + [("shot", shot.index)]
    assert recorder.calls == expected
    assert recorder.key_sizes == {(160, 96)}


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_flash_is_no_cut_and_no_key_frame(tmp_path: Path, length: int):
    result, _ = scanned(pictures(tmp_path, (C, 40), (WHITE, length), (C, 40)))
    assert starts(result) == [(0, False)]
    assert not any(40 <= key < 40 + length for key in result.shots[0].key_frames)


def test_a_flash_just_before_a_cut_does_not_hide_the_cut(tmp_path: Path):
    result, _ = scanned(pictures(tmp_path, (C, 40), (WHITE, 2), (C, 20), (B, 40)))
    assert starts(result) == [(0, False), (62, True)]


def test_a_longer_white_shot_is_a_shot(tmp_path: Path):
    result, _ = scanned(pictures(tmp_path, (C, 30), (WHITE, 25), (C, 30)))
    assert starts(result) == [(0, False), (30, True), (55, True)]


def test_short_shots_are_merged(tmp_path: Path):
    result, _ = scanned(pictures(tmp_path, (B, 30), (C, 4), (A, 40), (WHITE, 4)))
    assert starts(result) == [(0, False), (30, True)]


def test_a_dissolve_and_a_fade_are_no_cuts(tmp_path: Path):
    graph = "[0][1]xfade=duration=1:offset=1,fade=out:start_frame=60:nb_frames=15,format=yuv420p"
    sources = [*lavfi(f"{C}=size=160x96:rate=25:duration=2"), *lavfi(f"{B}=size=160x96:rate=25:duration=2")]
    result, _ = scanned(make(tmp_path / "a.mkv", *sources, "-filter_complex", graph, "-c:v", "ffv1"))
    assert starts(result) == [(0, False)]


def test_long_shots_are_split(tmp_path: Path):
    result, _ = scanned(pictures(tmp_path, (C, 530), (WHITE, 20)))
    assert starts(result) == [(0, False), (250, False), (500, False), (530, True)]
    assert [len(shot.key_frames) for shot in result.shots] == [3, 3, 1, 1]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_timeline_is_exact(tmp_path: Path, name: str):
    clip = make(tmp_path / name, *pattern(rate="30000/1001"), "-c:v", "libx264", "-bf", "3")
    result, recorder = scanned(clip)
    video = probe(clip).video
    assert video is not None
    frames = list(decode_frames(clip, video))
    assert result.pts.dtype == np.int64
    assert result.pts.tolist() == [f.pts for f in frames] == recorder.pts
    assert result.time_base == video.time_base
    length = Fraction(1001, 30000) / result.time_base
    assert abs(result.last_duration - length) < 1
    assert result.frame_count == 30


def test_last_duration_of_a_stream_that_states_nonsense():
    result, _ = scanned(shared_data("clips", "sample_with_ass_subtitles.mkv"))
    assert result.last_duration == 33
    assert result.pts[0] == 67


MOTION = lavfi("testsrc2=size=352x288:rate=50:duration=3")


@pytest.mark.parametrize(
    ("name", "options", "flag", "verdict"),
    [
        ("flag.mp4", ("-vf", "interlace=scan=tff", "-flags", "+ilme+ildct", "-c:v", "libx264"), "tff", "tff"),
        ("flag.ts", ("-vf", "interlace=scan=bff", "-flags", "+ilme+ildct", "-c:v", "mpeg2video"), "bff", "bff"),
        ("unflagged.mkv", ("-vf", "interlace=scan=bff,setfield=prog", "-c:v", "libx264"), "progressive", "bff"),
        ("unknown.nut", ("-vf", "interlace=scan=tff,setfield=prog", "-c:v", "ffv1"), "unknown", "tff"),
        ("psf.mp4", ("-vf", "fps=25,gblur=2,setfield=tff", "-flags", "+ilme+ildct"), "tff", "progressive"),
        ("plain.mp4", ("-c:v", "libx264",), "progressive", "progressive"),
    ],
)  # fmt: skip
def test_interlacing(tmp_path: Path, name: str, options: tuple[str, ...], flag: str, verdict: str):
    clip = make(tmp_path / name, *MOTION, *options, "-b:v", "4M")
    video = probe(clip).video
    assert video is not None
    assert (video.field_order, detect_field_order(clip, video)) == (flag, verdict)


def test_interlaced_scan_deinterlaces_its_frames_and_can_be_told_otherwise(tmp_path: Path):
    clip = make(tmp_path / "a.nut", *MOTION, "-vf", "interlace=scan=tff", "-c:v", "ffv1")
    result, _ = scanned(clip)
    assert result.interlaced
    assert result.filters[0][0] == "bwdif"
    forbidden, _ = scanned(clip, deinterlace=False)
    assert not forbidden.interlaced
    assert forbidden.pts.tolist() == result.pts.tolist()


def test_still_picture_keeps_its_flag(tmp_path: Path):
    clip = make(tmp_path / "a.mp4", *lavfi("color=gray:size=320x240:duration=1"), "-c:v", "libx264")
    result, _ = scanned(clip)
    assert not result.interlaced


def test_full_range_rgb_and_odd_sizes_reach_the_observer_right(tmp_path: Path):
    for pix_fmt, expected in (("gbrp", 255), ("yuv444p", 235)):
        clip = make(tmp_path / f"{pix_fmt}.mkv", *lavfi("color=white:size=501x33:duration=0.2"),
                    "-pix_fmt", pix_fmt, "-c:v", "ffv1")  # fmt: skip
        _, recorder = scanned(clip)
        assert recorder.means[0] == pytest.approx(expected, abs=1)


def test_one_frame(tmp_path: Path):
    result, recorder = scanned(make(tmp_path / "a.mp4", *pattern(), "-frames:v", "1", "-c:v", "libx264"))
    assert recorder.calls == [("frame", 0), ("key", 0), ("shot", 0)]
    assert (result.frame_count, result.last_duration) == (1, 512)


def test_damage_stops_the_scan(tmp_path: Path):
    clip = make(tmp_path / "a.ts", *pattern(), "-c:v", "mpeg2video")
    data = bytearray(clip.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    clip.write_bytes(data)
    with pytest.raises(InputError, match="is damaged after frame"):
        scanned(clip)


def test_progress_ends_at_the_total():
    events: list[Event] = []
    clip = shared_data("clips", "bbb_960x540_60fps_vp8.webm")
    scan(clip, probe(clip), [], events.append)
    last = events[-1]
    assert last.type == "step.progress"
    assert (last.done, last.total) == (60, 60)


def test_shot_finder_waits_before_it_decides():
    finder, old, new = ShotFinder(), np.zeros((4, 4), np.uint8), np.full((4, 4), 200, np.uint8)
    for number in range(20):
        assert finder.push(number, Fraction(number, 25), old, 0) == []
    assert finder.push(20, Fraction(20, 25), new, 78) == []
    assert finder.certain_before(21) == 20
    decided = [start for number in range(21, 40) for start in finder.push(number, Fraction(number, 25), new, 0)]
    assert [(start.frame, start.hard_cut) for start in decided] == [(20, True)]


class Failing(Recorder):
    """Cannot go on after frame 20."""

    def on_frame(self, number: int, pts: int, small: SmallFrame) -> None:
        super().on_frame(number, pts, small)
        if number == 20:
            raise ValueError("no more of this")


@pytest.mark.parametrize("frames", [22, 100])
def test_what_an_observer_raises_ends_the_scan(tmp_path: Path, frames: int):
    path = pictures(tmp_path, (A, frames))
    with pytest.raises(ValueError, match="no more of this"):
        scan(path, probe(path), [Failing()], ignore)
