"""Which engine looks at frames, and how patiently it is asked. Part of a profile; light to import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EngineName = Literal["signals", "local", "vllm"]
FamilyName = Literal["compact", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl"]
DEFAULT_URL = "http://127.0.0.1:8000/v1"


class AnalyserSettings(BaseModel):
    """`signals`: rules on measured numbers, no model. `local`: a checkpoint in this process. `vllm`: a server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName = "signals"
    model: str | None = Field(default=None, description="checkpoint folder, or the server's name for its model")
    family: FamilyName | None = Field(default=None, description="None: told by the model")
    url: str = Field(default=DEFAULT_URL, pattern="^https?://", description="of the server's OpenAI-compatible API")
    timeout_s: float = Field(default=60.0, gt=0, le=3600, description="for one answer")
    retries: int = Field(default=2, ge=0, le=10, description="further tries at a server that does not answer")
    concurrency: int = Field(default=4, ge=1, le=256, description="questions under way at a time")
    max_frames: int = Field(default=24, ge=1, description="key frames of a video that are looked at")
    fallback: Literal["signals", "none"] = Field(
        default="signals", description="what answers when the engine cannot: rules on measured numbers, or an error"
    )
