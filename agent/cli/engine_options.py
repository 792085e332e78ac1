"""Options that choose the analyser's engine, where a command line outranks its profile."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from analysis.mllm.settings import AnalyserSettings
from toolchain.errors import UsageError


class EngineChoice(StrEnum):
    signals = "signals"
    local = "local"
    vllm = "vllm"


class FamilyChoice(StrEnum):
    compact = "compact"
    qwen2_vl = "qwen2_vl"
    qwen2_5_vl = "qwen2_5_vl"
    qwen3_vl = "qwen3_vl"
    internvl = "internvl"


class FallbackChoice(StrEnum):
    signals = "signals"
    none = "none"


EngineOption = Annotated[
    EngineChoice | None, typer.Option("--engine", help="What looks at the frames; without it, what the profile says.")
]
EngineModelOption = Annotated[
    str | None, typer.Option("--engine-model", help="A checkpoint's folder, or the server's name for its model.")
]
EngineUrlOption = Annotated[
    str | None, typer.Option("--engine-url", help="The server's API, e.g. http://127.0.0.1:8000/v1.")
]
FamilyOption = Annotated[
    FamilyChoice | None, typer.Option("--family", help="The model's family, where its name does not tell.")
]
FallbackOption = Annotated[
    FallbackChoice | None, typer.Option("--fallback", help="When the engine cannot answer: signals, or an error.")
]


def chosen_analyser(profile: str, **asked: Any) -> AnalyserSettings | None:
    """The profile's settings with what was asked for in place of them; None where nothing was.

    `asked`: fields of AnalyserSettings, None for those that were not given. UsageError for values they cannot have.
    """
    from analysis.selection.profile import load_profile

    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    if "model" in given and Path(given["model"]).is_dir():
        given["model"] = str(Path(given["model"]).resolve())  # a run may be resumed from elsewhere
    settings = load_profile(profile).analyser
    try:
        return AnalyserSettings.model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"the engine's {first['loc'][0]} is {first['input']!r}: {first['msg'].lower()}") from error
