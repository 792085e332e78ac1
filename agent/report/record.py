"""The verdict on two files as it is printed, kept and shown: with the files' identities and all that it rests on."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.schema import Verdict
from toolchain.files import sha256_file
from toolchain.models.spec import Controls
from toolchain.video.facts import MediaFacts

_COMPONENTS = ("sdr2hdr-agent", "av", "numpy", "opencv-python-headless")

_HEADLINES = {
    "accept": "Accepted: better than doing nothing",
    "accept_no_gain": "Not accepted: safe, but no better than doing nothing",
    "reject": "Rejected: worse than doing nothing",
    "uncertain": "Not accepted: it cannot be told whether it is better",
}


class FileIdentity(BaseModel):
    """Which file it was, and what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size_bytes: int
    sha256: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    frame_rate: str | None = Field(description="average, as a fraction of frames a second")
    duration_s: float | None
    hdr: str
    transfer: str
    primaries: str
    matrix: str


class Verification(Verdict):
    """A verdict on two files: the record that `agent verify --json` prints.

    `exit_code`: 0 accepted, 4 not. `gain_noise`: a gain up to it is none.
    """

    schema_version: Literal["1.0"] = "1.0"
    summary: str
    exit_code: Literal[0, 4]
    gain_unit: str
    gain_noise: float
    controls: Controls
    limits: dict[str, Any] = Field(description="every gate limit that held, and the calibration they come from")
    source: FileIdentity
    output: FileIdentity


class ReportFacts(BaseModel):
    """What a report says besides the verdict. `gain_noise` as in `Verification`; `command` does the same again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: FileIdentity
    output: FileIdentity
    controls: Controls
    gain_unit: str
    gain_noise: float
    command: str


def summarise(verdict: Verdict) -> str:
    """The outcome in words for a person, without its reason."""
    failed = [gate.gate for gate in verdict.gates if gate.state == "failed"]
    if verdict.outcome == "reject" and failed:
        return f"Rejected: fails {', '.join(failed)}"
    return _HEADLINES[verdict.outcome]


def identify_file(facts: MediaFacts, sha256: str | None = None) -> FileIdentity:
    """Identity of a probed file with a picture. Without its `sha256` the file is read once for it."""
    video = facts.video
    assert video is not None  # noqa: S101 - probe refuses files without a picture
    return FileIdentity(
        path=str(facts.path),
        size_bytes=facts.size_bytes,
        sha256=sha256 or sha256_file(facts.path),
        codec=video.codec,
        pix_fmt=video.pix_fmt,
        width=video.width,
        height=video.height,
        frame_rate=None if video.frame_rate is None else str(video.frame_rate),
        duration_s=video.duration_s,
        hdr=video.hdr,
        transfer=video.tags.transfer,
        primaries=video.tags.primaries,
        matrix=video.tags.matrix,
    )


def versions() -> dict[str, str]:
    """Versions of what a verdict rests on."""
    return {name: version(name) for name in _COMPONENTS} | {
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
