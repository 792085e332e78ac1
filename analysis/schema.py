"""The records that agent and training share: content report, plan, gates, verdict, decision record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.0"

Box = Annotated[tuple[int, int, int, int], Field(description="x0, y0, x1, y1 in 0..1000 of the displayed frame")]
GateDirection = Literal["lower", "higher"]
Severity = Literal["minor", "moderate", "severe"]
Amount = Literal["none", "minor", "moderate", "severe"]
Grade = Literal["very_low", "low", "medium", "high", "very_high"]
DistortionType = Literal[
    "low_clarity", "out_of_focus_blur", "motion_blur", "noise", "blocking_artifacts", "edge_aliasing",
    "edge_ringing", "overexposure", "underexposure", "meaningless_solid_color", "color_banding", "color_cast",
    "oversaturation", "desaturation", "flicker",
]  # fmt: skip


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ── Measured facts ──────────────────────────────────────────────────────────────────────────────────────────


class Signals(_Record):
    """Numbers measured on one shot's frames (or pooled over a video). Luma is Y', gamma-coded, in [0, 1]."""

    stops: float = Field(description="log2 of P99.5 over P0.5 of display light at 203-nit white, floor 0.05 nits")
    p0_5: float = Field(description="Y' percentile 0.5")
    p50: float = Field(description="Y' median")
    p99_5: float = Field(description="Y' percentile 99.5")
    clipped_share: float = Field(description="share of pixels with max(R',G',B') >= 235/255-white, 0..1")
    crushed_share: float = Field(description="share of pixels with Y' at or below 1.5/219")
    face_share: float = Field(default=0.0, description="share of the frame covered by detected faces")
    face_ev: float | None = Field(default=None, description="log2 of face over surround light; None without a face")
    saturation: float = Field(description="mean chroma (max-min of R'G'B'), 0..1")
    blockiness: float = Field(description="8x8 grid edge energy over off-grid energy; 1 = no grid")
    noise_sigma: float = Field(description="sigma of Y' on flat blocks, in 8-bit codes")
    blur: float = Field(description="0 sharp .. 1 blurred")
    banding: float = Field(description="share of smooth area that is stepped, 0..1")
    flatness: float = Field(description="share of exactly or nearly constant 8x8 blocks, the animation cue, 0..1")
    graphics_share: float = Field(default=0.0, description="share of the frame held as graphics or subtitles")
    letterbox: Box | None = Field(default=None, description="active picture when black bars surround it")


# ── Content report (../shared/design/architecture contract) ─────────────────────────────────────────────────


class Content(_Record):
    description: str
    category: Literal["live_action", "animation", "game", "screen", "mixed"]
    has_face: bool


class Luminance(_Record):
    brightness: Grade
    contrast: Literal["low", "medium", "high"]
    dynamic_range: Grade
    highlight_clipping: Amount
    shadow_crushing: Amount
    face_surround: Literal["darker", "similar", "brighter", "not_applicable"]


class Distortion(_Record):
    type: DistortionType
    severity: Severity
    bbox_1000: Box


class Quality(_Record):
    level: Literal["bad", "poor", "fair", "good", "excellent"]
    score: float = Field(ge=1.0, le=5.0)


class ContentReport(_Record):
    """What a shot, or a video as a whole, is like."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    content: Content
    luminance: Luminance
    distortions: tuple[Distortion, ...] = ()
    key_distortions: tuple[int, ...] = Field(default=(), description="indices into `distortions`")
    quality: Quality


class ShotAnalysis(_Record):
    """One shot's measured facts and the report made of them."""

    shot: int
    signals: Signals
    report: ContentReport


class Analysis(_Record):
    """The whole video: every shot, and the pooled view."""

    analyser: str = Field(description="what made the report, e.g. `rules-1`")
    shots: tuple[ShotAnalysis, ...]
    pooled_signals: Signals
    pooled: ContentReport


# ── Plan ────────────────────────────────────────────────────────────────────────────────────────────────────


class RestoreStep(_Record):
    """One restoration model run before expansion."""

    model_id: str
    parameters: dict[str, float] = {}
    reason: str


class Candidate(_Record):
    """One catalogue entry's place in the plan: in (with a rank) or out, and why."""

    model_id: str
    eligible: bool
    reason: str
    parameters: dict[str, float] = {}
    probability: float = Field(default=0.0, ge=0.0, le=1.0, description="share in the action distribution")


class Plan(_Record):
    """What will be tried. Eligible candidates stand first, best guess first; `direct203` is always among them."""

    policy: str = Field(description="policy id and version, e.g. `rules-1`")
    mode: Literal["greedy", "explore", "audit", "pinned"]
    restore: tuple[RestoreStep, ...] = ()
    candidates: tuple[Candidate, ...]

    @property
    def shortlist(self) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self.candidates if candidate.eligible)


# ── Verdict ─────────────────────────────────────────────────────────────────────────────────────────────────


class GateResult(_Record):
    """One guard. `not_measured` is its own state and never counts as passed; `detail` then says why."""

    gate: str
    state: Literal["passed", "failed", "not_measured"]
    value: float | None
    limit: float | None
    unit: str
    direction: GateDirection = Field(default="lower", description="better side: at most the limit, or at least it")
    detail: str = ""
    frames: tuple[int, ...] = Field(default=(), description="frame numbers of the source where it is worst")


class Verdict(_Record):
    """The judgement on one candidate. `gain` is measured against doing nothing (direct203), which has gain 0."""

    model_id: str
    outcome: Literal["accept", "accept_no_gain", "reject", "uncertain"]
    gain: float
    gain_low: float | None = Field(default=None, description="lower end of the 95 % interval, where one was formed")
    gain_high: float | None = None
    gates: tuple[GateResult, ...]
    metrics: dict[str, float] = {}
    reason: str

    @property
    def passed(self) -> bool:
        return self.outcome == "accept"


# ── Decision record ─────────────────────────────────────────────────────────────────────────────────────────


class DecisionRecord(_Record):
    """Append-only log line for off-policy learning: what was known, what was done, what came of it."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    record_id: str
    job_key: str
    title_group: str
    attempt: int
    refers_to: str | None = Field(default=None, description="record_id that late feedback belongs to")
    features: dict[str, float] = {}
    features_version: str = ""
    report: ContentReport | None = None
    analyser: str = ""
    prompt_hash: str = Field(default="", description="of what a multimodal model was asked; empty where none was")
    analyser_fell_back: str = Field(default="", description="why the chosen engine made no report")
    plan: Plan | None = None
    chosen: str | None = None
    propensity: float | None = None
    verdict: Verdict | None = None
    disposition: Literal["delivered", "kept_original", "failed"] | None = None
    cost_cpu_s: float | None = None
    error_class: str | None = None
    feedback: dict[str, str] = {}
