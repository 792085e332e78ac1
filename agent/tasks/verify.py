"""Task: judge a finished file against its source, frame by frame in sampled windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.frames import Compared, choose_windows, compare
from agent.tasks.messages import VerifyRequest
from agent.workspace import Workspace
from analysis.schema import Verdict
from analysis.vqa.spec import HdrFormat, judge_controls, load_limits
from analysis.vqa.verdict import verify_pairs
from toolchain.errors import InputError
from toolchain.events import Emit
from toolchain.video.container import open_container
from toolchain.video.decode import deinterlace_filters
from toolchain.video.facts import VideoFacts
from toolchain.video.probe import probe

_FORMAT_OF_HDR: dict[str, HdrFormat] = {"pq": "hdr10", "hlg": "hlg"}


def verify(request: VerifyRequest, emit: Emit) -> Verdict:
    """Raises InputError when the two do not show the same number of frames, or the output is not PQ or HLG."""
    workspace = Workspace(request.work)
    scan = workspace.load_scan()
    before = request.facts.video
    assert before is not None  # noqa: S101 - probe refuses files without a picture
    after = probe(request.output).video
    assert after is not None  # noqa: S101 - probe refuses files without a picture
    if after.hdr not in _FORMAT_OF_HDR:
        raise InputError(f"{request.output} is not HDR (transfer {after.tags.transfer}): PQ or HLG is needed")
    pts, key_frames = frame_times(request, after)
    if len(pts) != scan.frame_count:
        raise InputError(
            f"{request.output} has {len(pts)} frames and {request.source} has {scan.frame_count}: "
            "only files of the same frames can be compared"
        )
    windows = choose_windows(scan.shots, request.windows, request.frames_per_window, key_frames)
    source = Compared(request.source, before, workspace.load_pts(), deinterlace_filters(scan.field_order))
    masks = {shot.index: workspace.load_mask(shot.index) for shot in scan.shots}
    pairs = compare(source, Compared(request.output, after, pts), _FORMAT_OF_HDR[after.hdr], windows, masks)
    controls = judge_controls(request.model_id, request.controls, single_frame=scan.frame_count == 1)
    return verify_pairs(pairs, request.model_id, load_limits(), controls)


def frame_times(request: VerifyRequest, video: VideoFacts) -> tuple[NDArray[np.int64], list[int]]:
    """Presentation times of the output's frames, and the numbers of those that a decoder can start at."""
    with open_container(request.output) as container:
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in container.demux(container.streams[video.index])
            if packet.pts is not None and not packet.is_discard
        ]
    packets.sort()
    return np.array([pts for pts, _ in packets], np.int64), [i for i, (_, key) in enumerate(packets) if key]
