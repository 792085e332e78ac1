"""A training's metrics.jsonl: a line of numbers each time it is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def record(path: Path, values: Mapping[str, float]) -> None:
    """One line more."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def recorded(path: Path) -> list[dict[str, float]]:
    """All lines, in order."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
