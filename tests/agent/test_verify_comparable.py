"""Which pairs of files can be held against each other, by their facts alone, and real files of other makers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.comparable import align_filters, require_comparable, require_same_frames
from tests.shared_data import shared_data
from toolchain.errors import InputError
from toolchain.video.facts import ColorInterpretation, ColorTags, MediaFacts, VideoFacts
from toolchain.video.probe import probe

LYING = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
"""The display matrix of a quarter turn clockwise."""

MIRRORED = (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def file(name: str, size: tuple[int, int], **more: Any) -> MediaFacts:
    hdr = more.pop("hdr", "pq" if name == "out" else "none")
    primaries = "bt2020" if hdr != "none" else "bt709"
    color = ColorInterpretation(
        matrix="bt2020nc", primaries=more.pop("primaries", primaries), range="limited", chroma_location="left",
        assumed=more.pop("assumed", ()),
    )  # fmt: skip
    video = VideoFacts(
        index=0, kind="video", codec="hevc", pix_fmt="yuv420p10le", bit_depth=10, chroma="4:2:0", width=size[0],
        height=size[1], tags=more.pop("tags", ColorTags()), color=color, hdr=hdr, frame_rate=Fraction(25), **more,
    )  # fmt: skip
    return MediaFacts(path=Path(name), size_bytes=1, format_name="mov", duration_s=1, streams=(video,), video=video)


def turned(name: str, size: tuple[int, int], rotation_deg: int, matrix: tuple[int, ...]) -> MediaFacts:
    return file(name, size, rotation_deg=rotation_deg, display_matrix=matrix)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"size": (1920, 1080)}, {"size": (1920, 1080)}, []),
        ({"size": (1920, 1080)}, {"size": (3840, 2160)}, ["compared at working size"]),
        ({"size": (1920, 1080)}, {"size": (854, 480)}, ["compared at working size"]),
        ({"size": (1919, 1079)}, {"size": (1920, 1080)}, []),
        ({"size": (720, 576), "sample_aspect_ratio": Fraction(64, 45)}, {"size": (1024, 576)}, ["working size"]),
        ({"size": (720, 576), "sample_aspect_ratio": Fraction(64, 45)}, {"size": (720, 576)}, ["got lost"]),
        ({"size": (17, 16)}, {"size": (18, 16)}, []),
    ],
)
def test_what_can_be_compared(before: dict[str, Any], after: dict[str, Any], words: list[str]) -> None:
    warnings = require_comparable(file("in", **before), file("out", **after))
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (file("out", (1920, 800)), r"1920x800 \(2\.400:1\).*1920x1080 \(1\.778:1\).*crop, pad or turn"),
        (file("out", (1080, 1920)), "same aspect"),
        (file("out", (1920, 1440), sample_aspect_ratio=Fraction(2)), r"2\.667:1, pixels 2\)"),
        (file("out", (320, 180)), "too small to judge.*at least 480x270"),
        (file("out", (1920, 1080), hdr="none"), "not HDR"),
        (
            file("out", (1920, 1080), hdr="dolby_vision", hdr_reason="its box says so"),
            "Dolby Vision .its box says so",
        ),
        (file("out", (1920, 1080), primaries="p3_d65"), "only BT.2020"),
        (file("out", (1920, 1080), tags=ColorTags(matrix="ipt-c2")), "'ipt-c2'"),
        (turned("out", (1920, 1080), 180, MIRRORED), "mirrored"),
        (turned("out", (1920, 1080), 45, (46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)), "quarter turns"),
    ],
)
def test_what_cannot_be_compared(output: MediaFacts, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        require_comparable(file("in", (1920, 1080)), output)
    assert str(caught.value).startswith("out ")


def test_primaries_that_nobody_stated_are_no_reason_to_refuse() -> None:
    guessed = file("out", (64, 64), primaries="bt709", assumed=("primaries", "matrix"))
    assert require_comparable(file("in", (64, 64)), guessed) == ()


def test_pictures_are_brought_to_how_the_source_lies() -> None:
    lying = turned("in", (1920, 1080), 90, LYING)
    assert align_filters(lying, file("out", (1080, 1920))) == (("transpose", "cclock"),)
    assert align_filters(file("in", (1080, 1920)), turned("out", (1920, 1080), 90, LYING)) == (
        ("transpose", "clock"),
    )
    assert align_filters(lying, turned("out", (1920, 1080), 90, LYING)) == ()
    assert align_filters(file("in", (33, 20)), file("out", (34, 20))) == (("crop", "33:20:0:0:exact=1"),)
    assert align_filters(file("in", (34, 20)), file("out", (35, 20))) == ()
    grown = align_filters(turned("in", (33, 20), 90, LYING), file("out", (20, 34)))
    assert grown == (("transpose", "cclock"), ("crop", "33:20:0:0:exact=1"))


def times(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


SOURCE, OUTPUT = file("in", (64, 64)), file("out", (64, 64))


@pytest.mark.parametrize(
    "output",
    [times(0, 0.04, 0.08), times(7.0, 7.04, 7.08), times(0, 0.04 + 0.019, 0.08), times(0, 0.0401, 0.0799)],
)
def test_times_within_half_a_frame_are_the_same(output: np.ndarray) -> None:
    """It answers by raising nothing."""
    assert require_same_frames(SOURCE, times(0, 0.04, 0.08), OUTPUT, output) is None


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (times(0, 0.04), "out is shorter than in: 2 frames at 25 fps against 3 frames at 25 fps"),
        (times(0, 0.04, 0.08, 0.12), "out is longer than in: 4 frames"),
        (times(0, 0.04 + 0.021, 0.08), "frame 1 is shown at 0.0610 s instead of 0.0400 s"),
        (times(), "0 frames"),
    ],
)
def test_other_times_are_refused(output: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        require_same_frames(SOURCE, times(0, 0.04, 0.08), OUTPUT, output)


def test_a_slow_drift_is_seen_where_it_exceeds_half_a_frame() -> None:
    """24 fps against 24000/1001: after 21 s."""
    for count, refused in ((480, False), (510, True)):
        film, broadcast = np.arange(count) / 24, np.arange(count) * 1001 / 24000
        if refused:
            with pytest.raises(InputError, match="another rate"):
                require_same_frames(SOURCE, film, OUTPUT, broadcast)
        else:
            require_same_frames(SOURCE, film, OUTPUT, broadcast)


def test_one_frame_has_no_rate_to_differ() -> None:
    assert require_same_frames(SOURCE, times(0), OUTPUT, times(3.0)) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("dolbyVision-hdr.MOV", "Dolby Vision"), ("sample.mp4", "not HDR"), ("hlg10-color-test.mp4", "aspect|small")],
)
def test_real_files_of_other_makers(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        require_comparable(file("in", (333, 999)), probe(shared_data("clips", name)))
