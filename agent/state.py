"""What a job is, and what travels through the graph: ids, paths, hashes and scores, never frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict

from analysis.mllm.settings import AnalyserSettings
from toolchain.models.spec import RuntimeName

OnReject = Literal["keep", "direct203"]


class JobSpec(BaseModel):
    """One request of a user: what to make of which file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Path
    output: Path
    hdr_format: Literal["hdr10", "hlg"] = "hdr10"
    codec: Literal["hevc", "av1", "prores", "ffv1"] = "hevc"
    profile: str = "balanced"
    model: str | None = None
    peak_nits: float | None = None
    mid_gain_ev: float | None = None
    runtime: RuntimeName | None = None
    analyser: AnalyserSettings | None = None
    on_reject: OnReject = "keep"
    overwrite: bool = False
    stop_after: Literal["analyse", "plan", "pilot", "commit"] = "commit"


class State(TypedDict, total=False):
    """The graph's state. Values are plain JSON: pydantic records travel as their dumps."""

    job: dict[str, Any]
    facts: dict[str, Any]
    description: str
    analysed: dict[str, Any]
    plan_record: dict[str, Any]
    ranking: list[str]
    pilot_verdicts: list[dict[str, Any]]
    attempt: int
    candidate: str
    rendered: dict[str, Any]
    final_verdict: dict[str, Any]
    rolled_back: list[dict[str, Any]]

    temporary: str
    warnings: list[str]
    disposition: Literal["delivered", "kept_original", "planned"]
    reason: str
