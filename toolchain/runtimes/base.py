"""The contract of a runtime: whether it can run here, and a session that runs one graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.models.spec import RuntimeName

if TYPE_CHECKING:  # torch is imported by what runs networks, not by what lists them
    from toolchain.models.networks.base import Network

RUNTIME_NAMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
Precision = Literal["fp32", "fp16", "bf16"]
Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights in place. `weights_sha256`: of the weights file; part of every cache key."""

    model_id: str
    network: Network
    weights_sha256: str


@dataclass(frozen=True)
class Availability:
    """Whether a runtime can run on this machine; `reason` says in one sentence why not, or on what it runs."""

    ready: bool
    reason: str


@dataclass(frozen=True)
class SessionOptions:
    """`precision`: of the arithmetic inside; inputs and outputs are float32 always, and a graph whose output is final
    PQ keeps float32 ends. `threads`: CPU threads, 0 = the runtime's own choice. `shape`: (height, width) that will be
    used most, for engines built for shapes."""

    precision: Precision = "fp32"
    threads: int = 0
    shape: tuple[int, int] | None = None


class Session(Protocol):
    """One graph ready to run. Safe to call from one thread at a time."""

    @property
    def runtime(self) -> RuntimeName: ...

    @property
    def provider(self) -> str:
        """What really runs it, as the library itself reports: "CPU (OpenVINO 2026.4)", "CUDAExecutionProvider" ..."""
        ...

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Outputs by name, float32, C-contiguous. Raises UsageError for inputs that do not fit the graph."""
        ...


class Runtime(Protocol):
    """One way to run graphs. Importing a runtime's module never imports its library."""

    @property
    def name(self) -> RuntimeName: ...

    def available(self) -> Availability: ...

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> Session:
        """Raises EnvironmentNotReady (or EngineBuildError) when the graph cannot be built here."""
        ...
