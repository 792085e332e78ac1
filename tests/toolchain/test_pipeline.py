"""The render pipeline: every frame at its time, the right light, the same bytes however often it is interrupted."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media import make_clip
from toolchain.errors import InputError
from toolchain.events import Event, Progress, ignore
from toolchain.expanders import GridExpander, TableExpander
from toolchain.lut import OutputFormat, bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.pipeline import RenderJob, lut_format, render
from toolchain.segments import Segment
from toolchain.video.decode import decode_frames, planes
from toolchain.video.encode import read_segment
from toolchain.video.output import OutputSpec
from toolchain.video.picture import rgb_signal
from toolchain.video.probe import probe
from toolchain.video.shots import Shot

FRAMES = 30


def make_job(source: Path, folder: Path, **changes: object) -> RenderJob:
    """Three segments of ten frames through direct203 into lossless FFV1."""
    video = probe(source).video
    assert video is not None
    output = OutputSpec.for_path(folder / "out.mkv", "ffv1")
    table = bake(bind_guarded("direct203", None, Controls()), video.color, lut_format(output), 33)
    shots = [Shot(index=0, start_frame=0, end_frame=FRAMES, hard_cut=False, key_frames=(0,))]
    job = RenderJob(
        source=source,
        video=video,
        pts=np.array([frame.pts for frame in decode_frames(source, video)], np.int64),
        segments=[Segment(i, 10 * i, 10 * i + 10) for i in range(3)],
        filters=(),
        expander=TableExpander(shots, 25.0, lambda _: table, lambda _: None, table),
        output=output,
        folder=folder / "segments",
    )
    return replace(job, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "in.mp4"
    return make_clip(path, size="96x64", rate=25, duration_s=FRAMES / 25, extra_args=("-bf", "2", "-g", "12"))


def digests(job: RenderJob) -> list[str]:
    return [hashlib.sha256(job.segment_path(segment).read_bytes()).hexdigest() for segment in job.segments]


def test_every_frame_is_there_at_its_time(clip: Path, tmp_path: Path) -> None:
    job = make_job(clip, tmp_path)
    seen: list[Event] = []
    reports = render(job, seen.append)
    assert [report.index for report in reports] == [0, 1, 2]
    times = [sorted(packet.pts for packet in read_segment(job.segment_path(segment))) for segment in job.segments]
    assert [pts for segment in times for pts in segment] == job.pts.tolist()
    assert isinstance(seen[-1], Progress)
    assert (seen[-1].done, seen[-1].total) == (FRAMES, FRAMES)


def test_light_is_that_of_the_model(tmp_path: Path) -> None:
    """Doing nothing shows a grey signal v at 203 v^2.4 nits (BT.1886 at the reference white of BT.2408)."""
    grey = make_clip(tmp_path / "grey.mp4", source="color=c=0xBFBFBF", size="96x64", rate=25, duration_s=FRAMES / 25)
    job = make_job(grey, tmp_path)
    reports = render(job, ignore)
    source = next(decode_frames(grey, job.video))
    level = float(rgb_signal(source, job.video.color).mean())
    assert {report.max_cll for report in reports} == {int(np.ceil(203 * level**2.4))}


def test_missing_segments_are_rendered_again_to_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    job = make_job(clip, tmp_path)
    render(job, ignore)
    before = digests(job)
    for lost in ([2], [1, 2], [1], [0]):
        for index in lost:
            job.segment_path(job.segments[index]).unlink()
        render(make_job(clip, tmp_path), ignore)
        assert digests(job) == before, lost


def test_filters_see_the_same_neighbours_after_an_interruption(clip: Path, tmp_path: Path) -> None:
    job = make_job(clip, tmp_path, filters=(("bwdif", "mode=send_frame:parity=tff:deint=all"), ("deband", "")))
    render(job, ignore)
    before = digests(job)
    job.segment_path(job.segments[2]).unlink()
    render(job, ignore)
    assert digests(job) == before


def test_another_source_than_was_scanned_is_refused(clip: Path, tmp_path: Path) -> None:
    job = make_job(clip, tmp_path)
    for pts in (job.pts[:-1], np.append(job.pts, job.pts[-1] + 512), job.pts + 1):
        with pytest.raises(InputError, match=r"in\.mp4 decodes to"):
            render(replace(job, pts=pts, folder=tmp_path / str(len(pts))), ignore)


def test_a_stale_measurement_is_not_kept_beside_a_new_segment(clip: Path, tmp_path: Path) -> None:
    job = make_job(clip, tmp_path)
    expected = render(job, ignore)
    stale = job.segment_path(job.segments[1]).with_suffix(".json")
    stale.write_text('{"index": 1, "max_cll": 9, "max_fall": 9}')
    job.segment_path(job.segments[1]).unlink()
    assert render(job, ignore) == expected


def grid_job(clip: Path, folder: Path) -> RenderJob:
    """The picture's own brightness chooses between doing nothing and an expansion: a grid that every frame moves."""
    video = probe(clip).video
    assert video is not None
    members = tuple(
        bake(bind_guarded(model_id, None, Controls()), video.color, OutputFormat(), 17)
        for model_id in ("direct203", "bt2446a")
    )

    def predict(frame: av.VideoFrame) -> NDArray[np.float32]:
        assert frame.pts is not None
        return np.full((2, 2, 2), 0.5 + 0.5 * np.sin(frame.pts), np.float32)

    shots = [Shot(index=0, start_frame=0, end_frame=FRAMES, hard_cut=False, key_frames=(0,))]
    expander = GridExpander(shots, 25.0, lambda _: members, predict, lambda _: None, members[0])
    return make_job(clip, folder, expander=expander)


def test_a_moving_grid_comes_out_the_same_after_an_interruption(clip: Path, tmp_path: Path) -> None:
    job = grid_job(clip, tmp_path)
    render(job, ignore)
    before = digests(job)
    assert len(set(before)) == 3
    for lost in (2, 1):
        job.segment_path(job.segments[lost]).unlink()
        render(grid_job(clip, tmp_path), ignore)
        assert digests(job) == before


class Halver:
    """A restorer that darkens, and checks that it is handed decoded frames one by one."""

    def restore(self, frame: av.VideoFrame) -> av.VideoFrame:
        planes(frame)[0][...] //= 2
        return frame


def test_restorers_run_before_the_colour(clip: Path, tmp_path: Path) -> None:
    plain = make_job(clip, tmp_path / "plain")
    halved = make_job(clip, tmp_path / "halved", restorers=(Halver(),))
    bright, dark = ([report.max_fall for report in render(job, ignore)] for job in (plain, halved))
    assert all(d is not None and b is not None and d < b / 2 for b, d in zip(bright, dark, strict=True))
