"""`agent models list|show|pull|build|bench|apply`."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, RuntimeOption
from agent.cli.models_bench import bench_models
from agent.cli.models_build import build_models
from agent.cli.models_pull import pull
from agent.cli.render import show, write_line

if TYPE_CHECKING:
    from toolchain.models.spec import ModelSpec

app = typer.Typer(help="Look at the catalogue, and try a model on a still.", no_args_is_help=True)
TASK_TITLES = {"sdr2hdr": "SDR to HDR", "restore": "Restoration, in the order it runs"}
ModelId = Annotated[str, typer.Argument(metavar="ID", help="A catalogue id, see `agent models list`.")]


@app.command("list")
def list_models(json_output: JsonOption = False) -> int:
    """List the catalogue: what each model is, whether it can run here, what it costs and under which licence."""
    from toolchain.models.registry import specs
    from toolchain.models.weights import state

    task = ""
    for spec in specs():
        if json_output:
            write_line(sys.stdout, _as_json(spec))
            continue
        if spec.task != task:
            show(f"{TASK_TITLES[spec.task]}:")
            task = spec.task
        show(_row(spec.id, state(spec).name, spec.cost_class, spec.licence.split(" (")[0], spec.title))
    return 0


@app.command("show")
def show_model(model_id: ModelId, json_output: JsonOption = False) -> int:
    """Show one entry: what it does, where it comes from, its state, its weights, its contract, its parameters."""
    from toolchain.models.registry import get_spec

    spec = get_spec(model_id)
    if json_output:
        write_line(sys.stdout, _as_json(spec))
        return 0
    for name, value in _facts(spec):
        show(f"{name:<18} {value}")
    return 0


app.command("pull")(pull)
app.command("build")(build_models)
app.command("bench")(bench_models)


@app.command("apply")
def apply_model(
    model_id: ModelId,
    image: Annotated[Path, typer.Argument(metavar="IN.png", help="8- or 16-bit R'G'B', BT.709, BT.1886.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.npy", help="float32 HxWx3, PQ BT.2020 R'G'B' in [0,1].")],
    peak_nits: Annotated[float | None, typer.Option("--peak-nits", min=203, max=10000)] = None,
    mid_gain: Annotated[
        float | None, typer.Option("--mid-gain", min=-2, max=2, help="Anchor the mid-tones, EV against SDR at 203.")
    ] = None,
    saturation: Annotated[float | None, typer.Option("--saturation", min=0, max=2)] = None,
    runtime: RuntimeOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> int:
    """Apply one model to a still and write the PQ BT.2020 signal as a NumPy array.

    Without controls the model is as published; with any of them it is corrected and guarded as in a job.
    """
    from agent.stills import PUBLISHED, apply_to_still

    given = {"peak_nits": peak_nits, "mid_gain_ev": mid_gain, "saturation": saturation, "runtime": runtime}
    asked = {name: value for name, value in given.items() if value is not None}
    controls = PUBLISHED.model_copy(update=asked) if asked else None
    apply_to_still(model_id, image, output, controls, overwrite)
    show(output)
    return 0


def _row(model_id: str, state: str, cost: str, licence: str, title: str) -> str:
    """One line of the table, at most 100 columns; `agent models show` tells what does not fit."""
    left = f"  {model_id:<14} {state:<13} {cost:<6} {licence:<17} "
    return left + textwrap.shorten(title, 100 - len(left), placeholder=" ...")


def _as_json(spec: ModelSpec) -> str:
    """The data sheet as one JSON object, with `state` and `state_message`."""
    from toolchain.models.weights import state

    found = state(spec)
    return json.dumps(
        {**spec.model_dump(mode="json"), "state": found.name, "state_message": found.message}, ensure_ascii=False
    )


def _facts(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    from toolchain.models.weights import state

    found = state(spec)
    for name in ("id", "title", "task", "source", "licence", "cost_class"):
        yield name, getattr(spec, name)
    yield "suits", ", ".join(spec.suits) or "anything"
    yield "state", f"{found.name}: {found.message}" if found.ready else found.message
    yield from _contract(spec)
    if spec.weights is not None:
        yield "weights", f"{spec.weights.file}, {spec.weights.size_bytes} bytes, SHA-256 {spec.weights.sha256}"
        yield "weights from", spec.weights.url or "this product"
        yield "weights credit", spec.weights.credit
    for name, parameter in spec.parameters.items():
        allowed = f"{parameter.minimum:g}..{parameter.maximum:g} {parameter.unit}".strip()
        yield name, f"{parameter.default:g} ({allowed})  {parameter.help}"


def _contract(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """What goes in, what comes out, and how a picture may be cut. FFmpeg's filters take pictures as they are."""
    if spec.filters:
        return
    yield "input", spec.input
    yield "output", spec.output
    if spec.pointwise:
        yield "pixels", "each by itself" + (", under numbers held over a shot" if spec.adaptive else "")
    elif spec.tiling:
        yield "tiles", f"overlap {spec.overlap_px} px, sizes in multiples of {spec.size_multiple}"
    else:
        yield "tiles", f"none: whole pictures, sizes in multiples of {spec.size_multiple}"
