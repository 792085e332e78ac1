"""What a report shows besides the verdict: numbers of the judged frames, and a handful of pictures in a folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from toolchain.files import write_atomic

_FILE = "evidence.json"

KEY_FRAME = "key frame"
"""Why a frame is shown that no gate found fault with."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FramePoint(_Record):
    """One judged frame: where it stands, and its light in nits of BT.2020 luminance at working size."""

    number: int
    time_s: float = Field(description="since the source's first frame")
    shot: int
    window: int
    gain_stops: float = Field(description="mean of log2 output / source over the frame")
    source_mean_nits: float
    output_mean_nits: float
    source_p999_nits: float
    output_p999_nits: float


class Histogram(_Record):
    """Shares in percent of all judged pixels by luminance; bin i lies between edges i and i + 1, ends included all
    that is beyond."""

    edges_nits: tuple[float, ...]
    source_percent: tuple[float, ...]
    output_percent: tuple[float, ...]


class ShownFrame(_Record):
    """One frame side by side: names of JPEG files in the evidence's folder, turned upright."""

    number: int
    time_s: float
    shot: int
    why: str = Field(description="the names of failed gates, or KEY_FRAME")
    source: str = Field(pattern=r"^[a-z0-9_]+\.jpg$")
    output: str = Field(pattern=r"^[a-z0-9_]+\.jpg$")
    gain: str = Field(pattern=r"^[a-z0-9_]+\.jpg$")
    low_stops: float = Field(description="5th percentile of the gain over the frame")
    high_stops: float = Field(description="95th percentile")


class Evidence(_Record):
    """`shown_peak_nits`: the brightest light that the pictures' tone curve takes in."""

    points: tuple[FramePoint, ...]
    histogram: Histogram | None
    shown: tuple[ShownFrame, ...]
    shown_peak_nits: float


def save_evidence(folder: Path, evidence: Evidence) -> None:
    write_atomic(folder / _FILE, evidence.model_dump_json())


def load_evidence(folder: Path) -> Evidence:
    """What `save_evidence` wrote. Raises pydantic's ValidationError for anything else."""
    return Evidence.model_validate_json((folder / _FILE).read_bytes())
