"""Profiles: how an operator or a platform wants its jobs done, one YAML file each in configs/profiles."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from analysis.mllm.settings import AnalyserSettings
from toolchain.errors import UsageError
from toolchain.models.spec import CostClass

Codec = Literal["hevc", "av1", "prores", "ffv1"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderSettings(_Settings):
    """What a codec is told. Codecs without a preset or a rate factor (ProRes, FFV1) leave both out."""

    preset: str | None = None
    crf: int | None = Field(default=None, ge=0, le=63)


class VerifySettings(_Settings):
    """How much of the finished file is checked: `windows` spread over the film, each of some frames in a row."""

    windows: int = Field(ge=1)
    frames_per_window: int = Field(ge=2, description="measured in full; flicker needs neighbours")
    structure: bool = Field(default=False, description="ask ColorVideoVDP too, where it is installed: 5 CPU-s a file")


class Profile(_Settings):
    """One way of doing a job. A command-line option outranks the profile."""

    name: str
    description: str
    encoders: dict[Codec, EncoderSettings]
    lut_size: int = Field(ge=9, le=65, description="points along each side of the 3D LUT")
    shortlist_size: int = Field(ge=1, description="models that are tried besides direct203")
    pilot_frames_per_shot: int = Field(ge=1)
    max_pilot_frames: int = Field(ge=1, description="over the whole video")
    max_cost: CostClass = Field(description="dearest model that is tried unless it is asked for by name")
    prefer: tuple[str, ...] = Field(default=(), description="models that suit these jobs and are ranked higher")
    analyser: AnalyserSettings = Field(default_factory=AnalyserSettings, description="what looks at the frames")
    verify: VerifySettings
    gates: str = Field(default="default", pattern="^[a-z0-9-]+$", description="file of limits in configs/gates")
    peak_nits: float = Field(default=1000.0, ge=203.0, le=10000.0)
    mid_gain_ev: float = Field(default=0.0, ge=-2.0, le=2.0)
    max_attempts: int = Field(ge=1, description="candidates rendered in full before the original is kept")
    cpu_ms_per_megapixel: float = Field(
        gt=0, description="whole job in HEVC, for the estimate only: encoding, plus about 25 for everything else"
    )


def profile_names() -> tuple[str, ...]:
    """Names of all profiles, in alphabetical order."""
    entries = (files("configs") / "profiles").iterdir()
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")))


@cache
def load_profile(name: str) -> Profile:
    """The profile of that name. UsageError names the allowed ones for any other."""
    if name not in profile_names():
        raise UsageError(f"there is no profile {name!r}; choose one of {', '.join(profile_names())}")
    text = (files("configs") / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    return Profile.model_validate(yaml.safe_load(text))


def gates_path(profile: Profile) -> Path:
    """The file of limits that the profile names."""
    return Path(str(files("configs") / "gates" / f"{profile.gates}.yaml"))
