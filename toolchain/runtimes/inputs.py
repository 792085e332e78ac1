"""What every session asks of its inputs before it runs a graph, so that each runtime refuses the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UsageError
from toolchain.models.networks.base import GraphSpec, TensorSpec
from toolchain.runtimes.base import Tensors

PICTURE_AXES = ("height", "width")
"""The dynamic axes that `GraphSpec.size_multiple` and `least_size` hold for."""


def checked_inputs(graph: GraphSpec, inputs: Tensors) -> list[NDArray[np.float32]]:
    """The graph's inputs in its own order, C-contiguous.

    Raises UsageError for a missing or unknown name, another dtype than float32, axes that differ from the graph's
    (one name stands for one size in all inputs), an empty axis, a height or width that is too small or no multiple.
    """
    expected = [tensor.name for tensor in graph.inputs]
    if sorted(inputs) != sorted(expected):
        raise UsageError(f"Graph {graph.name!r} was given inputs {sorted(inputs)}: it takes {expected}.")
    sizes: dict[str, int] = {}
    for tensor in graph.inputs:
        _check_tensor(graph, tensor, inputs[tensor.name], sizes)
    return [np.ascontiguousarray(inputs[name]) for name in expected]


def named_outputs(graph: GraphSpec, outputs: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """What a session returns: float32, C-contiguous, by the graph's names."""
    names = [tensor.name for tensor in graph.outputs]
    arrays = (np.ascontiguousarray(array, dtype=np.float32) for array in outputs)
    return dict(zip(names, arrays, strict=True))


def _check_tensor(graph: GraphSpec, tensor: TensorSpec, array: NDArray[np.float32], sizes: dict[str, int]) -> None:
    where = f"Input {tensor.name!r} of graph {graph.name!r}"
    if array.dtype != np.float32:
        raise UsageError(f"{where} is {array.dtype}: float32 is needed.")
    if array.ndim != len(tensor.shape):
        raise UsageError(f"{where} has shape {array.shape}: {len(tensor.shape)} axes {tensor.shape} are needed.")
    for axis, size in zip(tensor.shape, array.shape, strict=True):
        wanted = axis if isinstance(axis, int) else sizes.setdefault(axis, size)
        if size != wanted:
            raise UsageError(f"{where} has shape {array.shape}: {wanted} is needed where it has {size}.")
        if isinstance(axis, str):
            _check_size(where, axis, size, graph)


def _check_size(where: str, axis: str, size: int, graph: GraphSpec) -> None:
    least, multiple = (graph.least_size, graph.size_multiple) if axis in PICTURE_AXES else (1, 1)
    if size < least or size % multiple:
        raise UsageError(f"{where} has {axis} {size}: at least {least}, in steps of {multiple}, is needed; pad it.")
