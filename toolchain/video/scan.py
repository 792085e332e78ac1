"""One decode of the whole file: its exact timeline, shots, key frames, and every frame small for the observers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.events import Emit, Progress
from toolchain.video.decode import decode_frames, deinterlace_filters, planes, pts_of
from toolchain.video.describe import buffer_arguments
from toolchain.video.facts import ColorInterpretation, FieldOrder, MediaFacts, VideoFacts
from toolchain.video.interlace import detect_field_order
from toolchain.video.key_frames import KeyFrames
from toolchain.video.shot_finder import ShotFinder, Start
from toolchain.video.shots import Shot

SMALL_WIDTH = 480
PROGRESS_EVERY_FRAMES = 25

MAX_UNTOLD = 32
"""What the observers may lag behind: mostly small frames, at times a shot's key frames."""


@dataclass(frozen=True)
class SmallFrame:
    """A frame at most SMALL_WIDTH wide: Y', Cb, Cr as (H, W) uint8 of one size, coded as `color` says.

    Views of a decoder-owned buffer: copy what is kept. RGB sources are converted to full-range BT.709 Y'CbCr.
    """

    y: NDArray[np.uint8]
    cb: NDArray[np.uint8]
    cr: NDArray[np.uint8]
    color: ColorInterpretation


class ScanObserver(Protocol):
    """Sees a file shot by shot: all frames of a shot, then its key frames, then the shot itself.

    All observers are called from one thread that is not the caller's; what one raises ends the scan.
    """

    def on_frame(self, number: int, pts: int, small: SmallFrame) -> None:
        """Every frame, in order, from 0; `pts` in the stream's time base."""

    def on_key_frame(self, shot_index: int, number: int, frame: VideoFrame) -> None:
        """One to three full-resolution (deinterlaced) frames of a shot, in order."""

    def on_shot(self, shot: Shot) -> None:
        """The shot whose frames and key frames have just been seen."""


@dataclass(frozen=True)
class ScanResult:
    """The exact timeline. `pts` is int64, strictly increasing, in `time_base`; the last frame lasts
    `last_duration` ticks. `field_order` is the verdict; `filters` deinterlace every later decode the same way."""

    shots: tuple[Shot, ...]
    pts: NDArray[np.int64]
    last_duration: int
    time_base: Fraction
    field_order: FieldOrder
    filters: tuple[tuple[str, str], ...]

    @property
    def frame_count(self) -> int:
        return len(self.pts)

    @property
    def interlaced(self) -> bool:
        return bool(self.filters)


def scan(
    path: Path, facts: MediaFacts, observers: Sequence[ScanObserver], emit: Emit, deinterlace: bool | None = None
) -> ScanResult:
    """Decode `path` once and tell `observers`. `deinterlace`: None decides by flag and idet, True and False force.

    Raises InputError for a damaged file (no frame is ever left out silently) or one without a picture.
    """
    video = facts.video
    if video is None or video.time_base is None:
        raise InputError(f"{path} holds no picture: give a file with a video stream")
    order: FieldOrder = "progressive" if deinterlace is False else detect_field_order(path, video)
    if deinterlace and order == "progressive":
        order = "tff" if video.field_order not in ("tff", "bff") else video.field_order
    filters = deinterlace_filters(order)
    total = video.frame_count or round((video.duration_s or 0) * (video.frame_rate or 0)) or None
    with _Audience(observers) as audience:
        run = _Scan(video, audience)
        for frame in decode_frames(path, video, filters):
            run.push(frame)
            if len(run.pts) % PROGRESS_EVERY_FRAMES == 0:
                emit(Progress(step="scan", done=len(run.pts), total=max(total, len(run.pts)) if total else None))
        if not run.pts:
            raise InputError(f"{path} has no decodable frame: check that it is complete")
        shots = run.finish()
        audience.wait()
    emit(Progress(step="scan", done=len(run.pts), total=len(run.pts)))
    return ScanResult(shots, np.array(run.pts, np.int64), run.last_duration, video.time_base, order, filters)


class _Audience:
    """Tells the observers, one thing after the other, on a thread of its own: decoding goes on meanwhile."""

    def __init__(self, observers: Sequence[ScanObserver]) -> None:
        self._observers = observers
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scan-observers")
        self._untold: deque[Future[None]] = deque()

    def __enter__(self) -> _Audience:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def tell(self, what: Callable[[ScanObserver], None]) -> None:
        """Do `what` with every observer, soon. Raises what an observer raised at something told before."""
        self._untold.append(self._thread.submit(self._each, what))
        while len(self._untold) > MAX_UNTOLD:
            self._untold.popleft().result()

    def wait(self) -> None:
        """Until all is told; raises what an observer raised."""
        while self._untold:
            self._untold.popleft().result()

    def _each(self, what: Callable[[ScanObserver], None]) -> None:
        for observer in self._observers:
            what(observer)


