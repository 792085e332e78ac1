"""`agent`: the command line. Results go to stdout, everything for people to stderr; exit codes are in the README."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import typer

from agent.cli import commands, inspect, mllm, models, runs, train, vqa
from agent.cli.render import OutputClosed, tell, write_line
from toolchain.errors import AgentError, Interrupted

_UsageError: Any = typer.BadParameter.__base__
"""What the parser raises for wrong arguments. Typer names only its subclass in public."""

app = typer.Typer(
    name="agent",
    help="Turn SDR video into HDR with the model that suits it, and prove that the result is better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(commands.process)
app.command()(inspect.plan)
app.command()(inspect.analyze)
app.command()(inspect.verify)
app.command("serve-mllm")(mllm.serve_mllm)
app.add_typer(models.app, name="models")
app.add_typer(runs.app, name="runs")
app.add_typer(train.app, name="train")
app.add_typer(vqa.app, name="vqa")
app.command()(commands.sample)
app.command()(commands.graph)
app.command()(commands.doctor)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code and prints at most one sentence for an error."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = app(arguments, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except OutputClosed:
        return Interrupted.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        _tell_usage(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        tell("error: stopped by the user")
        return Interrupted.exit_code
    except AgentError as error:
        tell(f"error: {error}")
        return error.exit_code
    except Exception as error:
        for line in traceback.format_exc().split("\n"):
            tell(line)
        tell(f"error: internal error, {type(error).__name__}: {error}; please report it")
        return AgentError.exit_code


def _tell_usage(message: str) -> None:
    """Without a command the parser's message is the help itself."""
    if message.startswith("Usage:"):
        write_line(sys.stderr, message)
    else:
        tell(f"error: {message}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run() -> None:
    """The `agent` command."""
    code = main()
    gc.freeze()  # the process ends: no last look through everything imported
    sys.exit(code)


if __name__ == "__main__":
    run()
