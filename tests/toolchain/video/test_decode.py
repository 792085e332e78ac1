"""Frames with exact times, the same from any starting point, and no silent loss."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest

from tests.shared_data import shared_data
from tests.toolchain.video.clips import lavfi, make, pattern
from toolchain.errors import InputError
from toolchain.models.restore import restore_filters
from toolchain.video import decode
from toolchain.video.decode import chroma_of, decode_frames, decoded_format, deinterlace_filters, planes
from toolchain.video.facts import VideoFacts
from toolchain.video.probe import probe

BWDIF = deinterlace_filters("tff")


def facts(path: Path) -> VideoFacts:
    video = probe(path).video
    assert video is not None
    return video


def prints(path: Path, filters: Sequence[tuple[str, str]] = (), **options: int) -> list[tuple[int | None, str]]:
    """(pts, hash of the visible samples) of each frame."""
    frames = decode_frames(path, facts(path), filters, **options)
    return [(f.pts, sha256(b"".join(plane.tobytes() for plane in planes(f))).hexdigest()) for f in frames]


# ── Timeline ────────────────────────────────────────────────────────────────────────────────────────────────


def test_variable_frame_rate_is_exact(tmp_path: Path):
    select = "select='not(mod(n,7))+not(mod(n,3))'"
    clip = make(tmp_path / "a.mkv", *pattern(rate="60"), "-vf", select, "-fps_mode", "vfr", "-c:v", "libx264")
    kept = [n for n in range(60) if n % 7 == 0 or n % 3 == 0]
    video = facts(clip)
    assert [f.pts for f in decode_frames(clip, video)] == [int(Fraction(n, 60) * 1000 + Fraction(1, 2)) for n in kept]


def test_non_zero_start_is_kept(tmp_path: Path):
    clip = make(tmp_path / "a.ts", *pattern(), "-c:v", "libx264", "-bf", "2")
    frames = [f.pts for f in decode_frames(clip, facts(clip))]
    assert frames[0] == facts(clip).start_pts
    assert frames[0] != 0
    assert np.all(np.diff(np.array(frames, np.int64)) == 3600)


def test_edit_list_hides_what_it_cuts(tmp_path: Path):
    whole = make(tmp_path / "a.mp4", *pattern(duration=2), "-c:v", "libx264", "-g", "50", "-bf", "0")
    cut = make(tmp_path / "b.mp4", "-ss", "1.2", "-i", str(whole), "-c", "copy")
    assert prints(cut) == [(pts - 30 * 512, digest) for pts, digest in prints(whole)[30:] if pts is not None]


def test_shared_edit_list():
    assert len(prints(shared_data("clips", "sample_edit_list.mp4"))) == 77


def test_frames_without_timestamps_are_numbered(tmp_path: Path):
    clip = make(tmp_path / "a.h264", *pattern(), "-c:v", "libx264", "-bf", "2")
    video = facts(clip)
    assert video.time_base is not None
    times = [f.pts * video.time_base for f in decode_frames(clip, video) if f.pts is not None]
    assert times == [Fraction(n, 25) for n in range(25)]


def test_deinterlacing_keeps_every_timestamp(tmp_path: Path):
    clip = make(tmp_path / "a.mp4", *pattern("352x288", "50"), "-vf", "interlace", "-flags", "+ilme+ildct")
    plain, filtered = prints(clip), prints(clip, BWDIF)
    assert [pts for pts, _ in filtered] == [pts for pts, _ in plain]
    assert all(a != b for (_, a), (_, b) in zip(plain, filtered, strict=True))


# ── Any starting point ──────────────────────────────────────────────────────────────────────────────────────

OPEN_GOP = "open-gop=1:keyint=25:bframes=3"
SEEK_CLIPS = {
    "hevc.mp4": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=0:min-keyint=25:{OPEN_GOP}"),
    "h264.mkv": ("-c:v", "libx264", "-x264-params", f"{OPEN_GOP}:b-pyramid=normal"),
    "h264.ts": ("-c:v", "libx264", "-x264-params", OPEN_GOP),
    "mpeg2.mov": ("-c:v", "mpeg2video", "-bf", "2", "-g", "12"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "20"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2"),
}


@pytest.mark.parametrize("filters", [(), BWDIF], ids=["plain", "bwdif"])
@pytest.mark.parametrize("name", SEEK_CLIPS)
def test_a_range_equals_the_same_part_of_a_whole_decode(tmp_path: Path, name: str, filters: tuple):
    clip = make(tmp_path / name, *pattern("160x96", duration=3), *SEEK_CLIPS[name])
    whole = prints(clip, filters)
    assert len(whole) == 75
    for first in (0, 1, 24, 25, 26, 49, 60, 74):
        last = min(first + 7, 74)
        start, end = whole[first][0], whole[last][0]
        assert start is not None
        assert end is not None
        assert prints(clip, filters, start_pts=start, end_pts=end) == whole[first:last], first


def test_shared_b_frame_clip_by_range():
    clip = shared_data("clips", "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4")
    assert prints(clip, start_pts=65, end_pts=70) == prints(clip)[65:70]


# ── Pixel formats ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pix_fmt", "planar", "filtered"),
    [
        ("yuv420p", "yuv420p", "yuv420p10le"),
        ("yuvj420p", "yuvj420p", "yuv420p10le"),
        ("nv12", "yuv420p", "yuv420p10le"),
        ("yuyv422", "yuv422p", "yuv422p10le"),
        ("yuv411p", "yuv422p", "yuv422p10le"),
        ("yuv410p", "yuv420p", "yuv420p10le"),
        ("yuv440p", "yuv444p", "yuv444p10le"),
        ("yuva444p12le", "yuv444p12le", "yuv444p12le"),
        ("p010le", "yuv420p10le", "yuv420p10le"),
        ("yuv422p9be", "yuv422p10le", "yuv422p10le"),
        ("yuv420p14le", "yuv420p16le", "yuv420p16le"),
        ("gray", "gray", "gray10le"),
        ("rgb24", "gbrp", "gbrp10le"),
        ("pal8", "gbrp", "gbrp10le"),
        ("rgb48be", "gbrp16le", "gbrp16le"),
    ],
)
def test_decoded_format(pix_fmt: str, planar: str, filtered: str):
    assert (decoded_format(pix_fmt), decoded_format(pix_fmt, 10)) == (planar, filtered)
    av.VideoFormat(planar)
    assert chroma_of(planar) == chroma_of(filtered)


@pytest.mark.parametrize("pix_fmt", ["nv12", "yuyv422", "yuv411p", "yuva420p", "yuv422p10le", "yuv444p14le"])
def test_conversion_keeps_luma_codes(tmp_path: Path, pix_fmt: str):
    clip = make(tmp_path / "a.nut", *pattern("64x48", duration=0.08), "-pix_fmt", pix_fmt, "-c:v", "rawvideo")
    video = facts(clip)
    plain = next(decode_frames(clip, video))
    deep = next(decode_frames(clip, video, (("null", ""),)))
    a, b = (planes(f)[0].astype(np.int64) << (16 - f.format.components[0].bits) for f in (plain, deep))
    assert np.array_equal(a, b)
    assert plain.format.name == decoded_format(pix_fmt)
    assert deep.format.name == decoded_format(pix_fmt, 10)


def test_full_range_stays_full_range_through_filters(tmp_path: Path):
    source = lavfi("gradients=size=256x64:c0=black:c1=white:duration=0.1")
    clip = make(tmp_path / "a.mkv", *source, "-pix_fmt", "yuv420p", "-color_range", "pc", "-c:v", "ffv1")
    video = facts(clip)
    assert video.color.range == "full"
    plain = planes(next(decode_frames(clip, video)))[0] / 255
    deep = planes(next(decode_frames(clip, video, (("null", ""),))))[0] / 1023
    assert plain.max() > 0.95
    # swscale repeats the leading bits (v << 2 | v >> 6), at most 0.742 codes from v x 1023 / 255.
    assert np.abs(plain - deep).max() < 0.7425 / 1023


def test_planes_are_views_of_the_visible_area_in_rgb_order(tmp_path: Path):
    clip = make(tmp_path / "a.mkv", *lavfi("color=red:size=33x17:duration=0.1"), "-pix_fmt", "gbrp", "-c:v", "ffv1")
    frame = next(decode_frames(clip, facts(clip)))
    red, green, blue = planes(frame)
    assert red.shape == green.shape == blue.shape == (17, 33)
    assert red.min() > 250
    assert max(green.max(), blue.max()) < 5
    assert not red.flags.owndata


def test_odd_sizes_have_rounded_up_chroma(tmp_path: Path):
    clip = make(tmp_path / "a.mkv", *pattern("64x48"), "-vf", "scale=33:17", "-pix_fmt", "yuv420p", "-c:v", "ffv1")
    assert [plane.shape for plane in planes(next(decode_frames(clip, facts(clip))))] == [(17, 33), (9, 17), (9, 17)]


@pytest.mark.parametrize("name", ["a.ts", "a.avi", "a.mpg", "a.mp4"])
@pytest.mark.parametrize("filters", [(), BWDIF], ids=["plain", "bwdif"])
def test_a_range_reads_no_further_than_it_must(tmp_path: Path, name: str, filters: tuple, monkeypatch):
    """The frame at its end, what the decoder and the filter hold back, and nothing more."""
    clip = make(tmp_path / name, *pattern(duration=4), "-g", "12")
    whole = [pts for pts, _ in prints(clip)]
    decoded = []
    remembered = decode._decoded

    def counted(*arguments: object):
        for frame in remembered(*arguments):  # type: ignore[arg-type]
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(decode, "_decoded", counted)
    first, last = whole[10], whole[20]
    assert first is not None and last is not None
    frames = list(decode_frames(clip, facts(clip), filters, start_pts=first, end_pts=last))
    assert [frame.pts for frame in frames] == whole[10:20]
    assert decoded[-1] in whole[20:24]


def test_deinterlacing_is_the_catalogues():
    assert deinterlace_filters("tff") == restore_filters("deinterlace", {"parity": 0})
    assert deinterlace_filters("bff") == (("bwdif", "mode=send_frame:parity=1:deint=all"),)
    assert deinterlace_filters("progressive") == deinterlace_filters("unknown") == ()


# ── Damage ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov", "a.avi", "a.flv"])
def test_damage_inside_is_never_silent(tmp_path: Path, name: str):
    codec = ("-c:v", "prores_ks") if name == "a.mov" else ()
    clip = make(tmp_path / name, *pattern(duration=2), "-movflags" if "m" in name[2:] else "-flags", "+faststart" if
                "m" in name[2:] else "+bitexact", *codec)  # fmt: skip
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    clip.write_bytes(data)
    video, seen = facts(clip), 0
    with pytest.raises(InputError, match=r"is damaged after frame \d+"):
        for _ in decode_frames(clip, video):
            seen += 1
    assert 0 < seen < 50


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mpg", "a.nut"])
def test_truncated_stream_is_damaged(tmp_path: Path, name: str, share: float):
    codec = ("-c:v", "ffv1") if name == "a.nut" else ()
    clip = make(tmp_path / name, *pattern(), *codec)
    data = clip.read_bytes()
    clip.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"is (damaged after frame|truncated)"):
        list(decode_frames(clip, facts(clip)))


def test_change_of_size_is_refused(tmp_path: Path):
    parts = [
        make(tmp_path / f"{s}.h264", *pattern(s, duration=0.4), "-c:v", "libx264") for s in ("320x240", "160x96")
    ]
    joined = tmp_path / "j.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    video = facts(joined)
    with pytest.raises(InputError, match=r"changes its picture from 320x240 .* to 160x96"):
        list(decode_frames(joined, video))


def test_unchanged_clips_are_not_called_damaged():
    for name, count in {
        "sample.mp4": 30,
        "bbb_960x540_60fps_vp8.webm": 60,
        "sample_with_pgs_subtitles.mkv": 30,
    }.items():
        clip = shared_data("clips", name)
        assert len(list(decode_frames(clip, facts(clip)))) == count