class _Scan:
    """Holds what is not certain yet: small frames and key-frame candidates since the last certain shot start."""

    def __init__(self, video: VideoFacts, audience: _Audience) -> None:
        self.pts: list[int] = []
        self._stated_duration = 0
        self._video, self._audience = video, audience
        self._small = _SmallPicture(video)
        self._finder = ShotFinder()
        self._waiting: deque[tuple[int, int, SmallFrame]] = deque()
        self._start = Start(0, False)
        self._keys, self._next_keys = KeyFrames(), KeyFrames()
        self._shots: list[Shot] = []

    def push(self, frame: VideoFrame) -> None:
        number, pts = len(self.pts), pts_of(frame)
        small, score = self._small.of(frame)
        self.pts.append(pts)
        self._stated_duration = frame.duration or 0
        self._waiting.append((number, pts, small))
        for start in self._finder.push(number, self._seconds(pts), small.y, score):
            self._close(start.frame)
            self._start = start
            self._keys, self._next_keys = self._next_keys, KeyFrames()
        self._deliver(self._finder.certain_before(number + 1))
        self._offer(number, frame, small)

    def finish(self) -> tuple[Shot, ...]:
        for start in self._finder.finish(self._seconds(self.pts[-1] + self.last_duration)):
            self._close(start.frame)
            self._start = start
            self._keys, self._next_keys = self._next_keys, KeyFrames()
        self._keys.merge(self._next_keys)
        self._close(len(self.pts))
        return tuple(self._shots)

    def _offer(self, number: int, frame: VideoFrame, small: SmallFrame) -> None:
        """To the shot that is certain or, while a cut waits to be confirmed, to the one that it would begin."""
        certain = self._finder.certain_before(number + 1)
        if number >= certain:
            self._next_keys.offer(number, frame, small.y)
            return
        self._next_keys = KeyFrames()  # a flash: taken back, so its frames speak for no shot
        self._keys.offer(number, frame, small.y)

    def _deliver(self, end: int) -> None:
        """Show the observers the frames below `end` that they have not seen."""
        while self._waiting and self._waiting[0][0] < end:
            frame = self._waiting.popleft()
            self._audience.tell(lambda observer, frame=frame: observer.on_frame(*frame))

    def _close(self, end: int) -> None:
        """Tell observers about the shot from the current start to `end` (exclusive)."""
        self._deliver(end)
        index = len(self._shots)
        chosen = self._keys.choose(self._seconds(self.pts[end - 1]) - self._seconds(self.pts[self._start.frame]))
        shot = Shot(
            index=index,
            start_frame=self._start.frame,
            end_frame=end,
            hard_cut=self._start.hard_cut,
            key_frames=tuple(number for number, _ in chosen),
        )
        self._shots.append(shot)
        for number, frame in chosen:
            self._audience.tell(lambda observer, n=number, key=frame: observer.on_key_frame(index, n, key))
        self._audience.tell(lambda observer: observer.on_shot(shot))

    def _seconds(self, pts: int) -> Fraction:
        return pts * (self._video.time_base or Fraction(1))

    @property
    def last_duration(self) -> int:
        """The last frame's own duration; where it states none or an absurd one (Matroska: 1 tick), the usual gap."""
        usual = int(np.median(np.diff(self.pts))) if len(self.pts) > 1 else 1
        return self._stated_duration if 2 * self._stated_duration > usual else usual


class _SmallPicture:
    """Scales frames and scores cuts in one filter graph, made for the first frame."""

    def __init__(self, video: VideoFacts) -> None:
        self._graph: Graph | None = None
        rgb = video.color.matrix == "rgb"
        self._color = video.color.model_copy(update={"matrix": "bt709", "range": "full"}) if rgb else video.color
        self._range = {"limited": "tv", "full": "pc"}[video.color.range]
        self._rgb = rgb

    def of(self, frame: VideoFrame) -> tuple[SmallFrame, float]:
        """The small picture and the `scdet` score (0..100) against the frame before."""
        if self._graph is None:
            self._graph = self._make(frame)
        self._graph.vpush(frame)
        small = self._graph.vpull()
        score = float(small.metadata.get("lavfi.scd.score", 0.0))
        return SmallFrame(*planes(small), color=self._color), score

    def _make(self, frame: VideoFrame) -> Graph:
        width = min(SMALL_WIDTH, frame.width)
        height = max(1, round(frame.height * width / frame.width))
        to = "out_range=pc:out_color_matrix=bt709" if self._rgb else f"in_range={self._range}:out_range={self._range}"
        graph = Graph()
        nodes = [
            graph.add("buffer", buffer_arguments(frame, frame.time_base)),
            graph.add("scale", f"{width}:{height}:flags=area:{to}"),
            graph.add("format", "yuv444p"),
            graph.add("scdet", "threshold=100"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph
