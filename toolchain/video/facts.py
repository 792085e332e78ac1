"""What a file is, exactly. Facts stay as the file states them; interpretations are separate and marked."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HdrKind = Literal["none", "pq", "hlg", "dolby_vision"]
Matrix = Literal["bt601", "bt709", "bt2020nc", "rgb"]
Primaries = Literal["bt709", "bt601_625", "bt601_525", "bt2020", "p3_d65"]
Range = Literal["limited", "full"]
ChromaLocation = Literal["left", "center", "topleft"]
FieldOrder = Literal["progressive", "tff", "bff", "unknown"]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColorTags(_Facts):
    """Tags in FFmpeg's names ("bt709", "smpte170m", ...); "unspecified" where the file says nothing."""

    primaries: str = "unspecified"
    transfer: str = "unspecified"
    matrix: str = "unspecified"
    range: str = "unspecified"
    chroma_location: str = "unspecified"


class ColorInterpretation(_Facts):
    """How the samples are read. Fields in `assumed` were not stated by the file (SD: BT.601, HD: BT.709)."""

    matrix: Matrix
    primaries: Primaries
    range: Range
    chroma_location: ChromaLocation
    assumed: tuple[str, ...] = ()


class StreamFacts(_Facts):
    """One stream of any kind, as the container describes it."""

    index: int
    kind: Literal["video", "audio", "subtitle", "attachment", "data"]
    codec: str
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    time_base: Fraction | None = None
    start_pts: int | None = None


class VideoFacts(StreamFacts):
    """The picture stream the agent works on. Sizes are of the decoded frame, before rotation."""

    pix_fmt: str
    bit_depth: int
    chroma: Literal["4:0:0", "4:2:0", "4:2:2", "4:4:4", "4:1:1", "4:4:0", "rgb"]
    width: int
    height: int
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation_deg: int = Field(default=0, description="clockwise turn a player applies for display")
    display_matrix: tuple[int, ...] | None = Field(default=None, description="the nine 16.16 and 2.30 integers")
    frame_rate: Fraction | None = Field(default=None, description="average; None when the file does not say")
    frame_count: int | None = Field(default=None, description="as stated by the container; None when unknown")
    duration_s: float | None = None
    field_order: FieldOrder = "progressive"
    tags: ColorTags
    color: ColorInterpretation
    hdr: HdrKind = "none"
    hdr_reason: str = ""


class MediaFacts(_Facts):
    """A whole file: container, every stream, and the video stream to work on (None: no picture)."""

    path: Path
    size_bytes: int
    format_name: str
    duration_s: float | None
    streams: tuple[StreamFacts, ...]
    video: VideoFacts | None
    chapter_count: int = 0
    tags: dict[str, str] = {}
