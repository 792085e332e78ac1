"""Which runtime runs a graph on this machine: the first of the chain that works, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolchain.errors import EnvironmentNotReady
from toolchain.runtimes.base import LoadedNetwork, RuntimeName, Session, SessionOptions
from toolchain.runtimes.registry import RUNTIMES, get_runtime

Notify = Callable[[str], None]
"""Takes one sentence for people."""


def open_session(
    loaded: LoadedNetwork,
    graph: str,
    options: SessionOptions,
    cache: Path,
    prefer: RuntimeName | None = None,
    notify: Notify = lambda _: None,
) -> Session:
    """A session of the runtime asked for by name, else of the first in `RUNTIMES` that can build the graph here.

    `notify` hears which runtime runs and why each one before it does not. Raises EnvironmentNotReady (or its
    EngineBuildError): a runtime asked for by name never falls back, without a name only when none works.
    """
    what = f"{loaded.model_id} {graph}"
    if prefer is not None:
        session = get_runtime(prefer).open(loaded, graph, options, cache)
        notify(f"{what} runs on {session.runtime}, as asked: {session.provider}.")
        return session
    skipped: list[str] = []
    for runtime in RUNTIMES:
        ready = runtime.available()
        if not ready.ready:
            skipped.append(f"{runtime.name}: {ready.reason}")
            continue
        try:
            session = runtime.open(loaded, graph, options, cache)
        except EnvironmentNotReady as error:
            skipped.append(f"{runtime.name}: {error}")
            continue
        notify(f"{what} runs on {session.runtime}: {session.provider}{_because(skipped)}.")
        return session
    raise EnvironmentNotReady(f"No runtime can run {what} here{_because(skipped)}.")


def _because(skipped: list[str]) -> str:
    return f"; not on {'; '.join(reason.rstrip('.') for reason in skipped)}" if skipped else ""
