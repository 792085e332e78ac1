from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from toolchain.color.transfer import pq_eotf_inverse
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.events import Event
from training.data.frames import to_yuv420
from training.data.grading import grade
from training.data.sample import SampleInfo, sample_frames, write_sample

TINY = {"width": 64, "height": 64, "seconds_per_shot": 0.1}


def _seconds(ticks: int | None, time_base: Fraction | None) -> Fraction:
    assert ticks is not None
    assert time_base is not None
    return ticks * time_base


def _decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def _times(frames: list[av.VideoFrame]) -> list[Fraction]:
    return [_seconds(frame.pts, frame.time_base) for frame in frames]


def _captions(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None and len(bytes(packet)) > 2]
        return [(_seconds(packet.pts, packet.time_base), bytes(packet)) for packet in packets]


def test_sdr_frames_are_the_graded_scenes(sample_info: SampleInfo) -> None:
    frames = _decode(sample_info.path)
    assert len(frames) == sample_info.frame_count == 42
    for index, nits in enumerate(sample_frames(sample_info)):
        if index % 13 == 0:
            truth = to_yuv420(grade(nits), "bt709", 8).to_ndarray().astype(int)
            assert np.abs(frames[index].to_ndarray() - truth).mean() < 2.5


def test_master_in_mkv_is_the_scenes_exactly(sample_info: SampleInfo) -> None:
    assert sample_info.master is not None
    frames = _decode(sample_info.master)
    assert len(frames) == sample_info.frame_count
    for index, nits in enumerate(sample_frames(sample_info)):
        if index % 13 == 0:
            truth = to_yuv420(pq_eotf_inverse(nits).astype(np.float32), "bt2020nc", 10).to_ndarray()
            assert np.array_equal(frames[index].to_ndarray(), truth)


def test_cuts_are_where_the_info_says(sample_info: SampleInfo) -> None:
    luma = [frame.to_ndarray()[: frame.height].astype(float) for frame in _decode(sample_info.path)]
    change = [float(np.abs(b - a).mean()) for a, b in pairwise(luma)]
    cuts = [index + 1 for index in np.argsort(change)[::-1][:2]]
    assert sorted(cuts) == list(sample_info.shot_starts[1:])
    assert sorted(change)[-2] > 5 * sorted(change)[-3]


def test_streams_and_tags(sample_info: SampleInfo) -> None:
    with av.open(str(sample_info.path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        context = video.codec_context
        assert (context.name, context.pix_fmt, video.average_rate) == ("h264", "yuv420p", Fraction(24))
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
        assert (sound.codec_context.name, sound.codec_context.layout.name) == ("aac", "stereo")
        assert sound.metadata["language"] == container.streams.subtitles[0].metadata["language"] == "eng"
        assert abs(float(_seconds(sound.duration, sound.time_base)) - float(sample_info.duration_s)) < 0.03
        assert "creation_time" not in container.metadata


def test_tone_is_440_hz(sample_info: SampleInfo) -> None:
    with av.open(str(sample_info.path)) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])[2048:32768]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
    assert np.argmax(spectrum) * 48000 / wave.size == pytest.approx(440.0, abs=2.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_each_container_holds_every_stream_and_one_caption_a_shot(tmp_path: Path, suffix: str) -> None:
    info = write_sample(tmp_path / f"clip{suffix}", **TINY)
    starts = [start / info.frame_rate for start in info.shot_starts]
    captions = _captions(info.path)
    assert [pytest.approx(float(start), abs=1e-3) for start in starts] == [float(at) for at, _ in captions]
    assert captions[0][1].endswith(b"A lamp in a dark room.")
    assert len(_decode(info.path)) == info.frame_count


def test_hevc_master_has_the_times_and_colour_of_the_truth(tmp_path: Path) -> None:
    info = write_sample(tmp_path / "a.mp4", master=tmp_path / "b.mp4", frame_rate=Fraction(24000, 1001), **TINY)
    sdr, hdr = _decode(tmp_path / "a.mp4"), _decode(tmp_path / "b.mp4")
    assert _times(sdr) == _times(hdr)
    assert _times(sdr)[1] == Fraction(1001, 24000)
    assert (hdr[0].color_primaries, hdr[0].color_trc, hdr[0].colorspace) == (9, 16, 9)
    for frame, nits in zip(hdr, sample_frames(info), strict=True):
        truth = to_yuv420(pq_eotf_inverse(nits).astype(np.float32), "bt2020nc", 10).to_ndarray()
        assert np.array_equal(frame.to_ndarray(), truth)


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        write_sample(tmp_path / run / "a.mkv", master=tmp_path / run / "b.mp4", **TINY)
    for name in ("a.mkv", "b.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("clip.avi", {}),
        ("clip", {}),
        ("nowhere/clip.mp4", {}),
        ("there.mp4", {}),
        ("folder.mp4", {"overwrite": True}),
        ("clip.mp4", {"master": "clip.mp4"}),
        ("clip.mp4", {"master": "master.webm"}),
        ("clip.mp4", {"width": 63}),
        ("clip.mp4", {"height": 8192}),
        ("clip.mp4", {"seconds_per_shot": 0.0}),
        ("clip.mp4", {"seconds_per_shot": float("nan")}),
        ("clip.mp4", {"frame_rate": Fraction(0)}),
    ],
)
def test_unusable_arguments_are_named_and_leave_nothing(tmp_path: Path, name: str, arguments: dict) -> None:
    (tmp_path / "there.mp4").write_bytes(b"mine")
    (tmp_path / "folder.mp4").mkdir()
    if "master" in arguments:
        arguments = arguments | {"master": tmp_path / arguments["master"]}
    with pytest.raises(UsageError):
        write_sample(tmp_path / name, **(TINY | arguments))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4", "there.mp4"]
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"


def test_an_interrupted_write_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"mine")

    def stop_at_the_fifth(event: Event) -> None:
        if event.type == "step.progress" and event.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(target, master=tmp_path / "m.mkv", overwrite=True, emit=stop_at_the_fifth, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert target.read_bytes() == b"mine"
    write_sample(target, overwrite=True, **TINY)
    assert len(_decode(target)) == 6


def test_a_refusing_disk_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotReady, match="cannot be written"):
        write_sample(tmp_path / ("n" * 250 + ".mp4"), **TINY)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_frame_by_frame(tmp_path: Path) -> None:
    events: list[Event] = []
    write_sample(tmp_path / "clip.mp4", emit=events.append, **TINY)
    assert [event.type for event in events] == ["step.started", *["step.progress"] * 6, "step.completed"]
