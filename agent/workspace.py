"""The work folder of a run: what one step leaves for the next. Plain JSON, PNG and npy, read back with checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from analysis.schema import Analysis, Box, DistortionType, Signals
from toolchain.files import write_atomic
from toolchain.models.spec import ShotTone
from toolchain.video.facts import FieldOrder
from toolchain.video.shots import Shot

if TYPE_CHECKING:
    from analysis.mllm.analyser import Findings


class Scan(BaseModel):
    """The shots of a video. The frames' times are in `Workspace.load_pts`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[Shot, ...]
    frame_count: int
    last_duration: int
    field_order: FieldOrder


class ShotMeasurements(BaseModel):
    """One shot's signals, tone and located defects. Its graphics mask, if any, is in `Workspace.load_mask`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: Shot
    signals: Signals
    tone: ShotTone
    boxes: dict[DistortionType, Box]


_MEASUREMENTS: TypeAdapter[tuple[ShotMeasurements, ...]] = TypeAdapter(tuple[ShotMeasurements, ...])


class Workspace:
    """Names and formats of the files in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._key_frames = folder / "key_frames"
        self._findings = folder / "findings.json"

    def segments(self, candidate: str) -> Path:
        """Where the segments of one candidate's render lie."""
        return self.folder / "segments" / candidate

    def key_frame_path(self, shot: int, number: int) -> Path:
        """Where a key frame's R'G'B' signal lies as a PNG (toolchain.video.picture.save_signal)."""
        self._key_frames.mkdir(exist_ok=True)
        return self._key_frames / f"{shot:06d}_{number:08d}.png"

    def key_frame_files(self) -> list[tuple[int, int, Path]]:
        """(shot, frame number, file) of every stored key frame, in order."""
        files = sorted(self._key_frames.glob("*.png"))
        return [(int(path.stem[:6]), int(path.stem[7:]), path) for path in files]

    def save_scan(self, scan: Scan, pts: NDArray[np.int64]) -> None:
        np.save(self.folder / "pts.npy", pts, allow_pickle=False)
        write_atomic(self.folder / "scan.json", scan.model_dump_json())

    def load_scan(self) -> Scan:
        return Scan.model_validate_json((self.folder / "scan.json").read_bytes())

    def load_pts(self) -> NDArray[np.int64]:
        """Presentation times of all frames in the stream's time base."""
        return np.load(self.folder / "pts.npy", allow_pickle=False)

    def save_measurements(self, measurements: list[ShotMeasurements]) -> None:
        write_atomic(self.folder / "signals.json", _MEASUREMENTS.dump_json(tuple(measurements)))

    def load_measurements(self) -> tuple[ShotMeasurements, ...]:
        return _MEASUREMENTS.validate_json((self.folder / "signals.json").read_bytes())

    def save_mask(self, shot: int, mask: NDArray[np.float32]) -> None:
        np.save(self.folder / f"mask_{shot:06d}.npy", mask.astype(np.float32), allow_pickle=False)

    def load_mask(self, shot: int) -> NDArray[np.float32] | None:
        """float32 [0, 1] of 16x16 luma blocks; None where the shot has no graphics."""
        path = self.folder / f"mask_{shot:06d}.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None

    def save_analysis(self, analysis: Analysis) -> None:
        write_atomic(self.folder / "analysis.json", analysis.model_dump_json())

    def save_findings(self, findings: Findings) -> None:
        write_atomic(self._findings, findings.model_dump_json())

    def load_findings(self) -> Findings | None:
        """What a model said of single frames; None where none was asked."""
        from analysis.mllm.analyser import Findings

        return Findings.model_validate_json(self._findings.read_bytes()) if self._findings.exists() else None

    def drop_findings(self) -> None:
        """Forget what a model said in an earlier try."""
        self._findings.unlink(missing_ok=True)

    def load_analysis(self) -> Analysis:
        return Analysis.model_validate_json((self.folder / "analysis.json").read_bytes())
