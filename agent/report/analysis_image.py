"""`agent analyze --image`: the key frames of a run on one contact sheet, with what the analyser says of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from agent.report.contact_sheet import SheetFrame, contact_sheet
from agent.report.pictures import Picture
from agent.workspace import Workspace
from analysis.schema import Analysis, Distortion
from analysis.signals.boxes import quarter_turns
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import publish, write_atomic
from toolchain.video.facts import MediaFacts, VideoFacts
from toolchain.video.picture import load_signal

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FRAMES = 24
"""Of a video with more key frames as many are shown, evenly spread."""


def check_image_path(path: Path, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises UsageError for a name the picture may not take, EnvironmentNotReady for a folder that refuses files."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the picture {path} must end in {', '.join(SUFFIXES)}: choose another name")
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise UsageError(f"the picture's folder {folder} does not exist: create it first")
    if path.is_dir():
        raise UsageError(f"the picture {path} is a folder: name a file")
    if path.exists() and any(path.samefile(other) for other in inputs):
        raise UsageError(f"the picture {path} is the video itself: choose another name")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path} exists already: pass --overwrite or choose another name")
    if not os.access(folder, os.W_OK):
        raise EnvironmentNotReady(f"cannot write into {folder}: choose a folder you may write to")


def draw_analysis(path: Path, workspace: Workspace, facts: MediaFacts, overwrite: bool) -> None:
    """Write the contact sheet of an analysed run to `path`. UsageError when the name is taken."""
    assert facts.video is not None  # noqa: S101 - probe refuses files without a picture
    sheet = analysis_sheet(facts.path.name, workspace, facts.video, workspace.load_analysis())
    write_image(path, sheet, overwrite=overwrite)


def analysis_sheet(name: str, workspace: Workspace, video: VideoFacts, analysis: Analysis) -> Picture:
    """The contact sheet of a run that has been analysed; `name` is its title. Needs at least one key frame.

    A frame shows what a model said of it; where none was asked, what was measured on its shot.
    """
    pts = workspace.load_pts()
    files = workspace.key_frame_files()
    found = _found(workspace, analysis)
    frames = []
    for shot, number, path in _spread([item for item in files if item[:2] in found]):
        time_s = float((int(pts[number]) - int(pts[0])) * (video.time_base or Fraction(1)))
        picture = displayed(load_signal(path), video)
        frames.append(_sheet_frame(shot, number, time_s, picture, found[shot, number]))
    pooled = analysis.pooled
    shown = "" if len(frames) == len(files) else f", {len(frames)} of {len(files)} key frames shown"
    heading = (
        name,
        pooled.content.description,
        f"Quality {pooled.quality.level}, {pooled.quality.score:.1f} of 5. Analyser {analysis.analyser}{shown}.",
    )
    return contact_sheet(heading, frames)


def write_image(path: Path, picture: Picture, *, overwrite: bool = False) -> None:
    """Write the picture as its name's ending says, whole or not at all. UsageError when `path` is taken."""
    encoded, data = cv2.imencode(path.suffix.lower(), picture[..., ::-1])
    if not encoded:
        raise EnvironmentNotReady(f"{path} cannot be encoded: OpenCV was built without it, name a .png file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_atomic(temporary, data.tobytes())
        publish(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def displayed(signal: np.ndarray, video: VideoFacts) -> Picture:
    """A decoded R'G'B' signal (HxWx3, 0..1) as viewers see it: its pixels' shape and its turn undone, 8 bits."""
    picture = np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)
    aspect = float(video.sample_aspect_ratio) or 1.0
    if aspect != 1.0:
        size = max(1, round(picture.shape[1] * aspect)), picture.shape[0]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return np.ascontiguousarray(np.rot90(picture, -quarter_turns(video.rotation_deg)))


@dataclass(frozen=True)
class _Found:
    distortions: tuple[Distortion, ...]
    key: tuple[int, ...]
    grade: str


def _found(workspace: Workspace, analysis: Analysis) -> dict[tuple[int, int], _Found]:
    """What is known of each key frame, by shot and frame number."""
    findings = workspace.load_findings()
    if findings is not None:
        return {
            (item.shot, item.frame): _Found(said.distortions, said.key, f"{said.level} {said.score:.1f}")
            for item in findings.frames
            for said in [item.report]
        }
    reports = {item.shot: item.report for item in analysis.shots}
    return {
        (shot, number): _Found(
            said.distortions, said.key_distortions, f"{said.quality.level} {said.quality.score:.1f}"
        )
        for shot, number, _ in workspace.key_frame_files()
        for said in [reports[shot]]
    }


def _sheet_frame(shot: int, number: int, time_s: float, picture: Picture, found: _Found) -> SheetFrame:
    minutes, seconds = divmod(round(time_s, 1), 60)
    caption = f"shot {shot}, frame {number}, {minutes:.0f}:{seconds:04.1f} - {found.grade}"
    return SheetFrame(picture, caption, found.distortions, found.key)


def _spread(files: Sequence[tuple[int, int, Path]]) -> list[tuple[int, int, Path]]:
    if len(files) <= MAX_FRAMES:
        return list(files)
    return [files[i] for i in np.linspace(0, len(files) - 1, MAX_FRAMES).round().astype(int)]
