"""The baseline without a model: what the product's measured rules say of single frames.

Each frame becomes a clip of one frame, coded without loss in 4:2:0 BT.709 as video comes, and goes through the
product's own path: probe, scan, `analysis.report`. That loses the rules little: all that decides a grade or a
distortion is measured on single pictures; only what is held as graphics, which decides neither, needs several. The
rules never name a defect that nothing measures: out of focus, motion blur, aliasing, ringing, colour cast,
desaturation, flicker. Most of their boxes are the whole picture.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from analysis.mllm.analyser import Answer
from analysis.mllm.code import SEVERITIES
from analysis.mllm.frame_report import FrameReport
from analysis.report import ANALYSER, build_analysis
from analysis.schema import ContentReport
from analysis.signals.observer import ShotSignals, SignalObserver
from toolchain.events import Emit, ignore
from toolchain.video.probe import probe, require_sdr
from toolchain.video.scan import scan
from training.answers import write_answers
from training.data.clip_writer import ClipWriter, VideoCoding
from training.data.distortions_detail import Picture
from training.data.frames import to_yuv420
from training.data.mllm_native import NativeFrames
from training.data.mllm_shards import Line

ENGINE = f"signals {ANALYSER}"
_LOSSLESS = VideoCoding("ffv1", "yuv420p", {"level": "3"}, 1, 1, 1)


def measure_split(frames: NativeFrames, data: Path, split: str, out: Path, emit: Emit = ignore) -> Path:
    """What the rules say of every frame of a split of the set `data`, whose frames `frames` makes again.

    Written to `out` as `training.answers.write_answers` does; raises what it and `NativeFrames.of` raise.
    """

    def measure(path: Path) -> list[tuple[Line, Answer]]:
        return [(line, Answer(report_of(frame))) for line, frame in frames.of(path)]

    return write_answers(measure, ENGINE, data, split, out, emit)


def report_of(frame: Picture) -> FrameReport:
    """What the rules say of an (H, W, 3) uint8 R'G'B' frame with even sides."""
    return as_frame_report(build_analysis(measured(frame)).pooled)


def measured(frame: Picture) -> list[ShotSignals]:
    """The signals of the frame as a clip of one shot."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.mkv"
        with ClipWriter(path, "matroska", _LOSSLESS, (frame.shape[1], frame.shape[0]), Fraction(25)) as clip:
            clip.write(to_yuv420(frame.astype(np.float32) / np.float32(255), "bt709", 8))
        facts = probe(path)
        observer = SignalObserver(require_sdr(facts))
        scan(path, facts, [observer], ignore, deinterlace=False)
    return observer.shots


def as_frame_report(report: ContentReport) -> FrameReport:
    """A content report in the form of a model's answer.

    A model names a key distortion wherever there is any; the rules name no minor one, so the worst is taken then.
    """
    found = report.distortions
    key = report.key_distortions
    if found and not key:
        key = (max(range(len(found)), key=lambda index: SEVERITIES.index(found[index].severity)),)
    return FrameReport(
        dynamic_range=report.luminance.dynamic_range,
        contrast=report.luminance.contrast,
        distortions=found,
        key=tuple(sorted(key)),
        level=report.quality.level,
        score=report.quality.score,
    )
