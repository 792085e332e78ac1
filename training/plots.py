"""The picture beside a training's metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import EnvironmentNotReady


def plot_lines(lines: Mapping[str, Sequence[tuple[float, float]]], unit: str, picture: Path) -> None:
    """Named lines of (step, value) as a PNG; those without a point are left out. EnvironmentNotReady without
    matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnvironmentNotReady(
            f"matplotlib, which draws {picture.name}, is not installed: install sdr2hdr-agent[train] and run again."
        ) from error
    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot(xlabel="step", ylabel=unit)
    for name, points in lines.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=100)
