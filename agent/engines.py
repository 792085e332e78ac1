"""The analyser's engines: made from a profile's settings, and whether they can work on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from analysis.mllm.client_local import LONGEST_ANSWER, LONGEST_JSON, LocalEngine
from analysis.mllm.client_vllm import ServerSettings, VllmEngine
from analysis.mllm.engine import Engine
from analysis.mllm.families import Family, family
from analysis.mllm.settings import AnalyserSettings, EngineName, FamilyName
from toolchain.errors import EnvironmentNotReady, InputError, UsageError

NAMES: tuple[tuple[str, FamilyName], ...] = (
    ("qwen2.5-vl", "qwen2_5_vl"),
    ("qwen2-vl", "qwen2_vl"),
    ("qwen3-vl", "qwen3_vl"),
    ("internvl", "internvl"),
    ("compact", "compact"),
)
"""What a model's name tells of its family; the first that fits."""

COMPACT_VOCABULARY = 1000
"""A model with fewer words than this can only be the compact one."""

LOOK_S = 2.0
"""How long `agent doctor` waits for a server."""


@dataclass(frozen=True)
class Readiness:
    """Whether an engine can work here: what was found, and what to do where it cannot."""

    engine: EngineName
    ready: bool
    found: str
    remedy: str = ""


def shipped_model() -> Path | None:
    """The folder of the compact model that comes with the product; None where none does."""
    folder = Path(str(files("analysis.mllm"))) / "shipped" / "compact"
    return folder if (folder / "config.json").exists() else None


def open_engine(settings: AnalyserSettings) -> Engine:
    """The engine of the settings (not `signals`, which asks nothing), ready to be asked.

    Raises EnvironmentNotReady where it cannot work now, UsageError for settings that do not say enough.
    """
    if settings.engine == "vllm":
        engine = _vllm(settings, _family(settings.family, _served_model(settings)))
        engine.check()
        return engine
    if settings.engine == "local":
        folder = _folder(settings)
        try:
            return LocalEngine(folder, _family(settings.family, str(folder)))
        except InputError as error:  # of the engine: the video is not to blame
            raise EnvironmentNotReady(str(error)) from error
    raise UsageError("engine signals asks no model: choose local or vllm")


def family_name(model: str) -> FamilyName:
    """The family that a model's name or its folder's `config.json` tells. UsageError where neither does."""
    folder = Path(model)
    if (folder / "config.json").is_file() and _vocabulary(folder / "config.json") < COMPACT_VOCABULARY:
        return "compact"
    name = model.lower().replace("_", "-").replace("qwen2-5", "qwen2.5")
    for part, found in NAMES:
        if part in name:
            return found
    raise UsageError(f"the name {model} does not tell its family: give it, one of {', '.join(n for _, n in NAMES)}")


def engine_state(name: EngineName, settings: AnalyserSettings) -> Readiness:
    """Whether the engine can work with these settings. Takes a few seconds at most and loads no model."""
    checks: dict[EngineName, Callable[[AnalyserSettings], Readiness]] = {
        "signals": _signals_state,
        "local": _local_state,
        "vllm": _vllm_state,
    }
    return checks[name](settings)


def _signals_state(_: AnalyserSettings) -> Readiness:
    return Readiness("signals", True, "rules on measured numbers, no model needed")


def _local_state(settings: AnalyserSettings) -> Readiness:
    try:
        return Readiness("local", True, f"model in {_folder(settings)}")
    except EnvironmentNotReady as error:
        found, _, remedy = str(error).partition(": ")
        return Readiness("local", False, found, remedy)


def _vllm_state(settings: AnalyserSettings) -> Readiness:
    quick = settings.model_copy(update={"timeout_s": LOOK_S, "retries": 0, "model": _served_model(settings)})
    try:
        _vllm(quick, family("compact")).check()
    except EnvironmentNotReady as error:
        return Readiness("vllm", False, str(error).partition(": ")[0], "`agent serve-mllm` starts a server")
    return Readiness("vllm", True, f"{quick.model} at {settings.url}")


def _vllm(settings: AnalyserSettings, asked: Family) -> VllmEngine:
    server = ServerSettings(
        url=settings.url,
        model=_served_model(settings),
        timeout_s=settings.timeout_s,
        tries=1 + settings.retries,
        concurrency=settings.concurrency,
        max_tokens=LONGEST_ANSWER.get(asked.name, LONGEST_JSON),
    )
    return VllmEngine(server, asked)


def _served_model(settings: AnalyserSettings) -> str:
    """The name that `agent serve-mllm` gives the compact model, where no other is asked for."""
    return settings.model or "compact"


def _folder(settings: AnalyserSettings) -> Path:
    if settings.model is not None:
        folder = Path(settings.model)
        if not (folder / "config.json").is_file():
            raise EnvironmentNotReady(f"{folder} holds no model: name the folder of a checkpoint")
        return folder
    shipped = shipped_model()
    if shipped is None:
        raise EnvironmentNotReady("no compact model comes with this version: name the folder of a checkpoint")
    return shipped


def _family(given: FamilyName | None, model: str) -> Family:
    return family(given or family_name(model))


def _vocabulary(config: Path) -> int:
    """How many words a checkpoint has; none that are known where its file is no such configuration."""
    try:
        read = json.loads(config.read_bytes())
        return int(read.get("vocab_size") or read["text_config"]["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return COMPACT_VOCABULARY
