"""Task: judge a finished file against its source, frame by frame in sampled windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.comparable import align_filters, require_comparable, require_same_frames
from agent.frames import Compared, Window, choose_windows, compare
from agent.report.collect import Recorder, choose_frames, save_report_evidence
from agent.tasks.messages import VerifyRequest
from agent.workspace import Workspace
from analysis.schema import Verdict
from analysis.vqa.display import CLIP_FRAMES
from analysis.vqa.registry import stage_metrics
from analysis.vqa.spec import FramePair, HdrFormat, judge_controls, load_limits
from analysis.vqa.verdict import verify_pairs
from toolchain.errors import InputError
from toolchain.events import Emit, Progress
from toolchain.video.container import open_container
from toolchain.video.decode import decode_frames, deinterlace_filters, pts_of
from toolchain.video.facts import MediaFacts, VideoFacts
from toolchain.video.probe import probe

_FORMAT_OF_HDR: dict[str, HdrFormat] = {"pq": "hdr10", "hlg": "hlg"}


def verify(request: VerifyRequest, emit: Emit) -> Verdict:
    """Raises InputError where the two files cannot be held against each other (`agent.comparable`)."""
    sides = Sides(request)
    recorder = Recorder(sides.time_s) if request.evidence else None
    windows = sides.windows
    pairs = _told(sides.pairs(windows), len(windows), emit)
    controls = judge_controls(
        request.model_id,
        request.controls,
        single_frame=sides.scan.frame_count == 1,
        structure=request.how.structure,
    )
    watched = recorder.watch(pairs) if recorder else pairs
    verdict = verify_pairs(
        watched, request.model_id, load_limits(request.limits), controls, restored=request.restored
    )
    if recorder and request.evidence:
        reasons = choose_frames(verdict, recorder.points)
        shown = ((pair, reasons[pair.number]) for pair in sides.frames(list(reasons)))
        rotation_deg = sides.video.rotation_deg
        save_report_evidence(request.evidence, recorder, shown, rotation_deg, request.controls.peak_nits)
    return verdict


@dataclass
class Sides:
    """Source and output of one request, ready to be read side by side.

    Made only of files that can be compared: anything else raises InputError.
    """

    request: VerifyRequest

    def __post_init__(self) -> None:
        workspace = Workspace(self.request.work)
        self.scan = workspace.load_scan()
        facts, made = self.request.facts, probe(self.request.output)
        require_comparable(facts, made)
        self.video, output = _picture(facts), _picture(made)
        source_pts = workspace.load_pts()
        output_pts, self.key_frames, timed = frame_times(made, output)
        self._times_s = _seconds(source_pts, self.video)
        require_same_frames(
            facts, self._times_s, made, _seconds(output_pts, output) if timed else _even_times(output_pts, output)
        )
        self._source = Compared(
            self.request.source, self.video, source_pts, deinterlace_filters(self.scan.field_order)
        )
        self._output = Compared(self.request.output, output, output_pts, align_filters(facts, made))
        self._format: HdrFormat = _FORMAT_OF_HDR[output.hdr]

    @property
    def windows(self) -> list[Window]:
        """What is judged. Frames beyond those to measure are read only where a metric wants whole clips."""
        how = self.request.how
        shown = CLIP_FRAMES if any(metric.meter for metric in stage_metrics("verify")) else 0
        return choose_windows(self.scan.shots, how.windows, how.frames_per_window, self.key_frames, shown)

    @cached_property
    def _masks(self) -> dict[int, NDArray[np.float32] | None]:
        workspace = Workspace(self.request.work)
        return {shot.index: workspace.load_mask(shot.index) for shot in self.scan.shots}

    def time_s(self, number: int) -> float:
        """When a frame of the source is shown, in seconds since the first."""
        return float(self._times_s[number] - self._times_s[0])

    def pairs(self, windows: list[Window]) -> Iterator[FramePair]:
        """Frame pairs of the windows, in order."""
        return compare(self._source, self._output, self._format, windows, self._masks)

    def frames(self, numbers: list[int]) -> Iterator[FramePair]:
        """Single frames, each read anew."""
        return self.pairs([Window(self._shot(number), number, number + 1) for number in numbers])

    def _shot(self, number: int) -> int:
        return next(shot.index for shot in self.scan.shots if shot.start_frame <= number < shot.end_frame)


def _told(pairs: Iterator[FramePair], windows: int, emit: Emit) -> Iterator[FramePair]:
    """The same pairs; says which window is being judged."""
    window = -1
    for pair in pairs:
        if pair.window != window:
            window = pair.window
            emit(Progress(step="verify", done=window, total=windows, unit="windows"))
        yield pair


def frame_times(facts: MediaFacts, video: VideoFacts) -> tuple[NDArray[np.int64], list[int], bool]:
    """Presentation times of a file's frames, the numbers of those that a decoder can start at, and whether the
    container times its pictures. One that does not (a bare bitstream) is decoded to count them.
    """
    with open_container(facts.path) as container:
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in container.demux(container.streams[video.index])
            if packet.size and not packet.is_discard
        ]
    timed = sorted((pts, key) for pts, key in packets if pts is not None)
    if len(timed) < len(packets):
        decoded = [pts_of(frame) for frame in decode_frames(facts.path, video)]
        return np.array(decoded, np.int64), [0], False
    return np.array([pts for pts, _ in timed], np.int64), [i for i, (_, key) in enumerate(timed) if key], True


def _seconds(pts: NDArray[np.int64], video: VideoFacts) -> NDArray[np.float64]:
    if video.time_base is None:
        raise InputError("a picture stream without a time base cannot be compared: rewrite the file as MP4 or MKV")
    return pts.astype(np.float64) * float(video.time_base)


def _even_times(pts: NDArray[np.int64], video: VideoFacts) -> NDArray[np.float64]:
    """Times of frames that come at the stated rate, for a container that says no more; else as decoded."""
    return np.arange(len(pts)) / float(video.frame_rate) if video.frame_rate else _seconds(pts, video)


def _picture(facts: MediaFacts) -> VideoFacts:
    if facts.video is None:
        raise InputError(f"{facts.path} holds no picture: give a file with a video stream")
    return facts.video
