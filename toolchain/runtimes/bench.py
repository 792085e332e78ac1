"""What one graph costs on one runtime: time and processor time a frame, and the memory of a process for it alone."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from toolchain.errors import EnvironmentNotReady
from toolchain.runtimes.base import LoadedNetwork, SessionOptions
from toolchain.runtimes.cache import engine_folder
from toolchain.runtimes.registry import get_runtime
from toolchain.runtimes.tensorrt_engine import graph_size

Result = TypeVar("Result")

WARM_UP_RUNS = 2
"""The first runs fill caches and choose kernels."""


@dataclass(frozen=True)
class BenchRow:
    """Figures of one graph for pictures of `height` x `width`, without what it takes to open a session.

    Times are of one `Session.run`: median and 95th percentile on the clock, and the median of the processor time of
    all threads. `peak_rss_mib`: highest resident memory of the process, libraries and network included.
    """

    model_id: str
    graph: str
    runtime: str
    provider: str
    precision: str
    height: int
    width: int
    median_ms: float
    p95_ms: float
    cpu_ms: float
    peak_rss_mib: float


def measure(
    loaded: LoadedNetwork,
    graph: str,
    runtime: str,
    height: int,
    width: int,
    frames: int,
    options: SessionOptions | None = None,
    cache: Path | None = None,
) -> BenchRow:
    """One row, measured in a process of its own after another one has filled the cache.

    `height`, `width`: the picture's; a conditioner sees it reduced, and sizes are padded to the graph's multiple.
    Raises EnvironmentNotReady (or EngineBuildError) when the runtime cannot run it here or runs out of memory.
    """
    arguments = (loaded, graph, runtime, options or SessionOptions(), cache or engine_folder())
    _in_own_process(_fill_cache, *arguments)
    return _in_own_process(_measure, *arguments, height, width, frames)


def _in_own_process(function: Callable[..., Result], *arguments: object) -> Result:
    # Not forked: a fork would count the caller's memory, and torch's threads do not survive one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise EnvironmentNotReady("the measured process was killed, probably for lack of memory") from error


def _fill_cache(loaded: LoadedNetwork, graph: str, runtime: str, options: SessionOptions, cache: Path) -> None:
    get_runtime(runtime).open(loaded, graph, options, cache)


def _measure(
    loaded: LoadedNetwork,
    graph: str,
    runtime: str,
    options: SessionOptions,
    cache: Path,
    height: int,
    width: int,
    frames: int,
) -> BenchRow:
    session = get_runtime(runtime).open(loaded, graph, options, cache)
    multiple = loaded.network.graph(graph).size_multiple
    padded = [-(-size // multiple) * multiple for size in graph_size(loaded.network, graph, height, width)]
    example = loaded.network.example(graph, *padded)
    names = (tensor.name for tensor in loaded.network.graph(graph).inputs)
    inputs = {name: tensor.numpy() for name, tensor in zip(names, example, strict=True)}
    wall_ms, cpu_ms = [], []
    for _ in range(WARM_UP_RUNS + frames):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        session.run(inputs)
        wall_ms.append((time.perf_counter() - wall_s) * 1e3)
        cpu_ms.append((time.process_time() - cpu_s) * 1e3)
    return BenchRow(
        model_id=loaded.model_id,
        graph=graph,
        runtime=runtime,
        provider=session.provider,
        precision=options.precision,
        height=height,
        width=width,
        median_ms=statistics.median(wall_ms[WARM_UP_RUNS:]),
        p95_ms=float(np.percentile(wall_ms[WARM_UP_RUNS:], 95)),
        cpu_ms=statistics.median(cpu_ms[WARM_UP_RUNS:]),
        peak_rss_mib=_peak_rss_mib(),
    )


def _peak_rss_mib() -> float:
    """Of this program alone: getrusage would also count what the process held before it became this program."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["VmHWM"].split()[0]) / 1024
