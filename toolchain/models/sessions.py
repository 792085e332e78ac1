"""Open sessions of the catalogue's networks, one a process for each graph: weights are read and graphs built once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolchain.models.registry import get_spec
from toolchain.runtimes.base import LoadedNetwork, RuntimeName, Session, SessionOptions, Tensors

Notify = Callable[[str], None]


class SharedSession:
    """A session that any thread may call; calls wait for each other, for a session uses all cores by itself."""

    def __init__(self, session: Session):
        self._session = session
        self._lock = threading.Lock()

    @property
    def runtime(self) -> RuntimeName:
        return self._session.runtime

    @property
    def provider(self) -> str:
        return self._session.provider

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            return self._session.run(inputs)


_lock = threading.Lock()
_loaded: dict[str, LoadedNetwork] = {}
_sessions: dict[tuple[str, str, RuntimeName | None], SharedSession] = {}


def session(model_id: str, graph: str, runtime: RuntimeName | None = None, notify: Notify | None = None) -> Session:
    """The session of one graph; `runtime` None: the first of the chain that works here.

    `notify` is told in one sentence which runtime runs and why, once for each graph. Raises EnvironmentNotReady where
    the weights are not installed or the runtime that was asked for cannot run.
    """
    key = (model_id, graph, runtime)
    with _lock:
        if key not in _sessions:
            _sessions[key] = SharedSession(_open(model_id, graph, runtime, notify or _ignore))
        return _sessions[key]


def _open(model_id: str, graph: str, runtime: RuntimeName | None, notify: Notify) -> Session:
    from toolchain.models.weights import load_network
    from toolchain.runtimes.cache import engine_folder
    from toolchain.runtimes.chain import open_session

    if model_id not in _loaded:
        _loaded[model_id] = load_network(get_spec(model_id))
    return open_session(_loaded[model_id], graph, SessionOptions(), engine_folder(), runtime, notify)


def _ignore(_: str) -> None:
    """Nobody asked which runtime runs."""
