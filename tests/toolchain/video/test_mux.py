"""The final file: exact times, untouched companions, metadata that independent readers find."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import imageio_ffmpeg
import pytest
from av.stream import Disposition

from tests.shared_data import shared_data
from tests.toolchain.video.clips import lavfi, make, pattern
from tests.toolchain.video.segments import encode, frame_times, small_spec
from toolchain.errors import AgentError, EnvironmentNotReady, InputError
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.mux import MuxReport, finalise
from toolchain.video.output import CONTAINERS_OF, Codec, Container, HdrFormat
from toolchain.video.picture_track import presentation_times, timed_packets
from toolchain.video.probe import probe
from toolchain.video.readback import rescaled, verify_container

METADATA = HdrMetadata(max_cll=987, max_fall=123)
PAIRS = [(codec, container) for codec, containers in CONTAINERS_OF.items() for container in containers]
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-b_strategy", "0", "-c:a", "aac")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matroska with B-frames, audio, SRT, ASS, a font, a cover, chapters, languages, titles, tags, a disposition."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,400\nHello <i>you</i>\n\n2\n00:00:00,500 --> 00:00:00,800\nEnd\n"
    )
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 4)
    (folder / "tags").write_text(
        ";FFMETADATA1\ntitle=My Film\nartist=Ada\nodd_key=custom\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=two\n"
    )
    make(folder / "cover.png", *lavfi("color=red:s=16x16"), "-frames:v", "1")
    return make(
        folder / "rich.mkv",
        *pattern("64x48", "30000/1001"), *lavfi("sine=d=1:r=44100"),
        "-i", str(folder / "s.srt"), "-i", str(folder / "tags"),
        "-map", "0", "-map", "1", "-map", "2", "-map", "2", "-map_metadata", "3", *H264,
        "-c:s:0", "srt", "-c:s:1", "ass",
        "-attach", str(folder / "font.ttf"), "-metadata:s:t:0", "mimetype=application/x-truetype-font",
        "-attach", str(folder / "cover.png"), "-metadata:s:t:1", "mimetype=image/png",
        "-metadata:s:a:0", "language=fra", "-metadata:s:a:0", "title=Son", "-disposition:s:1", "forced",
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MP4 with B-frames and primed AAC: edit lists on both tracks."""
    folder = tmp_path_factory.mktemp("plain")
    return make(folder / "plain.mp4", *pattern("64x48", "30000/1001"), *lavfi("sine=d=1:r=48000"), *H264)


def render(
    source: Path,
    target: Path,
    codec: Codec = "hevc",
    hdr_format: HdrFormat = "hdr10",
    limit: int = 60,
    cut_every: int = 11,
) -> tuple[MuxReport, list[str], list[int]]:
    """Encodes stand-in frames at the source's times and finishes `target`; the problems are `verify_container`'s."""
    spec = small_spec(target, codec, hdr_format)
    facts = probe(source)
    video = facts.video
    assert video is not None and video.time_base is not None
    times = frame_times(source, video.index)[:limit]
    work = target.parent / f"{target.name}.work"
    work.mkdir()
    segments = [
        encode(work / f"{start:05d}.mkv", spec, times[start : start + cut_every], video.time_base,
               frame_rate=video.frame_rate or Fraction(25), sample_aspect_ratio=video.sample_aspect_ratio)
        for start in range(0, len(times), cut_every)
    ]  # fmt: skip
    metadata = METADATA if hdr_format == "hdr10" else None
    report = finalise(segments, source, facts, spec, metadata, target)
    assert presentation_times(segments) == times
    problems = verify_container(target, spec, metadata, times, video.time_base, report, video.display_matrix)
    return report, problems, times


def payloads(path: Path, kind: str, strip: int = 0) -> list[tuple[str, Fraction]]:
    """Hash and time in seconds of every packet of the first stream of a kind."""
    found = []
    with av.open(f"file:{path}") as container:
        stream = next(s for s in container.streams if s.type == kind)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                found.append((hashlib.sha256(bytes(packet)[strip:]).hexdigest(), packet.pts * packet.time_base))
    return found


