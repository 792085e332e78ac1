"""Task: one decode pass for shots, signals and key frames, left in the run's work folder."""

from __future__ import annotations

from pathlib import Path

from av.video.frame import VideoFrame

from agent.frames import WORKING_HEIGHT, WORKING_WIDTH
from agent.tasks.messages import ScanRequest, ScanSummary
from agent.workspace import Scan, ShotMeasurements, Workspace
from analysis.signals.observer import SignalObserver
from toolchain.events import Emit
from toolchain.video import scan as scanning
from toolchain.video.facts import ColorInterpretation
from toolchain.video.picture import rgb_signal, save_signal
from toolchain.video.scan import SmallFrame
from toolchain.video.shots import Shot


def scan(request: ScanRequest, emit: Emit) -> ScanSummary:
    """Raises InputError when the file cannot be decoded to its end."""
    video = request.facts.video
    assert video is not None  # noqa: S101 - probe refuses files without a picture
    workspace = Workspace(request.work)
    signals = SignalObserver(video)
    key_frames = KeyFrameFiles(workspace, video.color, request.key_frames_per_shot, request.max_key_frames)
    result = scanning.scan(request.path, request.facts, (key_frames, signals), emit)
    workspace.save_scan(
        Scan(
            shots=result.shots,
            frame_count=result.frame_count,
            last_duration=result.last_duration,
            field_order=result.field_order,
        ),
        result.pts,
    )
    for item in signals.shots:
        if item.graphics.any():
            workspace.save_mask(item.shot.index, item.graphics)
    workspace.save_measurements(
        [
            ShotMeasurements(shot=item.shot, signals=item.signals, tone=item.tone, boxes=item.boxes)
            for item in signals.shots
        ]
    )
    return ScanSummary(shot_count=len(result.shots), frame_count=result.frame_count)


class KeyFrameFiles:
    """A scan observer that stores key frames at working size: `per_shot` of every shot, or, once there are more than
    `limit`, of every second, fourth ... shot."""

    def __init__(self, workspace: Workspace, color: ColorInterpretation, per_shot: int, limit: int):
        self._workspace = workspace
        self._color = color
        self._per_shot = per_shot
        self._limit = limit
        self._every = 1
        self._files: list[tuple[int, Path]] = []

    def on_frame(self, number: int, pts: int, small: SmallFrame) -> None:
        """Only key frames are stored."""

    def on_key_frame(self, shot_index: int, number: int, frame: VideoFrame) -> None:
        stored = sum(index == shot_index for index, _ in self._files)
        if shot_index % self._every or stored == self._per_shot:
            return
        path = self._workspace.key_frame_path(shot_index, number)
        save_signal(path, rgb_signal(frame, self._color, WORKING_WIDTH, WORKING_HEIGHT))
        self._files.append((shot_index, path))

    def on_shot(self, shot: Shot) -> None:
        while len(self._files) > self._limit and len({index for index, _ in self._files}) > 1:
            self._every *= 2
            for index, path in self._files:
                if index % self._every:
                    path.unlink()
            self._files = [item for item in self._files if item[0] % self._every == 0]
