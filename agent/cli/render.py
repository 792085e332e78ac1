"""Front ends of the event stream: JSON lines, a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from toolchain.errors import AgentError, Interrupted
from toolchain.events import Emit, Event, Progress, StepCompleted, StepStarted, Warned

_PLAIN_INTERVAL_S = 5.0
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
_BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

STEP_TITLES = {
    "probe": "Reading the file",
    "shots": "Finding shots and measuring",
    "scan": "Finding shots and measuring",
    "analyse": "Describing the content",
    "plan": "Planning",
    "pilot": "Trying candidates on sampled frames",
    "render": "Rendering",
    "verify": "Verifying the result",
    "rollback": "Going back to the source",
    "commit": "Delivering",
    "keep": "Keeping the original",
    "calibrate": "Scoring the benchmark",
}


class OutputClosed(Interrupted):
    """Whoever read our output is gone, e.g. `| head -1`."""


def printable(text: object) -> str:
    """`text` on one line, harmless to a terminal: control characters (line ends, escape codes, what turns the
    reading direction, bytes of a name that are not text) stand as their backslash escapes."""
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in _CONTROLS or unicodedata.bidirectional(char) in _BIDI_CONTROLS
        else char
        for char in str(text)
    )


def show(text: object) -> None:
    """A line of the result on stdout. Raises OutputClosed when nobody reads it."""
    write_line(sys.stdout, printable(text))


def tell(text: object) -> None:
    """A line for people on stderr. Raises OutputClosed when nobody reads it."""
    write_line(sys.stderr, printable(text))


def write_line(out: TextIO, line: str) -> None:
    """Write `line` as it is and flush. OutputClosed when the other end is closed; what follows then goes nowhere."""
    try:
        out.write(line + "\n")
        out.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
        raise OutputClosed("nobody reads the output any more") from None


class JsonEvents:
    """One JSON object a line on stdout, each with `type`, `seq`, `ts` and `job_key` ("" until the input is read)."""

    def __init__(self, out: TextIO | None = None):
        self.job_key = ""
        self._out = out or sys.stdout
        self._seq = 0

    def __call__(self, event: Event) -> None:
        self.write(event.model_dump(mode="json"))

    def write(self, fields: dict[str, Any]) -> None:
        """Raises OutputClosed when nobody reads it."""
        stamp = {"type": fields["type"], "seq": self._seq, "ts": round(time.time(), 3), "job_key": self.job_key}
        self._seq += 1
        write_line(self._out, json.dumps({**stamp, **fields}, ensure_ascii=False))


@contextmanager
def json_events(wanted: bool) -> Iterator[JsonEvents | None]:
    """The events' writer if `wanted`. What fails inside, before a run or by a bug of ours, ends in job.failed too."""
    events = JsonEvents() if wanted else None
    try:
        yield events
    except (Exception, KeyboardInterrupt) as error:
        if events is not None and not isinstance(error, OutputClosed):
            stopped = Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else AgentError.exit_code
            code = error.exit_code if isinstance(error, AgentError) else stopped
            message = str(error) or type(error).__name__
            events.write({"type": "job.failed", "run_id": "", "exit_code": code, "message": message, "output": None})
        raise


class PlainLines:
    """Plain lines on stderr: a line a step, and one every few seconds in a long step."""

    def __init__(self) -> None:
        self._began_s = self._last_s = time.monotonic()  # `verify` reports progress outside any step

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step=step):
                self._began_s = self._last_s = time.monotonic()
                tell(f"{STEP_TITLES.get(step, step)} ...")
            case Progress(done=done, total=total, unit=unit):
                if time.monotonic() - self._last_s >= _PLAIN_INTERVAL_S:
                    self._last_s = time.monotonic()
                    tell(f"  {done} of {total or '?'} {unit}{self._rate(done, total, unit)}")
            case StepCompleted(summary=summary) if summary:
                tell(f"  {summary}")
            case Warned(message=message):
                tell(f"warning: {message}")

    def _rate(self, done: int, total: int | None, unit: str) -> str:
        per_s = done / max(1e-3, time.monotonic() - self._began_s)
        eta = f", {max(0.0, (total - done) / per_s):.0f} s left" if total and per_s > 0 else ""
        return f", {_per_second(per_s, unit)}{eta}"


def _per_second(rate: float, unit: str) -> str:
    return f"{rate:.1f} fps" if unit == "frames" else f"{rate:.2g} {unit}/s"


class LiveDisplay:
    """A bar with rate and time left on a terminal's stderr."""

    def __init__(self, bar: Bar):
        self._bar = bar
        self._task: TaskID | None = None
        self._began_s = time.monotonic()

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted(step=step):
                self._task = self._begin(step)
            case Progress(step=step, done=done, total=total, unit=unit):
                self._task = self._begin(step) if self._task is None else self._task
                rate = _per_second(done / max(1e-3, time.monotonic() - self._began_s), unit)
                self._bar.update(self._task, completed=done, total=total, rate=rate)
            case StepCompleted() if self._task is not None:
                self._bar.update(self._task, total=1, completed=1)
            case Warned(message=message):
                self._bar.console.print(printable(f"warning: {message}"), markup=False, highlight=False)

    def _begin(self, step: str) -> TaskID:
        self._began_s = time.monotonic()
        return self._bar.add_task(printable(STEP_TITLES.get(step, step)), total=None, rate="")


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
