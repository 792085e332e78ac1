"""The render of odd sizes and full chroma: what the file holds is what the colour stage made, pixel for pixel."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.toolchain.video.clips import make, pattern
from tests.toolchain.video.segments import frame_times
from toolchain.events import ignore
from toolchain.expanders import TableExpander
from toolchain.lut import bake
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls
from toolchain.pipeline import RenderJob, lut_format, render
from toolchain.segments import plan_segments
from toolchain.video.encode import plane_views
from toolchain.video.facts import VideoFacts
from toolchain.video.output import Codec, OutputSpec
from toolchain.video.probe import probe
from toolchain.video.shots import Shot


def picture(path: Path) -> VideoFacts:
    video = probe(path).video
    assert video is not None
    return video


def rendered(source: Path, video: VideoFacts, codec: Codec, folder: Path) -> list[av.VideoFrame]:
    output = OutputSpec.for_path(folder / "o.mkv", codec, preset="ultrafast" if codec == "hevc" else None,
                                 threads=1, source_chroma=video.chroma)  # fmt: skip
    times = frame_times(source)
    shots = (Shot(index=0, start_frame=0, end_frame=len(times), hard_cut=False, key_frames=(0,)),)
    assert video.time_base is not None
    table = bake(bind_guarded("direct203", None, Controls()), video.color, lut_format(output), size=17)
    job = RenderJob(
        source=source, video=video, pts=np.array(times), segments=plan_segments(shots, times, video.time_base, 4.0),
        filters=(), expander=TableExpander(shots, 25.0, lambda _: table, lambda _: None, table),
        output=output, folder=folder,
    )  # fmt: skip
    render(job, ignore)
    with av.open(str(folder / "00000.mkv")) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize(("pix_fmt", "written"), [("yuv444p", "yuv444p10le"), ("yuv422p", "yuv422p10le"),
                                                  ("yuv420p", "yuv420p10le"), ("gbrp", "yuv444p10le")])  # fmt: skip
def test_ffv1_has_the_size_and_the_chroma_of_the_source(tmp_path: Path, pix_fmt: str, written: str) -> None:
    """A grey picture with a coloured column: where chroma is full, nothing is filtered across."""
    shape = f"color=gray:size=96x64:rate=25:duration=0.08,format={pix_fmt},crop=65:49:0:0:exact=1"
    box = "drawbox=x=21:y=0:w=1:h=49:color=red:t=fill"
    source = make(tmp_path / "a.mkv", "-f", "lavfi", "-i", f"{shape},{box}", "-c:v", "ffv1")
    frames = rendered(source, picture(source), "ffv1", tmp_path / "work")
    assert [(frame.width, frame.height, frame.format.name) for frame in frames] == 2 * [(65, 49, written)]
    cr = plane_views(frames[0])[2].astype(int)
    coloured = np.flatnonzero(np.abs(cr[20] - 512) > 8)
    # Subsampled: sample 10, at pixel 20, fades to its neighbours when widened, and [1 2 1] / 4 takes a share of that.
    assert coloured.tolist() == ([21] if written == "yuv444p10le" else [9, 10, 11])


def test_the_added_row_and_column_repeat_their_neighbours(tmp_path: Path) -> None:
    odd = ("-vf", "format=yuv420p,crop=65:49:0:0:exact=1", "-c:v", "ffv1")
    source = make(tmp_path / "a.mkv", *pattern("96x64", duration=0.08), *odd)
    frames = rendered(source, picture(source), "hevc", tmp_path / "work")
    assert {(frame.width, frame.height) for frame in frames} == {(66, 50)}
    luma = plane_views(frames[0])[0].astype(int)
    # Lossy: the repeated line is as near its neighbour as coding leaves it.
    assert np.abs(luma[49] - luma[48]).mean() < 12
    assert np.abs(luma[:, 65] - luma[:, 64]).mean() < 12
