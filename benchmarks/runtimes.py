"""How far each runtime's numbers are from the networks' own, for every installed network.

    python -m benchmarks.runtimes [MODEL ...] [--out docs/benchmarks/runtime_parity.json]

Prints a table and, with --out, writes it with the machine. Speed and memory: `agent models bench`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe_machine, write_report
from toolchain.errors import EnvironmentNotReady
from toolchain.models.networks.registry import network_ids
from toolchain.models.registry import get_spec
from toolchain.models.weights import load_network
from toolchain.runtimes.base import LoadedNetwork, Precision, SessionOptions
from toolchain.runtimes.cache import engine_folder
from toolchain.runtimes.parity import measure_parity
from toolchain.runtimes.registry import RUNTIMES


@dataclass(frozen=True)
class ParityRow:
    """Largest absolute differences in the output's unit; `tolerance`: what the graph allows a float32 runtime."""

    model_id: str
    graph: str
    runtime: str
    provider: str
    precision: Precision
    to_float32: float
    to_float64: float
    float32_to_float64: float
    tolerance: float


def parity_rows(loaded: LoadedNetwork, cache: Path) -> Iterator[ParityRow]:
    """Every graph on every runtime at hand, and OpenVINO with bf16 allowed as well."""
    for graph in loaded.network.graphs:
        for runtime in RUNTIMES:
            precisions: tuple[Precision, ...] = ("fp32", "bf16") if runtime.name == "openvino" else ("fp32",)
            for precision in precisions if runtime.available().ready else ():
                session = runtime.open(loaded, graph.name, SessionOptions(precision), cache)
                found = measure_parity(session, loaded.network, graph.name)
                differences = (found.to_float32, found.to_float64, found.float32_to_float64)
                where = (loaded.model_id, graph.name, runtime.name, session.provider, precision)
                yield ParityRow(*where, *differences, tolerance=graph.tolerance)


def main() -> None:
    parser = argparse.ArgumentParser(description="parity of the runtimes with torch")
    parser.add_argument("models", nargs="*", help="default: every network that is installed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: list[ParityRow] = []
    head = ("model", "graph", "runtime", "precision", "to float32", "to float64", "allowed")
    sys.stdout.write(f"| {' | '.join(head)} |\n{'|---' * len(head)}|\n")
    for model_id in options.models or network_ids():
        try:
            loaded = load_network(get_spec(model_id))
        except EnvironmentNotReady as error:
            sys.stderr.write(f"{model_id}: not measured, {error}\n")
            continue
        for row in parity_rows(loaded, engine_folder()):
            rows.append(row)
            figures = f"{row.to_float32:.1e} | {row.to_float64:.1e} | {row.tolerance:.0e}"
            sys.stdout.write(f"| {row.model_id} | {row.graph} | {row.runtime} | {row.precision} | {figures} |\n")
            sys.stdout.flush()
    if options.out:
        write_report(options.out, {"rows": [asdict(row) for row in rows], **describe_machine()})


if __name__ == "__main__":
    main()
