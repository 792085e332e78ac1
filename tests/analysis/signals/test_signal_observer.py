"""The observer on synthetic shots through the real scan, and on real clips where they are present."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from analysis.report import build_analysis
from analysis.signals.observer import SignalObserver, common_picture, measure_key_frame
from tests.shared_data import shared_data
from toolchain.events import ignore
from toolchain.video.facts import ColorInterpretation, ColorTags, VideoFacts
from toolchain.video.probe import probe
from toolchain.video.scan import SmallFrame, scan
from toolchain.video.shots import Shot

COLOR = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")


def facts(width=480, height=270, rotation_deg=0):
    return VideoFacts(
        index=0, kind="video", codec="h264", pix_fmt="yuv420p", bit_depth=8, chroma="4:2:0", width=width,
        height=height,
        rotation_deg=rotation_deg, time_base=Fraction(1, 25), tags=ColorTags(), color=COLOR,
    )  # fmt: skip


def shot(index, start, end):
    return Shot(index=index, start_frame=start, end_frame=end, hard_cut=index > 0, key_frames=(start,))


def yuv_frame(luma):
    height, width = luma.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = luma
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def observe(observer, item, luma):
    grey = np.full(luma.shape, 128, np.uint8)
    for number in range(item.start_frame, item.end_frame):
        observer.on_frame(number, number, SmallFrame(luma, grey, grey, COLOR))
    observer.on_key_frame(item.index, item.start_frame, yuv_frame(luma))
    observer.on_shot(item)


def test_each_shot_is_measured_by_itself():
    observer = SignalObserver(facts())
    observe(observer, shot(0, 0, 3), np.full((270, 480), 126, np.uint8))
    observe(observer, shot(1, 3, 5), np.full((270, 480), 235, np.uint8))
    grey, white = observer.shots
    assert [item.shot.index for item in observer.shots] == [0, 1]
    assert (grey.signals.p50, grey.signals.clipped_share) == (pytest.approx(0.5, abs=0.01), 0.0)
    assert (white.signals.p50, white.signals.clipped_share) == (pytest.approx(1.0, abs=0.01), 1.0)
    assert grey.signals.stops == white.signals.stops == 0.0
    assert sum(white.tone.histogram) == pytest.approx(1.0)
    assert grey.graphics.shape == (17, 30)
    assert not grey.graphics.any()


def test_bars_do_not_count_as_picture():
    picture = np.full((270, 480), 16, np.uint8)
    picture[30:240] = np.linspace(60, 200, 480).astype(np.uint8)
    picture[30:240, 240:] = 235
    observer = SignalObserver(facts(rotation_deg=90))
    observe(observer, shot(0, 0, 2), picture)
    signals = observer.shots[0].signals
    # Top and bottom of the coded frame are the sides of the shown one.
    assert signals.letterbox == (111, 0, 889, 1000)
    assert signals.crushed_share == 0.0
    assert signals.p0_5 > 0.15
    assert signals.clipped_share == pytest.approx(0.5, abs=0.01)
    # A hull leaves out one per cent of the pixels at each side.
    assert observer.shots[0].boxes["overexposure"] == pytest.approx((111, 500, 889, 1000), abs=10)


def test_a_shot_without_key_frames_is_neutral_where_they_are_needed():
    observer = SignalObserver(facts())
    observer.on_shot(shot(0, 0, 1))
    signals = observer.shots[0].signals
    assert (signals.blockiness, signals.noise_sigma, signals.face_ev) == (1.0, 0.0, None)


@pytest.mark.parametrize("code", [16, 235])
def test_black_and_white_key_frames_raise_no_alarm(code):
    values = measure_key_frame(yuv_frame(np.full((270, 480), code, np.uint8)), facts()).values
    assert values == {
        "blockiness": 1.0, "noise_sigma": 0.0, "blur": 0.0, "banding": 0.0, "flatness": 0.0, "face_share": 0.0,
    }  # fmt: skip


def test_one_full_key_frame_cancels_the_bars():
    bars = (0.0, 0.1, 1.0, 0.9)
    assert common_picture([bars, (0.0, 0.12, 1.0, 0.88)]) == bars
    assert common_picture([bars, None]) is None
    assert common_picture([]) is None


def analysed(path: Path):
    media = probe(path)
    assert media.video is not None
    observer = SignalObserver(media.video)
    scan(path, media, [observer], ignore)
    return observer, build_analysis(observer.shots)


@pytest.mark.parametrize(
    ("clip", "category", "has_face"),
    [
        ("bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4", "animation", False),
        ("bbb_960x540_60fps_vp8.webm", "animation", False),
        ("sample.mp4", "live_action", True),
        ("bt601.mp4", "live_action", True),
        ("internal_emulator_transformer_output.mp4", "live_action", False),
        ("sample_with_increasing_timestamps_360p.mp4", "live_action", False),
    ],
)
def test_real_clips(clip, category, has_face):
    _, analysis = analysed(shared_data("clips", clip))
    assert analysis.pooled.content.category == category
    assert analysis.pooled.content.has_face == has_face


def test_only_the_clip_with_a_caption_has_graphics():
    captioned, _ = analysed(shared_data("clips", "bbb_960x540_60fps_vp8.webm"))
    mask = captioned.shots[0].graphics
    assert mask[-4:].any()
    assert not mask[:-6].any()
    lit_ceiling, _ = analysed(shared_data("clips", "sample.mp4"))
    assert not any(item.graphics.any() for item in lit_ceiling.shots)


def test_a_lit_ceiling_behind_a_face_is_seen_as_that():
    _, analysis = analysed(shared_data("clips", "sample.mp4"))
    luminance = analysis.pooled.luminance
    assert (luminance.face_surround, luminance.highlight_clipping) == ("darker", "severe")
    assert "overexposure" in [item.type for item in analysis.pooled.distortions]
