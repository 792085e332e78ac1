"""Open sessions of the catalogue's networks, one a process for each graph: weights are read and graphs built once."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from toolchain.models.spec import ModelSpec, RuntimeName
from toolchain.runtimes.base import LoadedNetwork, Precision, Session, SessionOptions, Tensors

Shape = tuple[int, int]


class SharedSession:
    """A session that any thread may call; calls wait for each other, for a session uses all cores by itself."""

    def __init__(self, session: Session):
        self._session = session
        self._turn = threading.Lock()

    @property
    def runtime(self) -> RuntimeName:
        return self._session.runtime

    @property
    def provider(self) -> str:
        return self._session.provider

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        with self._turn:
            return self._session.run(inputs)


_lock = threading.Lock()
_loaded: dict[str, LoadedNetwork] = {}
_sessions: dict[tuple[str, str, RuntimeName | None, Shape | None], SharedSession] = {}
_told: list[str] = []


def session(model_id: str, graph: str, runtime: RuntimeName | None = None, shape: Shape | None = None) -> Session:
    """The session of one graph; `runtime` None: the first of the chain that works here. `shape`: (height, width) that
    will be used most.

    Raises EnvironmentNotReady where the weights are not installed or the runtime that was asked for cannot run.
    """
    key = (model_id, graph, runtime, shape)
    with _lock:
        if key not in _sessions:
            _sessions[key] = SharedSession(_open(model_id, graph, runtime, shape))
        return _sessions[key]


def running() -> tuple[str, ...]:
    """What this process's networks run on and why, one sentence a graph, in the order they were opened."""
    with _lock:
        return tuple(_told)


def _open(model_id: str, graph: str, runtime: RuntimeName | None, shape: Shape | None) -> Session:
    from toolchain.models.registry import get_spec
    from toolchain.models.weights import load_network
    from toolchain.runtimes.cache import engine_folder
    from toolchain.runtimes.chain import open_session

    spec = get_spec(model_id)
    if model_id not in _loaded:
        _loaded[model_id] = load_network(spec)
    options = SessionOptions(precision=_precision(spec, runtime), shape=shape)
    return open_session(_loaded[model_id], graph, options, engine_folder(), runtime, _told.append)


def _precision(spec: ModelSpec, runtime: RuntimeName | None) -> Precision:
    """Half precision where TensorRT runs a network that was found to bear it; a CPU gains little and stays exact."""
    from toolchain.runtimes.registry import get_runtime

    runs_tensorrt = runtime in (None, "tensorrt") and get_runtime("tensorrt").available().ready
    return "fp16" if runs_tensorrt and "fp16" in spec.precisions else "fp32"
