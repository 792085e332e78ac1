"""Which frames are looked at, and what a judge is shown of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from agent.frames import HDR_COLOR, Compared, Window, choose_windows, hdr_color, load_key_frame, pilot_pair
from agent.tasks.scan import KeyFrameFiles
from agent.tasks.verify import frame_times
from agent.workspace import Workspace
from tests.agent.verify_clips import grown, moving, write_hdr
from toolchain.errors import InputError
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.video.facts import ColorInterpretation, ColorTags, VideoFacts
from toolchain.video.picture import save_signal
from toolchain.video.probe import probe
from toolchain.video.shots import Shot

BT709 = ColorInterpretation(matrix="bt709", primaries="bt709", range="limited", chroma_location="left")


def shots_of(lengths: list[int]) -> list[Shot]:
    ends = np.cumsum(lengths).tolist()
    return [
        Shot(index=i, start_frame=end - length, end_frame=end, hard_cut=i > 0, key_frames=(end - length,))
        for i, (length, end) in enumerate(zip(lengths, ends, strict=True))
    ]


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(2, 16),
    st.sets(st.integers(0, 3000)),
    st.sampled_from([0, 32]),
)
def test_windows_stay_inside_their_shots(
    lengths: list[int], count: int, length: int, keys: set[int], shown: int
) -> None:
    shots = shots_of(lengths)
    windows = choose_windows(shots, count, length, sorted(keys), shown)
    assert 1 <= len(windows) <= max(count, 2)
    for before, after in pairwise(windows):
        assert before.measured_end is not None and before.measured_end <= after.start
    for window in windows:
        shot = shots[window.shot]
        assert shot.start_frame <= window.start < window.end <= shot.end_frame
        measured = [number for number in range(window.start, window.end) if window.measures(number)]
        assert len(measured) == min(length, shot.end_frame - shot.start_frame)
        assert window.end - window.start <= max(length, shown)


def test_windows_of_a_file_of_key_frames_alone_lie_apart() -> None:
    windows = choose_windows(shots_of([40]), 6, 12, range(40), shown=32)
    assert [(window.start, window.measured_end, window.end) for window in windows] == [
        (0, 12, 32),
        (12, 24, 40),
        (24, 36, 40),
    ]
    short = choose_windows(shots_of([5]), 6, 12, range(5), shown=32)
    assert [(window.start, window.end) for window in short] == [(0, 5)]


def test_windows_begin_at_key_frames_and_see_both_sides_of_cuts() -> None:
    shots = shots_of([100] * 10)
    windows = choose_windows(shots, 4, 8, [0, 130, 500, 520])
    assert [window.shot for window in windows] == [0, 1, 8, 9]
    assert [window.start for window in windows] == [0, 130, 800, 900]
    assert [w.start for w in choose_windows(shots_of([300]), 3, 8, [0, 100, 200, 250])] == [0, 200, 250]


def test_graphics_are_left_as_doing_nothing_leaves_them(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    save_signal(path, np.ones((32, 32, 3), np.float32))
    expand = bind_guarded("bt2446a", None, Controls())
    plain = load_key_frame(path, 0, 0, BT709, None)
    assert not plain.weights.any()
    assert pilot_pair(plain, expand).output_nits.min() > 900
    masked = load_key_frame(path, 0, 0, BT709, np.ones((2, 2), np.float32))
    assert pilot_pair(masked, expand).output_nits == pytest.approx(203, rel=1e-3)


def test_key_frames_of_a_long_film_are_thinned_to_the_limit(tmp_path: Path) -> None:
    files = KeyFrameFiles(Workspace(tmp_path), BT709, per_shot=1, limit=8)
    for shot in shots_of([10] * 50):
        for number in (shot.start_frame, shot.start_frame + 5):
            files.on_key_frame(shot.index, number, VideoFrame(32, 32, "yuv420p"))
        files.on_shot(shot)
    stored = Workspace(tmp_path).key_frame_files()
    assert [shot for shot, _, _ in stored] == [0, 8, 16, 24, 32, 40, 48]
    assert all(number == 10 * shot for shot, number, _ in stored)


def test_an_hdr_file_is_read_as_it_is_tagged() -> None:
    tagged = ColorInterpretation(matrix="bt2020nc", primaries="bt2020", range="full", chroma_location="left")
    guessed = ColorInterpretation(
        matrix="bt709", primaries="bt709", range="full", chroma_location="left", assumed=("matrix", "primaries")
    )
    facts = VideoFacts(
        index=0, kind="video", codec="hevc", pix_fmt="yuv420p10le", bit_depth=10, chroma="4:2:0", width=64, height=64,
        tags=ColorTags(), color=tagged,
    )  # fmt: skip
    assert hdr_color(facts) == tagged
    read = hdr_color(facts.model_copy(update={"color": guessed}))
    assert (read.matrix, read.primaries, read.range) == (HDR_COLOR.matrix, HDR_COLOR.primaries, "full")


def test_a_picture_that_is_listed_and_missing_is_bad_input(tmp_path: Path) -> None:
    """A packet of filler instead of a picture nobody refers to: the decoder leaves it out without a word."""
    path = write_hdr(tmp_path / "out.mp4", grown(moving(8)))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = min(((packet.pos, packet.size) for packet in packets), key=lambda found: found[1])
    filler = (size - 4).to_bytes(4, "big") + b"\x4c\x01" + b"\xff" * (size - 7) + b"\x80"
    data = bytearray(path.read_bytes())
    assert place is not None
    data[place : place + size] = filler
    path.write_bytes(bytes(data))
    video = probe(path).video
    assert video is not None
    times, _, _ = frame_times(probe(path), video)
    with pytest.raises(InputError, match=r"damaged at frame \d of 8"):
        list(Compared(path, video, times).signals(Window(0, 0, 7), HDR_COLOR))


def test_a_film_of_many_shots_is_looked_at_beyond_its_first_two_by_few_windows_too() -> None:
    film = shots_of([10] * 12)
    assert [window.shot for window in choose_windows(film, 3, 5, [])] == [5, 6, 11]
    assert [window.shot for window in choose_windows(film, 6, 5, [])] == [0, 1, 5, 6, 10, 11]
