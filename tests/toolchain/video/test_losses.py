"""What the written picture lacks is said, and nothing is said of what it holds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.toolchain.video.clips import make, pattern
from tests.toolchain.video.segments import encode, frame_times, small_spec
from toolchain.video.encode import coded_size
from toolchain.video.facts import ColorInterpretation, ColorTags, VideoFacts
from toolchain.video.hdr_metadata import HdrMetadata
from toolchain.video.losses import peak_overshoot, picture_losses
from toolchain.video.mux import finalise
from toolchain.video.output import Codec, OutputSpec
from toolchain.video.probe import probe
from toolchain.video.readback import verify_container

COLOR = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")


def facts(chroma: str = "4:2:0", width: int = 320, height: int = 180) -> VideoFacts:
    values = {"index": 0, "kind": "video", "codec": "x", "pix_fmt": "x", "bit_depth": 8, "chroma": chroma}
    return VideoFacts.model_validate(
        {**values, "width": width, "height": height, "tags": ColorTags(), "color": COLOR}
    )


def losses(codec: Codec, video: VideoFacts, metadata: HdrMetadata | None = None) -> list[str]:
    return picture_losses(video, OutputSpec.for_path(Path("o.mkv"), codec, source_chroma=video.chroma), metadata)


@pytest.mark.parametrize("codec", ["hevc", "av1", "prores", "ffv1"])
@pytest.mark.parametrize("chroma", ["4:2:0", "4:0:0"])
def test_an_ordinary_picture_loses_nothing(codec: Codec, chroma: str) -> None:
    assert losses(codec, facts(chroma), HdrMetadata(max_cll=1100, max_fall=100)) == []


@pytest.mark.parametrize(
    ("codec", "chroma", "said"),
    [
        (
            "hevc",
            "4:4:4",
            "from 4:4:4 to 4:2:0: HEVC Main 10 holds no more; --codec prores keeps 4:2:2, ffv1 keeps all",
        ),
        ("av1", "4:2:2", "from 4:2:2 to 4:2:0: AV1 Main"),
        ("hevc", "rgb", "from rgb to 4:2:0"),
        ("hevc", "4:1:1", "from 4:1:1 to 4:2:0"),
        ("prores", "4:4:4", "from 4:4:4 to 4:2:2: ProRes 422 HQ holds no more; --codec ffv1 keeps all"),
        ("prores", "4:4:0", "from 4:4:0 to 4:2:2"),
        ("prores", "4:2:2", ""),
        ("prores", "4:1:1", ""),
        *(("ffv1", chroma, "") for chroma in ("4:2:2", "4:4:4", "4:4:0", "4:1:1", "rgb")),
    ],
)
def test_reduced_chroma_is_said(codec: Codec, chroma: str, said: str) -> None:
    found = losses(codec, facts(chroma))
    assert len(found) == bool(said)
    assert not said or said in found[0]


@pytest.mark.parametrize(
    ("codec", "size", "written"),
    [("hevc", (321, 181), "322x182"), ("av1", (320, 181), "320x182"), ("prores", (321, 181), "322x181"),
     ("prores", (320, 181), ""), ("ffv1", (321, 181), "")],
)  # fmt: skip
def test_an_added_row_or_column_is_said(codec: Codec, size: tuple[int, int], written: str) -> None:
    found = losses(codec, facts("4:2:2" if codec == "prores" else "4:2:0", *size))
    assert len(found) == bool(written)
    assert not written or f"{written} instead of {size[0]}x{size[1]}" in found[0]


def test_a_peak_clearly_above_the_mastering_display_is_said() -> None:
    assert "1771 nits, 77% above the peak of 1000 nits" in peak_overshoot(HdrMetadata(max_cll=1771, max_fall=9))
    assert peak_overshoot(HdrMetadata(max_cll=1200, max_fall=9)) == ""
    assert peak_overshoot(HdrMetadata(max_cll=1201, max_fall=9)) != ""
    assert peak_overshoot(None) == ""


def test_the_file_is_written_with_its_losses_named(tmp_path: Path) -> None:
    odd = ("-vf", "format=yuv444p,crop=65:49:0:0:exact=1", "-c:v", "libx264")
    source = make(tmp_path / "a.mp4", *pattern("96x64", duration=0.2), *odd)
    media = probe(source)
    video = media.video
    assert video is not None and video.time_base is not None
    times = frame_times(source)
    for codec in ("hevc", "ffv1"):
        spec = small_spec(tmp_path / f"{codec}.mkv", codec)
        segment = encode(
            tmp_path / f"s_{codec}.mkv", spec, times, video.time_base, coded_size(spec, 65, 49), Fraction(25)
        )
        metadata = HdrMetadata(max_cll=2000, max_fall=9)
        target = tmp_path / f"{codec}.mkv"
        report = finalise([segment], source, media, spec, metadata, target)
        said = [" ".join(warning.split()[:3]) for warning in report.warnings]
        size = ["the picture is"] if codec == "hevc" else []
        assert said == [*size, "chroma is reduced", "the brightest pixel"]
        assert verify_container(target, spec, metadata, times, video.time_base, report, None) == []
