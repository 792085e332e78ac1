"""`agent models build`: what the first job with a model would build, built ahead."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.cli.commands import JsonOption, RuntimeOption
from agent.cli.render import show, tell, write_line
from toolchain.errors import EnvironmentNotReady, UsageError

if TYPE_CHECKING:
    from toolchain.runtimes.base import LoadedNetwork, Runtime, SessionOptions

NAMED_SHAPES = {"540p": (540, 960), "720p": (720, 1280), "1080p": (1080, 1920), "2160p": (2160, 3840)}
"""(height, width) of 16:9 pictures."""

MAX_SIDE_PX = 8192


class PrecisionName(StrEnum):
    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


ModelIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Networks of the catalogue; without one, all that are installed."),
]
ShapesOption = Annotated[
    str, typer.Option("--shapes", help=f"Picture sizes, with commas: {', '.join(NAMED_SHAPES)} or WIDTHxHEIGHT.")
]
PrecisionOption = Annotated[
    PrecisionName | None, typer.Option("--precision", help="Of the arithmetic inside; without it, what jobs use.")
]


@dataclass(frozen=True)
class BuildRow:
    """One graph made ready, or why it is not. `shape`: (height, width) of the picture, None where any will do."""

    model_id: str
    graph: str
    runtime: str
    shape: tuple[int, int] | None
    state: Literal["ready", "failed"]
    seconds: float
    message: str


def build_models(
    model_ids: ModelIds = None,
    runtime: RuntimeOption = None,
    shapes: ShapesOption = "1080p",
    precision: PrecisionOption = None,
    json_output: JsonOption = False,
) -> int:
    """Export, compile and cache the graphs of networks for one runtime, so that no job has to wait for it.

    Exit 5 when one of them cannot be built here; the others are built all the same.
    """
    sizes = parse_shapes(shapes)
    chosen = _runtime(runtime.value if runtime else None)
    failed = 0
    for row in _rows(network_ids_or_installed(model_ids), chosen, sizes, precision.value if precision else None):
        failed += row.state == "failed"
        if json_output:
            write_line(sys.stdout, json.dumps(asdict(row)))
        else:
            show(_line(row))
    if failed:
        tell(f"{failed} could not be built on {chosen.name}: the reasons are in the table.")
    return EnvironmentNotReady.exit_code if failed else 0


def parse_shapes(text: str) -> list[tuple[int, int]]:
    """(height, width) of each size in "540p,1080p,1440x1080". Raises UsageError for anything else."""
    return [_parse_shape(part.strip()) for part in text.split(",")]


def network_ids_or_installed(given: list[str] | None) -> list[str]:
    """The given ids, checked; without any, the networks whose weights are at hand.

    Raises UsageError for an id that is no network, EnvironmentNotReady where none is installed.
    """
    from toolchain.models.networks.registry import network_ids
    from toolchain.models.registry import get_spec
    from toolchain.models.weights import state

    known = network_ids()
    for model_id in given or ():
        if model_id not in known:
            raise UsageError(f"Model {model_id!r} is no network, there is nothing to build: use {', '.join(known)}.")
    if given:
        return list(dict.fromkeys(given))
    installed = [model_id for model_id in known if state(get_spec(model_id)).ready]
    if not installed:
        raise EnvironmentNotReady("No network is installed: run `agent models pull` first.")
    return installed


def _parse_shape(part: str) -> tuple[int, int]:
    width, x, height = part.partition("x")
    if part in NAMED_SHAPES:
        return NAMED_SHAPES[part]
    numbers = x and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()
    if not (numbers and 16 <= int(width) <= MAX_SIDE_PX and 16 <= int(height) <= MAX_SIDE_PX):
        raise UsageError(
            f"Shape {part!r} is not known: use {', '.join(NAMED_SHAPES)} or WIDTHxHEIGHT, 16 to {MAX_SIDE_PX} each."
        )
    return int(height), int(width)


def _runtime(name: str | None) -> Runtime:
    """The runtime asked for, else the first of the chain that can run here. EnvironmentNotReady where it cannot."""
    from toolchain.runtimes.registry import RUNTIMES, get_runtime

    chosen = get_runtime(name) if name else next(runtime for runtime in RUNTIMES if runtime.available().ready)
    ready = chosen.available()
    if not ready.ready:
        raise EnvironmentNotReady(f"Nothing can be built for runtime {chosen.name} here: {ready.reason}.")
    return chosen


def _rows(
    model_ids: list[str], runtime: Runtime, sizes: list[tuple[int, int]], precision: str | None
) -> Iterator[BuildRow]:
    from toolchain.models.registry import get_spec
    from toolchain.models.weights import load_network
    from toolchain.runtimes.base import SessionOptions

    inside = {"precision": precision} if precision else {}
    # Only TensorRT builds for sizes; the others take any with one graph.
    shapes = sizes if runtime.name == "tensorrt" else [None]
    for model_id in model_ids:
        try:
            loaded = load_network(get_spec(model_id))
        except EnvironmentNotReady as error:
            yield BuildRow(model_id, "-", runtime.name, None, "failed", 0.0, str(error))
            continue
        for graph in loaded.network.graphs:
            for shape in shapes:
                yield _built(runtime, loaded, graph.name, SessionOptions(**inside, shape=shape))  # type: ignore[arg-type]


def _built(runtime: Runtime, loaded: LoadedNetwork, graph: str, options: SessionOptions) -> BuildRow:
    from toolchain.runtimes.cache import engine_folder

    began_s = time.monotonic()
    try:
        session = runtime.open(loaded, graph, options, engine_folder())
        state, message = "ready", session.provider
    except EnvironmentNotReady as error:
        state, message = "failed", str(error)
    seconds = round(time.monotonic() - began_s, 1)
    return BuildRow(loaded.model_id, graph, runtime.name, options.shape, state, seconds, message)


def _line(row: BuildRow) -> str:
    shape = f"{row.shape[1]}x{row.shape[0]}" if row.shape else "any size"
    return f"{row.model_id:<15} {row.graph:<10} {shape:<10} {row.state:<7} {row.seconds:6.1f} s  {row.message}"
