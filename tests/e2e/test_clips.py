"""Every real clip gets the right result, or the right error with the right exit code. The table names them all."""

from __future__ import annotations

from tests.shared_data import shared_data

CONVERTED = 0
BAD_INPUT = 3
KEPT = 4

EXPECTED: dict[str, tuple[int, str]] = {
    # SDR: delivered, or kept for a measured reason where no candidate passes (see KEPT_FOR_QUALITY)
    "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4": (CONVERTED, ""),
    "bbb_960x540_60fps_vp8.webm": (CONVERTED, ""),
    "bt601.mp4": (CONVERTED, ""),
    "internal_emulator_transformer_output.mp4": (CONVERTED, ""),
    "portrait_4k60.mp4": (CONVERTED, ""),
    "sample.mp4": (CONVERTED, ""),
    "sample_portrait.mp4": (CONVERTED, ""),
    "sample_rotate_and_reflect.mp4": (CONVERTED, ""),
    "sample_with_ass_subtitles.mkv": (CONVERTED, ""),
    "sample_with_chapters.mkv": (CONVERTED, ""),
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