def assert_copied(source: Path, target: Path, kind: str, tick_s: Fraction, strip: int = 0) -> None:
    """Same payloads in the same order, each within half a tick of the coarser clock."""
    before, after = payloads(source, kind, strip), payloads(target, kind)
    assert [h for h, _ in before] == [h for h, _ in after]
    assert max(abs(a - b) for (_, a), (_, b) in zip(before, after, strict=True)) <= tick_s / 2


def streams_of(path: Path) -> list[tuple[str, str | None, str | None, int]]:
    with av.open(f"file:{path}") as container:
        return [
            (
                s.type,
                s.metadata.get("language"),
                s.metadata.get("title") or s.metadata.get("name"),
                int(s.disposition),
            )
            for s in container.streams
        ]


@pytest.mark.parametrize(("codec", "container"), PAIRS)
@pytest.mark.parametrize("hdr_format", ["hdr10", "hlg"])
def test_every_codec_in_every_container(
    plain: Path, tmp_path: Path, codec: Codec, container: Container, hdr_format: HdrFormat
) -> None:
    target = tmp_path / f"out.{container}"
    report, problems, times = render(plain, target, codec, hdr_format, limit=25)
    assert problems == []
    assert report.warnings == ()
    assert len(frame_times(target)) == len(times)
    assert_copied(plain, target, "audio", Fraction(1, 1000) if container == "mkv" else Fraction(0))


