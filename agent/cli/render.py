"""Front ends of the event stream: JSON lines, a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from toolchain.events import Emit, Event, Progress, StepCompleted, StepStarted, Warned

_PLAIN_INTERVAL_S = 5.0

STEP_TITLES = {
    "probe": "Reading the file",
    "shots": "Finding shots and measuring",
    "analyse": "Describing the content",
    "plan": "Planning",
    "pilot": "Trying candidates on sampled frames",
    "render": "Rendering",
    "verify": "Verifying the result",
    "rollback": "Going back to the source",
    "commit": "Delivering",
    "keep": "Keeping the original",
}


class JsonEvents:
    """One JSON object a line on stdout, each with `type`, `seq`, `ts` and `job_key`."""

    def __init__(self, job_key: str, out: TextIO | None = None):
        self._job_key = job_key
        self._out = out or sys.stdout
        self._seq = 0

    def __call__(self, event: Event) -> None:
        self.write(event.model_dump(mode="json"))

    def write(self, fields: dict[str, Any]) -> None:
        stamp = {"type": fields["type"], "seq": self._seq, "ts": round(time.time(), 3), "job_key": self._job_key}
        self._out.write(json.dumps({**stamp, **fields}, ensure_ascii=False) + "\n")
        self._out.flush()
        self._seq += 1


class PlainLines:
    """Plain lines on stderr: a line a step, and one every few seconds in a long step."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._began_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step=step):
                self._began_s = self._last_s = time.monotonic()
                self._write(f"{STEP_TITLES.get(step, step)} ...")
            case Progress(done=done, total=total, unit=unit):
                if time.monotonic() - self._last_s >= _PLAIN_INTERVAL_S:
                    self._last_s = time.monotonic()
                    self._write(f"  {done} of {total or '?'} {unit}{self._rate(done, total)}")
            case StepCompleted(summary=summary) if summary:
                self._write(f"  {summary}")
            case Warned(message=message):
                self._write(f"warning: {message}")

    def _rate(self, done: int, total: int | None) -> str:
        per_s = done / max(1e-3, time.monotonic() - self._began_s)
        eta = f", {max(0.0, (total - done) / per_s):.0f} s left" if total and per_s > 0 else ""
        return f", {per_s:.1f} fps{eta}"

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(line + "\n")


class LiveDisplay:
    """A bar with rate and time left on a terminal's stderr."""

    def __init__(self, bar: Bar):
        self._bar = bar
        self._task: TaskID | None = None
        self._began_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step=step):
                self._began_s = time.monotonic()
                self._task = self._bar.add_task(STEP_TITLES.get(step, step), total=None, rate="")
            case Progress(done=done, total=total) if self._task is not None:
                rate = f"{done / max(1e-3, time.monotonic() - self._began_s):.1f} fps"
                self._bar.update(self._task, completed=done, total=total, rate=rate)
            case StepCompleted() if self._task is not None:
                self._bar.update(self._task, total=1, completed=1)
            case Warned(message=message):
                self._bar.console.print(f"warning: {message}", markup=False, highlight=False)


@contextmanager
def human_events() -> Iterator[Emit]:
    """The live display on a terminal, else plain lines. Both write to stderr: stdout is for results."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainLines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        yield LiveDisplay(bar)
