"""How the numbers of a runtime are compared with those of the network itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.models.networks.base import GraphModule, GraphSpec, Network
from toolchain.runtimes.base import Session

Arrays = Sequence[NDArray[np.floating]]

LEAST_COMPARED_PX = 40
"""Smaller pictures would hide what goes wrong between a network's scales."""


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences in the outputs' unit, over the sizes (height, width) in `sizes`.

    `to_float32`, `to_float64`: the runtime against torch; `float32_to_float64`: torch against itself, the share that
    is float32's own rounding.
    """

    to_float32: float
    to_float64: float
    float32_to_float64: float
    sizes: tuple[tuple[int, int], ...]


def parity_sizes(graph: GraphSpec) -> tuple[tuple[int, int], ...]:
    """Two small picture sizes; each height and width pair has one odd and one even multiple of `size_multiple`."""
    steps = -(-max(graph.least_size, LEAST_COMPARED_PX) // graph.size_multiple)
    return tuple((k * graph.size_multiple, (k + 1) * graph.size_multiple) for k in (steps, steps + 3))


def measure_parity(session: Session, network: Network, graph: str) -> Parity:
    """The session's graph beside torch in float32 and float64, at `parity_sizes`, on the network's own examples."""
    spec = network.graph(graph)
    exact = copy.deepcopy(network).double()
    names = [tensor.name for tensor in spec.inputs]
    worst = (0.0, 0.0, 0.0)
    for seed, (height, width) in enumerate(parity_sizes(spec)):
        inputs = network.example(graph, height, width, seed)
        outputs = session.run(dict(zip(names, (tensor.numpy() for tensor in inputs), strict=True)))
        found = [outputs[tensor.name] for tensor in spec.outputs]
        single = torch_outputs(network, graph, inputs)
        double = torch_outputs(exact, graph, tuple(tensor.double() for tensor in inputs))
        pairs = ((found, single), (found, double), (single, double))
        worst = tuple(max(old, largest_difference(a, b)) for old, (a, b) in zip(worst, pairs, strict=True))
    return Parity(*worst, sizes=parity_sizes(spec))


def torch_outputs(network: Network, graph: str, inputs: tuple[Tensor, ...]) -> list[NDArray[np.floating]]:
    """What torch computes on the CPU in the dtype of network and `inputs`."""
    with torch.inference_mode():
        outputs = GraphModule(network, graph)(*inputs)
    return [output.numpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]


def largest_difference(found: Arrays, wanted: Arrays) -> float:
    """Over all outputs. Infinite where a shape differs or a value is no number, so that nothing passes by it."""
    if [array.shape for array in found] != [array.shape for array in wanted]:
        return float("inf")
    pairs = zip(found, wanted, strict=True)
    worst = max(float(np.max(np.abs(np.subtract(a, b, dtype=np.float64)))) for a, b in pairs)
    return worst if np.isfinite(worst) else float("inf")
