"""`agent models list|show|apply`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.commands import JsonOption
from agent.cli.render import show, write_line

app = typer.Typer(help="Look at the catalogue, and try a model on a still.", no_args_is_help=True)
ModelId = Annotated[str, typer.Argument(metavar="ID", help="A catalogue id, see `agent models list`.")]


@app.command("list")
def list_models(json_output: JsonOption = False) -> int:
    """List the catalogue."""
    from toolchain.models.registry import specs

    for spec in specs():
        if json_output:
            write_line(sys.stdout, spec.model_dump_json())
        else:
            show(f"{spec.id:<12} {spec.task:<8} {spec.cost_class:<7} {spec.licence:<12} {spec.title}")
    return 0


@app.command("show")
def show_model(model_id: ModelId, json_output: JsonOption = False) -> int:
    """Show one entry: what it does, where it comes from, and its parameters."""
    from toolchain.models.registry import get_spec

    spec = get_spec(model_id)
    if json_output:
        write_line(sys.stdout, spec.model_dump_json())
        return 0
    rows = [
        f"{name:<11} {getattr(spec, name)}" for name in ("id", "title", "task", "source", "licence", "cost_class")
    ]
    rows.append(f"{'suits':<11} {', '.join(spec.suits) or 'anything'}")
    for name, parameter in spec.parameters.items():
        allowed = f"{parameter.minimum:g}..{parameter.maximum:g} {parameter.unit}".strip()
        rows.append(f"{name:<18} {parameter.default:g} ({allowed})  {parameter.help}")
    for row in rows:
        show(row)
    return 0


@app.command("apply")
def apply_model(
    model_id: ModelId,
    image: Annotated[Path, typer.Argument(metavar="IN.png", help="8- or 16-bit R'G'B', BT.709, BT.1886.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.npy", help="float32 HxWx3, PQ BT.2020 R'G'B' in [0,1].")],
    peak_nits: Annotated[float, typer.Option("--peak-nits", min=203, max=10000)] = 1000.0,
    mid_gain: Annotated[
        float | None,
        typer.Option("--mid-gain", min=-2, max=2, help="Anchor mid-tones; without it the model is as published."),
    ] = None,
    saturation: Annotated[float, typer.Option("--saturation", min=0, max=2)] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> int:
    """Apply one model to a still and write the PQ BT.2020 signal as a NumPy array."""
    from agent.stills import apply_to_still
    from toolchain.models.spec import Controls

    controls = Controls(peak_nits=peak_nits, mid_gain_ev=mid_gain, saturation=saturation)
    apply_to_still(model_id, image, output, controls, overwrite)
    show(output)
    return 0