def test_matroska_keeps_everything_of_a_rich_file(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    report, problems, _ = render(rich, target)
    assert (report.warnings, problems) == ((), [])
    assert sorted(streams_of(target)) == sorted(streams_of(rich))
    for kind in ("audio", "subtitle"):
        assert_copied(rich, target, kind, Fraction(0))
    with av.open(str(target)) as made, av.open(str(rich)) as source:
        assert [s.data for s in made.streams.attachments] == [s.data for s in source.streams.attachments]
        assert made.chapters() == source.chapters()
        assert made.metadata["title"] == "My Film" and made.metadata["ODD_KEY"] == "custom"
    assert payloads_of_cover(target) == payloads_of_cover(rich)


def payloads_of_cover(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        return [bytes(next(p for p in container.demux(cover) if p.size)) for cover in covers]


def test_mp4_names_one_by_one_what_it_cannot_hold(rich: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    report, problems, _ = render(rich, target)
    assert problems == []
    assert [re.sub(r" \(.*?\)", "", warning) for warning in report.warnings] == [
        "subtitle stream 2 is converted to mov_text: mp4 cannot hold it as it is",
        "subtitle stream 3 is converted to mov_text: mp4 cannot hold it as it is",
        "attachment stream 4 is left out: mp4 cannot hold it",
        "the file's tag odd_key cannot be held by mp4 and is lost",
    ]
    assert_copied(rich, target, "audio", Fraction(1, 44100))
    assert payloads_of_cover(target) == payloads_of_cover(rich)
    with av.open(str(target)) as made:
        packets = [p for p in made.demux(made.streams.subtitles[0]) if p.size > 2]
        texts = [(cast(int, p.pts) * p.time_base, bytes(p)[2:]) for p in packets]
        assert [time for time, _ in texts] == [Fraction(1, 10), Fraction(1, 2)]
        assert texts[0][1].startswith(b"Hello you")
        assert [c["metadata"]["title"] for c in made.chapters()] == ["one", "two"]
        assert made.streams.audio[0].metadata["language"] == "fra"


def test_free_form_tags_survive_in_mp4_where_no_cover_needs_the_itunes_list(plain: Path, tmp_path: Path) -> None:
    tagged = make(
        tmp_path / "tagged.mkv", "-i", str(plain), "-c", "copy", "-metadata", "odd_key=custom", "-metadata", "title=T"
    )
    report, problems, _ = render(tagged, tmp_path / "out.mp4", limit=10)
    assert (report.warnings, problems) == ((), [])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_transport_stream_keeps_its_start(rich: Path, tmp_path: Path, container: Container) -> None:
    source = make(tmp_path / "in.ts", "-i", str(rich), "-map", "0:v:0", "-map", "0:a", "-c", "copy")
    target = tmp_path / f"out.{container}"
    report, problems, times = render(source, target)
    assert (report.warnings, problems) == ((), [])
    assert times[0] > 90000
    tick = Fraction(1, 1000) if container == "mkv" else Fraction(1, 44100)
    assert_copied(source, target, "audio", tick, strip=7)  # the ADTS header is the transport's, not the payload's


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_variable_frame_rate_stays_exact(plain: Path, tmp_path: Path, container: Container) -> None:
    source = make(
        tmp_path / "vfr.mp4", *lavfi("testsrc2=size=64x48:rate=90:duration=1"), "-vf",
        r"select='not(mod(n\,3))+not(mod(n\,7))+eq(n\,11)',settb=1/90000", "-fps_mode", "vfr", *H264,
        "-video_track_timescale", "90000",
    )  # fmt: skip
    steps = {b - a for a, b in zip(frame_times(source), frame_times(source)[1:], strict=False)}
    assert len(steps) > 1
    _, problems, times = render(source, tmp_path / f"out.{container}")
    assert problems == []
    if container != "mkv":
        assert frame_times(tmp_path / f"out.{container}") == times


def test_a_late_start_and_later_audio_are_exact(tmp_path: Path) -> None:
    source = make(
        tmp_path / "late.mkv", "-itsoffset", "0.72", *pattern("64x48", "25", 0.5),
        "-itsoffset", "1.3", *lavfi("sine=d=0.5:r=48000"), "-map", "0", "-map", "1", *H264,
    )  # fmt: skip
    target = tmp_path / "out.mp4"
    _, problems, times = render(source, target)
    assert problems == []
    assert times[0] == 720
    assert_copied(source, target, "audio", Fraction(0))


def test_a_time_code_track_is_written_anew(plain: Path, tmp_path: Path) -> None:
    source = make(tmp_path / "tc.mov", "-i", str(plain), "-c", "copy", "-metadata:s:v:0", "timecode=01:00:00;00")
    report, problems, _ = render(source, tmp_path / "out.mov", "prores", limit=5)
    assert (report.warnings, problems) == ((), [])
    with av.open(str(tmp_path / "out.mov")) as made:
        assert made.streams.video[0].metadata["timecode"] == "01:00:00;00"


def test_a_frame_before_zero_moves_everything_and_says_so(plain: Path, tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "out.mp4")
    facts = probe(plain)
    assert facts.video is not None
    tick = facts.video.time_base
    assert tick is not None
    times = [-512 + 512 * i for i in range(6)]
    segments = [encode(tmp_path / "s.mkv", spec, times, tick)]
    report = finalise(segments, plain, facts, spec, METADATA, tmp_path / "out.mp4")
    assert report.shift == 512 * tick
    assert "later" in report.warnings[0]
    assert verify_container(tmp_path / "out.mp4", spec, METADATA, times, tick, report) == []


@pytest.mark.parametrize(
    ("name", "container", "lost"),
    [
        ("sample_with_pgs_subtitles.mkv", "mkv", ()),
        (
            "sample_with_pgs_subtitles.mkv",
            "mp4",
            ("subtitle stream 2 (pgssub, eng) is left out: mp4 cannot hold it",),
        ),
        ("sample_with_ass_subtitles.mkv", "mkv", ()),
        ("sample_with_srt.mkv", "mkv", ()),
        (
            "sample_with_chapters.mkv",
            "mp4",
            (
                "chroma is reduced from 4:4:4 to 4:2:0: HEVC Main 10 holds no more; --codec prores keeps 4:2:2, "
                "ffv1 keeps all",
            ),
        ),
        ("sample_rotate_and_reflect.mp4", "mp4", ()),
        ("sample_portrait.mp4", "mov", ()),
        ("sample_portrait.mp4", "mkv", ()),
        ("sample_with_increasing_timestamps_360p.mp4", "mp4", ()),
        ("bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4", "mp4", ()),
        ("bbb_960x540_60fps_vp8.webm", "mp4", ()),
    ],
)
def test_real_clips(tmp_path: Path, name: str, container: Container, lost: tuple[str, ...]) -> None:
    source = shared_data("clips", name)
    report, problems, _ = render(source, tmp_path / f"out.{container}", limit=24)
    assert report.warnings == lost
    assert problems == []


@pytest.mark.parametrize(("codec", "container"), PAIRS)
def test_ffmpeg_reads_the_metadata_from_container_and_bitstream(
    plain: Path, tmp_path: Path, codec: Codec, container: Container
) -> None:
    target = tmp_path / f"out.{container}"
    render(plain, target, codec, limit=12)
    text = ffmpeg_says(target)
    assert "MaxCLL=987, MaxFALL=123" in text
    assert "max_luminance=1000.000000" in text
    if codec in ("hevc", "av1"):
        bare = tmp_path / ("bare.hevc" if codec == "hevc" else "bare.obu")
        make(bare, "-i", str(target), "-map", "0:v:0", "-c", "copy")
        with av.open(str(bare)) as container_less:
            data = next(container_less.decode(video=0)).side_data
            assert data.get("MASTERING_DISPLAY_METADATA") and data.get("CONTENT_LIGHT_LEVEL")


def test_hlg_carries_no_absolute_light_levels(plain: Path, tmp_path: Path) -> None:
    render(plain, tmp_path / "out.mp4", "hevc", "hlg", limit=5)
    text = ffmpeg_says(tmp_path / "out.mp4")
    assert "arib-std-b67" in text
    assert "MaxCLL" not in text and "Mastering" not in text


def ffmpeg_says(path: Path) -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", f"file:{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_mediainfo_confirms_hdr10(plain: Path, tmp_path: Path, container: Container) -> None:
    program = shutil.which("mediainfo")
    if program is None:
        pytest.skip("mediainfo is not installed (apt-get install mediainfo)")
    target = tmp_path / f"out.{container}"
    render(plain, target, limit=5)
    out = subprocess.run([program, "--Output=JSON", str(target)], capture_output=True, text=True, check=True).stdout
    track = next(t for t in json.loads(out)["media"]["track"] if t["@type"] == "Video")
    assert "HDR10" in track["HDR_Format_Compatibility"]
    assert track["MasteringDisplay_ColorPrimaries"] == "Display P3"
    assert track["MaxCLL"].split()[0] == "987" and track["MaxFALL"].split()[0] == "123"
    assert track["transfer_characteristics"] == "PQ" and track["colour_primaries"] == "BT.2020"


def test_ffprobe_confirms_chroma_location(plain: Path, tmp_path: Path) -> None:
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("ffprobe is not installed (apt-get install ffmpeg)")
    for codec in ("hevc", "av1"):
        target = tmp_path / f"{codec}.mp4"
        render(plain, target, codec, limit=5)
        entries = "stream=chroma_location,color_space,color_transfer,color_primaries,color_range"
        out = subprocess.run(
            [program, "-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "json", str(target)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        stream = json.loads(out)["streams"][0]
        stream.pop("side_data_list", None)
        assert stream == {
            "color_range": "tv", "color_space": "bt2020nc", "color_transfer": "smpte2084",
            "color_primaries": "bt2020", "chroma_location": "topleft",
        }  # fmt: skip


def test_decode_times_increase_and_never_pass_presentation_times(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "o.mp4")
    times = [0, 10, 1000, 1001, 1002, 5000, 5003, 9000, 9001, 20000, 20001, 20002, 70000]
    segments = [
        encode(tmp_path / "a.mkv", spec, times[:7], Fraction(1, 30000)),
        encode(tmp_path / "b.mkv", spec, times[7:8], Fraction(1, 30000)),
        encode(tmp_path / "c.mkv", spec, times[8:], Fraction(1, 30000)),
    ]
    packets = [
        (cast(int, p.pts), cast(int, p.dts), cast(int, p.duration))
        for p in timed_packets(segments, spec, last_duration=77)
    ]
    decode_times = [dts for _, dts, _ in packets]
    assert decode_times == sorted(set(decode_times))
    assert all(dts <= pts for pts, dts, _ in packets)
    assert sorted(pts for pts, _, _ in packets) == times
    assert max(packets)[2] == 77


def test_the_same_segments_give_the_same_file(rich: Path, tmp_path: Path) -> None:
    for container in ("mp4", "mkv"):
        for name in ("a", "b"):
            render(rich, tmp_path / f"{name}.{container}", limit=12)
        assert (tmp_path / f"a.{container}").read_bytes() == (tmp_path / f"b.{container}").read_bytes()


def test_odd_names_are_only_names(rich: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(rich, tmp_path / "-i 100%d:é.mkv"))
    _, problems, _ = render(source, tmp_path / "-y pipe:1 %03d.mp4", limit=8)
    assert problems == []


def test_leftovers_of_other_settings_and_wrong_order_are_refused(plain: Path, tmp_path: Path) -> None:
    spec, facts = small_spec(tmp_path / "o.mkv"), probe(plain)
    tick = Fraction(1, 15360)
    first = encode(tmp_path / "a.mkv", spec, [0, 512], tick)
    second = encode(tmp_path / "b.mkv", spec, [1024, 1536], tick)
    other = encode(tmp_path / "c.mkv", small_spec(tmp_path / "o.mkv", "hevc", "hlg"), [1024, 1536], tick)
    target = tmp_path / "out.mkv"
    for segments, words in (
        ((first, other), "other settings"),
        ((second, first), "before the segment"),
        ((), "no segments"),
    ):
        with pytest.raises(AgentError, match=words):
            finalise(segments, plain, facts, spec, METADATA, target)
        assert not target.exists()


def test_the_source_is_never_the_target(plain: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(plain, tmp_path / "in.mp4"))
    before = source.read_bytes()
    spec, facts = small_spec(source), probe(source)
    segment = encode(tmp_path / "a.mkv", spec, [0, 512], Fraction(1, 15360))
    (tmp_path / "link.mp4").hardlink_to(source)
    for target in (source, tmp_path / "link.mp4"):
        with pytest.raises(InputError, match="the source itself"):
            finalise([segment], source, facts, spec, METADATA, target)
    assert source.read_bytes() == before


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_full_disk_is_named_and_leaves_no_output(plain: Path, tmp_path: Path, container: Container) -> None:
    spec, facts = small_spec(tmp_path / f"o.{container}"), probe(plain)
    segment = encode(tmp_path / "a.mkv", spec, [512 * i for i in range(20)], Fraction(1, 15360))
    target = tmp_path / f"out.{container}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(EnvironmentNotReady, match="no space left"):
            finalise([segment], plain, facts, spec, METADATA, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()


def test_verification_finds_what_is_wrong(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    report, _, times = render(plain, target, limit=10)
    tick = Fraction(1, 30000)
    spec = small_spec(target)
    video = probe(plain).video
    assert video is not None and video.time_base is not None
    tick = video.time_base
    wrong_light = METADATA.model_copy(update={"max_cll": 5})
    shifted = [*times[:-1], times[-1] + 1]
    said = [
        verify_container(target, spec, METADATA, shifted, tick, report),
        verify_container(target, spec, METADATA, times[:-1], tick, report),
        verify_container(target, spec, wrong_light, times, tick, report),
        verify_container(target, small_spec(target, "hevc", "hlg"), None, times, tick, report),
        verify_container(target, spec, METADATA, times, tick, report.model_copy(update={"stream_count": 9})),
        verify_container(target, spec, METADATA, times, tick, report, tuple(range(9))),
        verify_container(tmp_path / "absent.mp4", spec, METADATA, times, tick, report),
    ]
    words = [
        "timestamps differ",
        "10 frames, expected 9",
        "bitstream lacks",
        "transfer is 16",
        "expected 9",
        "matrix",
        "read back",
    ]
    assert all(any(word in problem for problem in problems) for word, problems in zip(words, said, strict=True))


@pytest.mark.parametrize(("ticks", "expected"), [(15, 1), (16, 1), (45, 2), (-45, -2), (30, 1), (1001, 33)])
def test_rescaling_rounds_halves_away_from_zero(ticks: int, expected: int) -> None:
    assert rescaled(ticks, Fraction(1, 30000), Fraction(1, 1000)) == expected
