"""Every real clip gets the right result, or the right error with the right exit code. The table names them all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli.main import main
from tests.shared_data import shared_data
from toolchain.files import sha256_file
from toolchain.video.decode import decode_frames
from toolchain.video.facts import MediaFacts
from toolchain.video.probe import probe

CONVERTED = 0
BAD_INPUT = 3
KEPT = 4

EXPECTED: dict[str, tuple[int, str]] = {
    # SDR
    "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4": (CONVERTED, ""),
    "bbb_960x540_60fps_vp8.webm": (CONVERTED, ""),
    "bt601.mp4": (CONVERTED, ""),
    "internal_emulator_transformer_output.mp4": (KEPT, "No measured improvement"),  # hardly a highlight
    "portrait_4k60.mp4": (CONVERTED, ""),
    "sample.mp4": (CONVERTED, ""),
    "sample_portrait.mp4": (CONVERTED, ""),
    "sample_rotate_and_reflect.mp4": (CONVERTED, ""),
    "sample_with_ass_subtitles.mkv": (CONVERTED, ""),
    "sample_with_chapters.mkv": (KEPT, "ringing"),  # pure colours: the encoder rings at this size, for direct203 too
    "sample_with_increasing_timestamps_360p.mp4": (CONVERTED, ""),
    "sample_with_pgs_subtitles.mkv": (CONVERTED, ""),
    "sample_with_srt.mkv": (CONVERTED, ""),
    # HDR already
    "dolbyVision-hdr.MOV": (KEPT, "Dolby Vision"),
    "hdr10-av1.mp4": (KEPT, "PQ"),
    "hdr10-video-with-sdr-container.mp4": (KEPT, "PQ"),
    "hlg10-color-test.mp4": (KEPT, "HLG"),
    "sample_edit_list.mp4": (KEPT, "HLG|Dolby Vision"),
    # no picture
    "sample_audio_only.mp4": (BAD_INPUT, "no picture"),
}


def test_the_table_names_every_clip() -> None:
    clips = shared_data("clips")
    assert {path.name for path in clips.iterdir() if path.is_file()} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_clip(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    source = shared_data("clips", name)
    before = sha256_file(source)
    output = tmp_path / f"out{'.mkv' if source.suffix == '.mkv' else '.mp4'}"
    code, words = EXPECTED[name]
    assert main(["process", str(source), "-o", str(output), "--profile", "fast"]) == code, capsys.readouterr().err
    assert re.search(words, capsys.readouterr().err)
    assert sha256_file(source) == before
    if code == CONVERTED:
        assert_delivered(source, output)
    else:
        assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_what_mp4_cannot_hold_is_named_in_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    source = shared_data("clips", "sample_with_pgs_subtitles.mkv")
    command = ["process", str(source), "-o", str(tmp_path / "out.mp4"), "--profile", "fast", "--json"]
    assert main(command) == CONVERTED
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = [event["message"] for event in events if event["type"] == "warning"]
    assert any("pgs" in message.lower() for message in named), named
    assert events[-1]["warnings"] == named


def assert_delivered(source: Path, output: Path) -> None:
    """HDR10 by our own reader, by the manifest, and by independent readers where they are installed; every frame at
    its own time."""
    facts, made = probe(source), probe(output)
    assert facts.video is not None and made.video is not None
    assert (made.video.hdr, made.video.pix_fmt) == ("pq", "yuv420p10le")
    assert made.video.rotation_deg == facts.video.rotation_deg
    assert made.video.sample_aspect_ratio == facts.video.sample_aspect_ratio
    assert frame_times_s(output) == pytest.approx(frame_times_s(source), abs=tolerance_s(made))
    manifest = json.loads(output.with_name(output.name + ".manifest.json").read_text())
    light = manifest["rendered"]
    assert 1 <= light["max_fall"] <= light["max_cll"] <= 10000
    for reader in (ffprobe_says, mediainfo_says):
        found = reader(output)
        if found is not None:
            assert found == ("smpte2084", "bt2020", light["max_cll"], light["max_fall"]), reader.__name__


def tolerance_s(facts: MediaFacts) -> float:
    """Matroska counts in milliseconds; MP4 and MOV hold every time exactly."""
    return 0.00051 if "matroska" in facts.format_name else 1e-9


def frame_times_s(path: Path) -> list[float]:
    """Presentation times of all frames that a player shows."""
    facts = probe(path).video
    assert facts is not None and facts.time_base is not None
    return [float(frame.pts * facts.time_base) for frame in decode_frames(path, facts) if frame.pts is not None]


Said = tuple[str, str, int, int]


def ffprobe_says(path: Path) -> Said | None:
    """Transfer, primaries, MaxCLL and MaxFALL by Debian's ffprobe; None where it is not installed."""
    program = shutil.which("ffprobe")
    if program is None:
        return None
    fields = "stream=color_transfer,color_primaries:stream_side_data=max_content,max_average"
    command = [program, "-v", "error", "-select_streams", "v:0", "-show_entries", fields, "-of", "json", str(path)]
    stream = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["streams"][0]
    light = next(item for item in stream["side_data_list"] if "max_content" in item)
    return stream["color_transfer"], stream["color_primaries"], light["max_content"], light["max_average"]


def mediainfo_says(path: Path) -> Said | None:
    """The same by mediainfo; None where it is not installed."""
    program = shutil.which("mediainfo")
    if program is None:
        return None
    command = [program, "--Output=JSON", str(path)]
    tracks = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["media"]["track"]
    video = next(track for track in tracks if track["@type"] == "Video")
    names = {"PQ": "smpte2084", "BT.2020": "bt2020"}
    cll, fall = (int(video[name].split()[0]) for name in ("MaxCLL", "MaxFALL"))
    return names[video["transfer_characteristics"]], names[video["colour_primaries"]], cll, fall
