"""`agent models bench`: what a network's frame costs on each runtime of this machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, RuntimeOption
from agent.cli.models_build import ModelIds, ShapesOption, network_ids_or_installed, parse_shapes
from agent.cli.render import show, write_line
from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import write_atomic

if TYPE_CHECKING:
    from toolchain.runtimes.base import LoadedNetwork
    from toolchain.runtimes.bench import BenchRow

_COLUMNS = "{:<15} {:<10} {:<17} {:<10} {:>9} {:>9} {:>9} {:>9}  {}"
HEADER = _COLUMNS.format("model", "graph", "runtime", "size", "ms", "p95", "CPU-ms", "peak MiB", "ran on")


def bench_models(
    model_ids: ModelIds = None,
    runtime: RuntimeOption = None,
    shapes: ShapesOption = "540p,1080p",
    frames: Annotated[int, typer.Option("--frames", min=1, max=1000, help="Frames timed for each row.")] = 5,
    json_output: JsonOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the rows to this JSON file.")] = None,
) -> int:
    """Time each graph of networks on each runtime: median and 95th percentile in ms, CPU time, peak memory.

    Every row runs in a process of its own. A runtime that cannot run here is listed with its reason. Exit 5 when
    nothing could be measured.
    """
    if out is not None and not out.resolve().parent.is_dir():
        raise UsageError(f"the output folder {out.resolve().parent} does not exist: create it first")
    rows: list[dict[str, object]] = []
    if not json_output:
        show(HEADER)
    for row in _rows(network_ids_or_installed(model_ids), runtime.value if runtime else None, shapes, frames):
        rows.append(row)
        if json_output:
            write_line(sys.stdout, json.dumps(row))
        else:
            show(_line(row))
    if out is not None:
        write_atomic(out, json.dumps({"machine": _machine(), "rows": rows}, indent=2) + "\n")
    return 0 if any("median_ms" in row for row in rows) else EnvironmentNotReady.exit_code


def _rows(model_ids: list[str], runtime: str | None, shapes: str, frames: int) -> Iterator[dict[str, object]]:
    """A measured row as `BenchRow`'s fields; one that was not has `reason` in the place of figures."""
    from toolchain.models.registry import get_spec
    from toolchain.models.weights import load_network
    from toolchain.runtimes.registry import availability

    sizes = parse_shapes(shapes)
    ready = [name for name, found in availability() if found.ready and runtime in (None, name)]
    for name, found in availability():
        if not found.ready and runtime in (None, name):
            yield {"runtime": name, "reason": found.reason}
    for model_id in model_ids:
        try:
            loaded = load_network(get_spec(model_id))
        except EnvironmentNotReady as error:
            yield {"model_id": model_id, "reason": str(error)}
            continue
        for graph in loaded.network.graphs:
            for size in sizes:
                for name in ready:
                    yield _measured(loaded, graph.name, name, size, frames)


def _measured(
    loaded: LoadedNetwork, graph: str, runtime: str, size: tuple[int, int], frames: int
) -> dict[str, object]:
    from toolchain.runtimes.bench import measure

    try:
        row: BenchRow = measure(loaded, graph, runtime, *size, frames)
    except EnvironmentNotReady as error:
        return {"model_id": loaded.model_id, "graph": graph, "runtime": runtime, "reason": str(error)}
    return asdict(row)


def _machine() -> dict[str, object]:
    """What the figures belong to."""
    from importlib.metadata import version

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "openvino", "onnxruntime", "sdr2hdr-agent")},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _line(row: dict[str, object]) -> str:
    if "reason" in row:
        what = " ".join(str(row[name]) for name in ("model_id", "graph", "runtime") if name in row)
        return f"{what}: not measured, {row['reason']}"
    size = f"{row['width']}x{row['height']}"
    figures = (f"{row[name]:.1f}" for name in ("median_ms", "p95_ms", "cpu_ms", "peak_rss_mib"))
    return _COLUMNS.format(row["model_id"], row["graph"], row["runtime"], size, *figures, row["provider"])
