"""What a figure was measured on, written beside it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions and commit."""
    return {
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "versions": {name: version(name) for name in ("sdr2hdr-agent", "av", "imageio-ffmpeg", "numba", "numpy")},
        "commit": _commit(),
    }


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write a benchmark's result as JSON; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    return f"{values.get('model name', 'unknown')} (family {values.get('cpu family')}, model {values.get('model')})"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return result.stdout.strip() or "not in a checkout"
