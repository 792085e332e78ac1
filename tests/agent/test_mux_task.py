"""The written file is read back: what it does not hold as it should is named, and the file is gone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from agent.tasks.messages import MuxRequest, RenderResult
from agent.tasks.mux import mux
from agent.workspace import Scan, Workspace
from tests.media import make_clip
from toolchain.errors import AgentError
from toolchain.video.encode import SegmentEncoder, new_frame, plane_views
from toolchain.video.output import OutputSpec
from toolchain.video.probe import probe
from toolchain.video.shots import Shot

FRAMES = 4


def prepared(folder: Path, name: str, scanned: list[int], max_cll: int | None = 500) -> MuxRequest:
    """A request whose segment has FRAMES frames at every 512th tick, while the scan saw `scanned`."""
    facts = probe(make_clip(folder / "source.mp4", size="64x64", duration_s=0.2, rate=25))
    assert facts.video is not None and facts.video.time_base is not None
    spec = OutputSpec.for_path(folder / name, "hevc", "hdr10" if max_cll else "hlg", preset="ultrafast", threads=1)
    segment = folder / "00000.mkv"
    with SegmentEncoder(segment, spec, 64, 64, Fraction(1), facts.video.time_base, Fraction(25)) as encoder:
        for index in range(FRAMES):
            frame = new_frame(spec, 64, 64)
            for plane in plane_views(frame):
                plane[:] = 512
            frame.pts = 512 * index
            encoder.write(frame)
    shot = Shot(index=0, start_frame=0, end_frame=FRAMES, hard_cut=False, key_frames=(0,))
    scan = Scan(shots=(shot,), frame_count=len(scanned), last_duration=512, field_order="progressive")
    Workspace(folder).save_scan(scan, np.array(scanned, np.int64))
    light = {"max_cll": max_cll, "max_fall": max_cll and 100}
    return MuxRequest(
        path=facts.path,
        facts=facts,
        work=folder,
        rendered=RenderResult(segments=(segment,), cpu_s=0.0, **light),
        output=spec,
        peak_nits=1000.0,
        temporary=folder / f".partial{Path(name).suffix}",
    )


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv"])
@pytest.mark.parametrize("max_cll", [500, None])
def test_a_file_that_holds_every_scanned_frame_passes(tmp_path: Path, name: str, max_cll: int | None) -> None:
    request = prepared(tmp_path, name, [512 * index for index in range(FRAMES)], max_cll)
    assert mux(request, lambda _: None).warnings == ()
    assert request.temporary.stat().st_size > 0


@pytest.mark.parametrize(
    ("scanned", "words"),
    [([0, 512, 1024], "4 frames, expected 3"), ([0, 512, 1024, 1600], "1 timestamps differ, the first at frame 3")],
)
def test_a_file_of_other_frames_is_named_and_removed(tmp_path: Path, scanned: list[int], words: str) -> None:
    request = prepared(tmp_path, "o.mp4", scanned)
    with pytest.raises(AgentError, match=f"does not hold what it should: {words}"):
        mux(request, lambda _: None)
    assert not request.temporary.exists()
