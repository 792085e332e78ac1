"""The sample: three procedural shots graded to SDR, with their HDR master as truth on request."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from toolchain.color.transfer import pq_eotf_inverse
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import publish
from training.data.clip_writer import CONTAINERS, PQ_FFV1, PQ_HEVC, SDR_H264, Caption, ClipWriter
from training.data.frames import to_yuv420
from training.data.grading import SAMPLE_GRADE, grade
from training.data.scenes import SCENES

SIZE_LIMITS = (64, 4096)
LONGEST_SHOT_S = 60.0


@dataclass(frozen=True)
class SampleInfo:
    """What was written. `shot_starts` are frame numbers; all but the first are hard cuts."""

    path: Path
    master: Path | None
    width: int
    height: int
    frame_rate: Fraction
    frame_count: int
    shot_starts: tuple[int, ...]

    @property
    def duration_s(self) -> Fraction:
        return self.frame_count / self.frame_rate


def write_sample(
    output: Path,
    *,
    master: Path | None = None,
    width: int = 640,
    height: int = 360,
    frame_rate: Fraction = Fraction(24),
    seconds_per_shot: float = 2.0,
    seed: int = 0,
    overwrite: bool = False,
    emit: Emit = ignore,
) -> SampleInfo:
    """Write the SDR sample to `output` (.mp4, .mov or .mkv) and, if asked, its PQ master beside it.

    The SDR clip: H.264, 8-bit BT.709 limited, AAC tone, one caption a shot. The master: the same frames at the same
    times, 10-bit BT.2020 PQ without loss (HEVC; in .mkv FFV1), no sound. Each appears complete or not at all.
    UsageError for arguments that cannot be used, EnvironmentNotReady when the disk refuses.
    """
    _check_size(width, height, frame_rate, seconds_per_shot)
    targets = [output] if master is None else [output, master]
    _check_targets(targets, overwrite)
    per_shot = max(1, round(seconds_per_shot * frame_rate))
    info = SampleInfo(
        path=output,
        master=master,
        width=width,
        height=height,
        frame_rate=frame_rate,
        frame_count=per_shot * len(SCENES),
        shot_starts=tuple(index * per_shot for index in range(len(SCENES))),
    )
    emit(StepStarted(step="sample"))
    started_s = time.monotonic()
    try:
        with ExitStack() as files:
            partial = [files.enter_context(_appear_whole(target, overwrite)) for target in targets]
            _write_clips(info, partial, seed, emit)
    except (OSError, FFmpegError) as error:
        raise EnvironmentNotReady(
            f"The sample cannot be written to {output.parent}: {error}; free space or choose another folder."
        ) from error
    summary = f"{info.frame_count} frames in {len(SCENES)} shots"
    emit(StepCompleted(step="sample", summary=summary, elapsed_s=time.monotonic() - started_s))
    return info


def _write_clips(info: SampleInfo, partial: list[Path], seed: int, emit: Emit) -> None:
    size = (info.width, info.height)
    container = CONTAINERS[info.path.suffix.lower()]
    with ExitStack() as writers:
        sdr = writers.enter_context(
            ClipWriter(partial[0], container, SDR_H264, size, info.frame_rate, _captions(info), info.duration_s)
        )
        truth = None
        if info.master is not None:
            master_container = CONTAINERS[info.master.suffix.lower()]
            coding = PQ_FFV1 if master_container == "matroska" else PQ_HEVC
            truth = writers.enter_context(ClipWriter(partial[1], master_container, coding, size, info.frame_rate))
        for number, nits in enumerate(sample_frames(info, seed)):
            sdr.write(to_yuv420(grade(nits, SAMPLE_GRADE), "bt709", 8))
            if truth is not None:
                truth.write(to_yuv420(pq_eotf_inverse(nits).astype(np.float32), "bt2020nc", 10))
            emit(Progress(step="sample", done=number + 1, total=info.frame_count))


def sample_frames(info: SampleInfo, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """The sample's HDR frames in order: (height, width, 3) BT.2020 linear nits, before any coding."""
    per_shot = info.frame_count // len(SCENES)
    for scene_class in SCENES:
        scene = scene_class(seed)
        for index in range(per_shot):
            yield scene.render(float(index / info.frame_rate), info.width, info.height)


def _captions(info: SampleInfo) -> tuple[Caption, ...]:
    """One line a shot, shown for its first nine tenths."""
    shown_s = Fraction(9, 10) * info.duration_s / len(SCENES)
    starts_s = (start / info.frame_rate for start in info.shot_starts)
    return tuple(Caption(scene.caption, at_s, at_s + shown_s) for scene, at_s in zip(SCENES, starts_s, strict=True))


@contextmanager
def _appear_whole(target: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `target` that takes its name, synced to disk, if the block ends well."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        publish(partial, target, overwrite)
    finally:
        partial.unlink(missing_ok=True)


def _check_size(width: int, height: int, frame_rate: Fraction, seconds_per_shot: float) -> None:
    low, high = SIZE_LIMITS
    if width % 2 or height % 2 or not (low <= width <= high and low <= height <= high):
        raise UsageError(f"A sample of {width}x{height} cannot be written: give even sides from {low} to {high}.")
    if not 1 <= frame_rate <= 240:
        raise UsageError(f"A frame rate of {frame_rate} is not usable: give 1 to 240 frames a second.")
    if not 0.0 < seconds_per_shot <= LONGEST_SHOT_S:
        raise UsageError(
            f"Shots of {seconds_per_shot} s are not usable: give more than 0, up to {LONGEST_SHOT_S:g} s."
        )


def _check_targets(targets: list[Path], overwrite: bool) -> None:
    if len({target.resolve() for target in targets}) < len(targets):
        raise UsageError(f"The sample and its master cannot both be {targets[0]}: give two names.")
    for target in targets:
        if target.suffix.lower() not in CONTAINERS:
            raise UsageError(f"{target.name!r} is not a container the sample can have: use {', '.join(CONTAINERS)}.")
        if not target.parent.is_dir():
            raise UsageError(f"The folder {target.parent} does not exist: create it first.")
        if target.is_dir() or (target.exists() and not overwrite):
            raise UsageError(f"{target} exists already: give --overwrite or another name.")
