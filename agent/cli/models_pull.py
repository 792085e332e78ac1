"""`agent models pull`: bring published weights to this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from agent.cli.commands import JsonOption
from agent.cli.render import JsonEvents, json_events, printable, show, tell
from toolchain import events

if TYPE_CHECKING:
    from toolchain.models.download import BytesDone
    from toolchain.models.spec import ModelSpec

JSON_INTERVAL_S = 0.5


def pull(
    model_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Published models; without one, all of them.", show_default=False),
    ] = None,
    source_folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take the files from a folder instead.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Fetch the weights of published models, verify them and install them; a cut transfer is resumed."""
    with json_events(as_json) as writer:
        for spec in _wanted(model_ids or []):
            _pull_one(spec, source_folder, writer)
        if writer is not None:
            _write_completed(writer)
    return 0


def _wanted(model_ids: list[str]) -> list[ModelSpec]:
    """The named models, each once, all checked before the first is fetched; all published ones if none is named."""
    from toolchain.models.registry import get_spec, specs
    from toolchain.models.weights import require_published

    if not model_ids:
        return [spec for spec in specs() if spec.weights and not spec.weights.shipped]
    wanted = [get_spec(model_id) for model_id in dict.fromkeys(model_ids)]
    for spec in wanted:
        require_published(spec)
    return wanted


def _pull_one(spec: ModelSpec, source_folder: Path | None, writer: JsonEvents | None) -> None:
    from toolchain.models import weights

    with _bytes_shown(spec.id, writer) as progress:
        is_new = weights.pull(spec, source_folder, progress)
    summary = f"{spec.id} {'installed' if is_new else 'was installed already'}"
    if writer is None:
        show(summary)
    else:
        writer(events.StepCompleted(step=f"pull {spec.id}", summary=summary))


def _write_completed(writer: JsonEvents) -> None:
    from toolchain.models.weights import weights_folder

    outcome = {"run_id": "", "exit_code": 0, "message": "installed", "output": str(weights_folder())}
    writer.write({"type": "job.completed", **outcome})


@contextmanager
def _bytes_shown(model_id: str, writer: JsonEvents | None) -> Iterator[BytesDone]:
    """JSON events, a bar on a terminal's stderr, or one plain line there."""
    console = Console(stderr=True)
    if writer is not None:
        writer(events.StepStarted(step=f"pull {model_id}"))
        yield _json_progress(model_id, writer)
    elif not console.is_terminal:
        tell(f"Fetching {model_id} ...")
        yield lambda done, total: None
    else:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(printable(model_id), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def _json_progress(model_id: str, writer: JsonEvents) -> BytesDone:
    """An event at the begin, at the end, and every so often between."""
    last_s = float("-inf")

    def write(done: int, total: int) -> None:
        nonlocal last_s
        if done == total or time.monotonic() - last_s >= JSON_INTERVAL_S:
            last_s = time.monotonic()
            writer(events.Progress(step=f"pull {model_id}", done=done, total=total, unit="bytes"))

    return write
