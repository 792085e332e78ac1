"""What a training's result was made of and with: the file beside it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from toolchain.errors import UsageError
from toolchain.files import write_atomic

LIBRARIES = ("sdr2hdr-agent", "torch", "transformers", "trl", "accelerate", "peft", "numpy")


def write_manifest(path: Path, told: Mapping[str, Any]) -> None:
    """`told`, and the versions of Python and of the libraries that are installed."""
    found: dict[str, str] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    write_atomic(path, json.dumps({**told, "versions": found}, indent=1))


def same_run(path: Path, made_by: dict[str, Any]) -> None:
    """UsageError where the folder was begun with another recipe or model."""
    told = json.dumps(made_by, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != told:
        raise UsageError(f"{path.parent} was begun with another recipe or model: name another folder with --out")
    write_atomic(path, told)
