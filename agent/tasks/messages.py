"""What the graph's nodes ask of the worker and what comes back. Light to import: the parent uses it too."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat

from analysis.mllm.settings import AnalyserSettings
from analysis.schema import Plan, Verdict
from analysis.selection.profile import VerifySettings
from toolchain.models.spec import Controls
from toolchain.video.facts import MediaFacts
from toolchain.video.output import OutputSpec


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbeRequest(_Message):
    path: Path
    require_sdr: bool = True


class ScanRequest(_Message):
    path: Path
    facts: MediaFacts
    work: Path
    key_frames_per_shot: int
    max_key_frames: int


class ScanSummary(_Message):
    shot_count: int
    frame_count: int
    warnings: tuple[str, ...] = ()


class AnalyseRequest(_Message):
    path: Path
    facts: MediaFacts
    work: Path
    analyser: AnalyserSettings


class Analysed(_Message):
    """Who made the report. `frames`: looked at by a model. `contradictions`: how often a measurement stood against
    it. `fell_back`: why the engine is not the one that was asked for, empty where it is."""

    engine: str
    analyser: str
    prompt_hash: str = ""
    frames: int = 0
    asked_again: int = 0
    contradictions: int = 0
    fell_back: str = ""


class AnalyseResult(_Message):
    description: str
    analysed: Analysed


class PilotRequest(_Message):
    facts: MediaFacts
    work: Path
    plan: Plan
    controls: Controls
    limits: Path | None = None


class PilotResult(_Message):
    """Verdicts in shortlist order; `ranking`: ids of the accepted, largest expected gain first."""

    verdicts: tuple[Verdict, ...]
    ranking: tuple[str, ...]


class RenderRequest(_Message):
    path: Path
    facts: MediaFacts
    work: Path
    candidate: str
    plan: Plan
    controls: Controls
    output: OutputSpec
    lut_size: int


class RenderResult(_Message):
    """The finished segments in order, and the light level measured on them in nits of max(R, G, B); None for HLG.

    `runtimes`: what networks ran on, one sentence a graph.
    """

    segments: tuple[Path, ...]
    max_cll: int | None
    max_fall: int | None
    cpu_s: float
    runtimes: tuple[str, ...] = ()


class MuxRequest(_Message):
    path: Path
    facts: MediaFacts
    work: Path
    rendered: RenderResult
    output: OutputSpec
    peak_nits: float
    temporary: Path


class MuxResult(_Message):
    """What of the source the file does not hold as it was, and the file's digest."""

    warnings: tuple[str, ...]
    sha256: str


class VerifyRequest(_Message):
    """`limits`: a file of gate limits, None for the program's own. `evidence`: an empty folder for what a report
    shows (agent.report.evidence); None collects nothing and costs nothing. `restored`: the picture was cleaned before
    the model (`analysis.vqa.verdict.decide`)."""

    source: Path
    facts: MediaFacts
    output: Path
    work: Path
    model_id: str
    controls: Controls
    how: VerifySettings
    limits: Path | None = None
    evidence: Path | None = None
    restored: bool = False


class ScoreRequest(_Message):
    path: Path


class ScoreResult(_Message):
    """A video's place on the distortion ranking (0 to 100), each head's, each clip's, and what made them."""

    score: FiniteFloat
    heads: dict[str, FiniteFloat]
    clips: tuple[FiniteFloat, ...]
    model_hash: str
    preprocessing_hash: str
