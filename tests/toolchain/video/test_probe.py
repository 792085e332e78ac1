"""Facts of real and synthetic files, and one sentence for everything that is no video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.shared_data import shared_data
from tests.toolchain.video.clips import lavfi, make, pattern
from toolchain.errors import AlreadyHdr, InputError
from toolchain.video.color_tags import interpret
from toolchain.video.facts import ColorTags
from toolchain.video.hdr_detect import detect_hdr
from toolchain.video.probe import probe, require_sdr

CLIPS = {
    # name: (streams, pix_fmt, size, clockwise turn, HDR kind, matrix, range)
    "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4": ("v", "yuv420p", (800, 640), 0, "none", "bt709", "limited"),
    "bbb_960x540_60fps_vp8.webm": ("va", "yuv420p", (960, 540), 0, "none", "bt601", "limited"),
    "bt601.mp4": ("va", "yuv420p", (360, 240), 0, "none", "bt601", "limited"),
    "dolbyVision-hdr.MOV": ("vaddd", "yuv420p10le", (1280, 720), 90, "dolby_vision", "bt2020nc", "limited"),
    "hdr10-av1.mp4": ("va", "yuv420p10le", (720, 1280), 0, "pq", "bt2020nc", "limited"),
    "hdr10-video-with-sdr-container.mp4": ("va", "yuv420p10le", (1920, 1080), 0, "pq", "bt2020nc", "limited"),
    "hlg10-color-test.mp4": ("av", "yuv420p10le", (1920, 1080), 0, "hlg", "bt2020nc", "limited"),
    "internal_emulator_transformer_output.mp4": ("av", "yuv420p", (1280, 720), 0, "none", "bt709", "limited"),
    "portrait_4k60.mp4": ("va", "yuvj420p", (3840, 2160), 90, "none", "bt601", "full"),
    "sample.mp4": ("va", "yuv420p", (1080, 720), 0, "none", "bt709", "limited"),
    "sample_audio_only.mp4": None,
    "sample_edit_list.mp4": ("vadd", "yuv420p10le", (1920, 1080), 90, "dolby_vision", "bt2020nc", "limited"),
    "sample_portrait.mp4": ("va", "yuv420p", (720, 1080), 0, "none", "bt709", "limited"),
    "sample_rotate_and_reflect.mp4": ("va", "yuv420p", (1080, 720), 90, "none", "bt709", "limited"),
    "sample_with_ass_subtitles.mkv": ("vas", "yuv420p", (1080, 720), 0, "none", "bt709", "limited"),
    "sample_with_chapters.mkv": ("va", "yuv444p", (320, 240), 0, "none", "bt601", "limited"),
    "sample_with_increasing_timestamps_360p.mp4": ("va", "yuv420p", (640, 360), 0, "none", "bt709", "limited"),
    "sample_with_pgs_subtitles.mkv": ("vas", "yuv420p", (1080, 720), 0, "none", "bt709", "limited"),
    "sample_with_srt.mkv": ("vas", "yuv420p", (1080, 720), 0, "none", "bt709", "limited"),
}


def test_the_table_lists_every_shared_clip():
    assert {path.name for path in shared_data("clips").iterdir()} == set(CLIPS)


@pytest.mark.parametrize("name", [name for name, row in CLIPS.items() if row])
def test_shared_clip(name: str):
    facts = probe(shared_data("clips", name))
    video = facts.video
    assert video is not None
    kinds = "".join(stream.kind[0] for stream in facts.streams)
    color = video.color
    found = (
        kinds,
        video.pix_fmt,
        (video.width, video.height),
        video.rotation_deg,
        video.hdr,
        color.matrix,
        color.range,
    )
    assert found == CLIPS[name]
    if video.hdr == "none":
        assert require_sdr(facts) is video
    else:
        with pytest.raises(AlreadyHdr, match=r"is HDR already: .*kept"):
            require_sdr(facts)


def test_audio_only_is_refused():
    with pytest.raises(InputError, match="holds no picture"):
        probe(shared_data("clips", "sample_audio_only.mp4"))


def test_reflection_and_chapters_are_kept():
    video = probe(shared_data("clips", "sample_rotate_and_reflect.mp4")).video
    assert video is not None
    assert video.display_matrix == (0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
    assert probe(shared_data("clips", "sample_with_chapters.mkv")).chapter_count == 2


def test_untagged_stays_unspecified_and_assumptions_are_named(tmp_path: Path):
    video = probe(make(tmp_path / "a.mp4", *pattern(), "-c:v", "libx264")).video
    assert video is not None
    assert (video.tags.matrix, video.tags.primaries, video.tags.transfer) == ("unspecified",) * 3
    assert {"matrix", "primaries"} <= set(video.color.assumed)
    assert video.frame_rate == Fraction(25)
    assert video.time_base == Fraction(1, 12800)
    assert video.frame_count == 25


def test_ntsc_rate_and_aspect_are_exact(tmp_path: Path):
    clip = make(tmp_path / "a.mov", *pattern("720x480", "30000/1001"), "-vf", "setsar=8/9", "-c:v", "prores_ks")
    video = probe(clip).video
    assert video is not None
    assert (video.frame_rate, video.sample_aspect_ratio) == (Fraction(30000, 1001), Fraction(8, 9))
    assert (video.bit_depth, video.chroma, video.color.primaries) == (10, "4:2:2", "bt601_525")


@pytest.mark.parametrize(("degrees", "clockwise"), [("90", 270), ("180", 180), ("-90", 90)])
def test_rotation(tmp_path: Path, degrees: str, clockwise: int):
    plain = make(tmp_path / "a.mp4", *pattern(duration=0.2), "-c:v", "libx264")
    video = probe(make(tmp_path / "r.mp4", "-display_rotation", degrees, "-i", str(plain), "-c", "copy")).video
    assert video is not None
    assert video.rotation_deg == clockwise
    assert video.display_matrix is not None


def test_cover_and_attachment_are_not_the_picture(tmp_path: Path):
    cover = make(tmp_path / "c.jpg", *pattern(duration=0.04))
    note = tmp_path / "note.txt"
    note.write_text("hello")
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    only = make(tmp_path / "song.mp4", *sound, "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy",
                "-disposition:v", "attached_pic")  # fmt: skip
    with pytest.raises(InputError, match="only audio, cover picture"):
        probe(only)
    clip = make(tmp_path / "a.mkv", *pattern(), *sound, "-attach", str(note),
                "-metadata:s:t", "mimetype=text/plain", "-metadata:s:a", "language=deu")  # fmt: skip
    streams = probe(clip).streams
    assert [stream.kind for stream in streams] == ["video", "audio", "attachment"]
    assert streams[1].language in ("deu", "ger")


X265 = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-preset", "ultrafast")


DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L({}0000,50)"


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        *(
            (f"colorprim=bt2020{transfer}:{DISPLAY.format(1000)}", "pq")
            for transfer in ("", ":transfer=bt2020-10", ":transfer=bt2020-12", ":transfer=bt709")
        ),
        (f"colorprim=bt2020:transfer=bt2020-10:{DISPLAY.format(203)}", "none"),
        (f"colorprim=bt2020:transfer=bt2020-10:{DISPLAY.format(100)}:max-cll=100,50", "none"),
        ("colorprim=bt2020:transfer=bt2020-10:max-cll=1000,400", "pq"),
        (DISPLAY.format(4000), "pq"),
        (f"transfer=bt709:{DISPLAY.format(1000)}", "pq"),
        (f"colorprim=bt709:transfer=bt709:colormatrix=bt709:{DISPLAY.format(1000)}:max-cll=1000,400", "none"),
        (f"colorprim=bt709:{DISPLAY.format(1000)}", "none"),
        ("colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc", "pq"),
        ("colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc", "hlg"),
        ("colorprim=bt2020:colormatrix=bt2020nc:max-cll=1000,400", "pq"),
        ("colorprim=bt2020:transfer=bt2020-10:colormatrix=bt2020nc", "none"),
        ("colorprim=bt709:transfer=bt709:colormatrix=bt709:max-cll=1000,400", "none"),
    ],
)
def test_hdr_is_seen_in_the_bitstream_alone(tmp_path: Path, parameters: str, kind: str):
    clip = make(tmp_path / "a.hevc", *pattern(duration=0.2), *X265, "-x265-params", f"log-level=0:{parameters}")
    video = probe(clip).video
    assert video is not None
    assert video.hdr == kind
    assert bool(video.hdr_reason) == (kind != "none")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(("transfer", "peak_nits", "kind"), [("bt2020-10", 1000, "pq"), ("bt2020-10", 200, "none")])
def test_hdr10_metadata_of_the_container_alone_is_seen(
    tmp_path: Path, name: str, transfer: str, peak_nits: int, kind: str
):
    """H.264 without any SEI: the mdcv box and the Matroska element are all that speaks."""
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    plain = make(tmp_path / f"plain_{name}", *pattern(duration=0.2), "-vf", tags, "-c:v", "libx264")
    display = DISPLAY.format(peak_nits).removeprefix("master-display=")
    clip = make(tmp_path / name, "-mastering_display:v:0", display, "-i", str(plain), "-c", "copy")
    video = probe(clip).video
    assert video is not None
    assert (video.hdr, f"{peak_nits} nits" in video.hdr_reason) == (kind, kind == "pq")


def test_dolby_vision_by_codec_tag_and_side_data():
    assert detect_hdr(ColorTags(), {}, "dvh1", False)[0] == "dolby_vision"
    assert detect_hdr(ColorTags(), {"DOVI_METADATA": b""}, "hvc1", False)[0] == "dolby_vision"
    assert detect_hdr(ColorTags(), {}, "hvc1", True)[0] == "dolby_vision"
    assert detect_hdr(ColorTags(), {}, "hvc1", False) == ("none", "")


def test_hdr10_plus_is_hdr_whatever_the_transfer_tag_says():
    plus = {"DYNAMIC_HDR_PLUS": b""}
    for tags in (ColorTags(), ColorTags(primaries="bt2020", transfer="bt2020-10"), ColorTags(transfer="bt709")):
        kind, reason = detect_hdr(tags, plus, "hvc1", False)
        assert (kind, "HDR10+" in reason) == ("pq", True)
    assert detect_hdr(ColorTags(primaries="bt709", transfer="bt709"), plus, "hvc1", False) == ("none", "")


@pytest.mark.parametrize("side_data", [{"MASTERING_DISPLAY_METADATA": b"\1"}, {"CONTENT_LIGHT_LEVEL": b""}])
def test_malformed_metadata_states_nothing(side_data: dict[str, bytes]):
    assert detect_hdr(ColorTags(), side_data, "hvc1", False) == ("none", "")


@pytest.mark.parametrize(
    ("tags", "size", "expected"),
    [
        ({}, (1920, 1080), ("bt709", "bt709", "limited")),
        ({}, (720, 576), ("bt601", "bt601_625", "limited")),
        ({}, (720, 480), ("bt601", "bt601_525", "limited")),
        ({"matrix": "bt470bg"}, (1920, 1080), ("bt601", "bt601_525", "limited")),
        ({"matrix": "fcc", "range": "pc"}, (640, 480), ("bt601", "bt601_525", "full")),
        ({"primaries": "bt2020", "transfer": "bt2020-10"}, (1920, 1080), ("bt2020nc", "bt2020", "limited")),
        ({"primaries": "smpte432"}, (1920, 1080), ("bt709", "p3_d65", "limited")),
        ({"matrix": "bt709", "primaries": "bt470bg"}, (720, 576), ("bt709", "bt601_625", "limited")),
    ],
)
def test_interpretation(tags: dict[str, str], size: tuple[int, int], expected: tuple[str, str, str]):
    color = interpret(ColorTags(**tags), pix_fmt="yuv420p", width=size[0], height=size[1], frame_rate=None)
    assert (color.matrix, color.primaries, color.range) == expected
    stated = {"matrix", "primaries", "range"} & set(tags)
    assert not stated & set(color.assumed)


def test_rgb_has_no_matrix_and_is_full_range():
    color = interpret(ColorTags(), pix_fmt="gbrp", width=320, height=240, frame_rate=None)
    assert (color.matrix, color.range, color.primaries) == ("rgb", "full", "bt709")


@pytest.mark.parametrize("transfer", ["linear", "log100"])
def test_light_that_is_not_for_a_display_is_refused(tmp_path: Path, transfer: str):
    clip = make(
        tmp_path / "a.mkv", *pattern(duration=0.1), "-vf", f"setparams=color_trc={transfer}", "-c:v", "libx264"
    )
    with pytest.raises(InputError, match=transfer):
        require_sdr(probe(clip))


# ── Bad input ───────────────────────────────────────────────────────────────────────────────────────────────


def _one_sentence(error: pytest.ExceptionInfo[InputError]) -> bool:
    message = str(error.value)
    return error.value.exit_code == 3 and "\n" not in message and 20 < len(message) < 400


def _playlist(folder: Path) -> Path:
    make(folder / "secret.mp4", *pattern(duration=0.2), "-c:v", "libx264")
    playlist = folder / "p.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    return playlist


def _concat(folder: Path) -> Path:
    make(folder / "secret.mp4", *pattern(duration=0.2), "-c:v", "libx264")
    script = folder / "c.mp4"
    script.write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    return script


def _written(name: str, data: bytes):
    def create(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return create


BAD = {
    "missing": lambda folder: folder / "none.mp4",
    "directory": lambda folder: folder,
    "empty": _written("a.mp4", b""),
    "text": _written("a.mp4", b"just some words\n" * 100),
    "zeros": _written("a.mp4", bytes(4096)),
    "protocol name": lambda folder: Path("concat:/etc/passwd|/etc/hosts"),
    "url": lambda folder: Path("http://127.0.0.1:9/a.mp4"),
    "null byte": lambda folder: folder / "a\0.mp4",
    "playlist": _playlist,
    "concat script": _concat,
    "image": lambda folder: make(folder / "a.png", *pattern(duration=0.04)),
    "image pattern": lambda folder: make(folder / "a%d.png", *pattern(duration=0.04)).with_name("a1.png"),
    "gif": lambda folder: make(folder / "a.gif", *pattern(duration=0.2)),
    "subtitles": _written("a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHi\n"),
    "8 pixels high": lambda folder: make(folder / "a.mkv", *lavfi("color=size=8192x8:duration=0.1"), "-c:v", "ffv1"),
    "1x1": lambda folder: make(folder / "a.mkv", *lavfi("color=size=1x1:duration=0.1"), "-pix_fmt", "yuv444p",
                               "-c:v", "ffv1"),
    "no frames": lambda folder: make(folder / "a.mp4", *lavfi("sine=duration=1"), "-vn"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence(tmp_path: Path, kind: str):
    with pytest.raises(InputError) as error:
        probe(BAD[kind](tmp_path))
    assert _one_sentence(error), str(error.value)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["late.mp4", "fast.mp4", "a.mkv", "a.webm", "a.avi", "a.mxf", "a.ts"])
def test_truncated_container_is_refused_at_once(tmp_path: Path, name: str, share: float):
    options = {"fast.mp4": ("-movflags", "+faststart"), "a.webm": ("-c:v", "libvpx", "-deadline", "realtime")}
    whole = make(tmp_path / name, *pattern(), *options.get(name, ()))
    probe(whole)
    data = whole.read_bytes()
    end = int(len(data) * share)
    whole.write_bytes(data[: end - (end % 188 == 0)])  # a transport stream may end after any whole packet
    with pytest.raises(InputError) as error:
        probe(whole)
    assert _one_sentence(error), str(error.value)


def test_one_frame_and_wide_pictures_are_allowed(tmp_path: Path):
    one = make(tmp_path / "a.mp4", *pattern(), "-frames:v", "1", "-c:v", "libx264")
    wide = make(tmp_path / "w.mkv", *lavfi("color=size=8192x16:duration=0.1"), "-c:v", "ffv1")
    for path in (one, wide):
        assert probe(path).video is not None
