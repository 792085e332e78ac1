"""A float32 ONNX graph as a typed float16 one, for runtimes that take the graph's own types (TensorRT 11).

Convolutions and products with weights are float16, and so is what lies between them; statistics, normalisation,
divisions, powers, exponentials and attention stay float32, as does everything from an output back to its last
convolution: final PQ codes never pass through half precision. Inputs and outputs stay float32.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference

from toolchain.errors import EngineBuildError
from toolchain.files import sha256_file
from toolchain.models.networks.base import GraphSpec
from toolchain.runtimes.base import LoadedNetwork
from toolchain.runtimes.cache import artefact, facts
from toolchain.runtimes.libraries import load_onnxruntime
from toolchain.runtimes.typed_lint import as_cast_inputs, inferred, lint_typed, opset, value_types

RECIPE = "typed float16, version 1"
"""Part of cache keys: a change of what becomes float16 changes it."""

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Half precision wherever one operand is a weight; without one they are attention, whose sums are long."""

# fmt: off
FOLLOWING = frozenset(
    {
        "Add", "Sub", "Mul", "Neg", "Max", "Min", "Where", "Clip", "Relu", "LeakyRelu", "PRelu",
        "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Gelu", "Concat", "Split", "Slice",
        "Gather", "Pad", "Tile", "Expand", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze",
        "Identity", "Dropout", "DepthToSpace", "SpaceToDepth", "Resize",
    }
)
# fmt: on
"""Half precision where all they are given is; all other operators are float32."""

HALF_MAX = 65504.0

MAX_DIFFERENCE = 2 / 1023
MEAN_DIFFERENCE = 0.25 / 1023
"""Allowed against float32 torch: of the PQ signal, i.e. two 10-bit codes at most and a quarter on average; for other
outputs as a share of their largest magnitude."""


@dataclass(frozen=True)
class TypedParity:
    """Largest and mean difference from float32 torch over `sizes` in the unit of `MAX_DIFFERENCE`; what is half.

    Measured in ONNX Runtime on the CPU, where float16 operators compute in float32 and round each result.
    """

    largest: float
    mean: float
    sizes: tuple[tuple[int, int], ...]
    half_nodes: int
    float_nodes: int
    casts: int


@dataclass(frozen=True)
class TypedModel:
    """A self-contained ONNX file with float32 ends."""

    path: Path
    sha256: str
    parity: TypedParity


def typed_fp16(loaded: LoadedNetwork, graph: str, cache: Path) -> TypedModel:
    """The typed file of one graph from the cache, made of the exported one if it is not there; parity in its sidecar.

    Raises EngineBuildError when the graph cannot be typed, fails the lint or differs from torch more than allowed.
    """
    from toolchain.runtimes.export import export_onnx

    exported = export_onnx(loaded, graph, cache)
    spec = loaded.network.graph(graph)
    key = {"recipe": RECIPE, "onnx_sha256": exported.sha256, "onnx": version("onnx")}

    def build(path: Path) -> dict[str, object]:
        onnx.save_model(typed(onnx.load_model(str(exported.path))), str(path))
        complaints = lint_typed(path, spec)
        if complaints:
            raise EngineBuildError(f"{_what(loaded, graph)} cannot be typed ({'; '.join(complaints)}): use fp32.")
        return {"parity": asdict(_checked_parity(loaded, spec, path))}

    path = artefact(cache, key, ".onnx", build, lambda path: not lint_typed(path, spec))
    stored: dict[str, Any] = dict(facts(path)["parity"])  # type: ignore[call-overload]
    stored["sizes"] = tuple(tuple(size) for size in stored["sizes"])
    return TypedModel(path, sha256_file(path), TypedParity(**stored))


def typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The float16 version of a float32 model; the model itself is not changed.

    Raises EngineBuildError for control flow, and where a type cannot be inferred.
    """
    model = inferred(inliner.inline_local_functions(model))
    _constants_to_initializers(model.graph)
    return _Typing(model).rewritten()


class _Typing:
    """One pass over a graph in its order: which nodes are half, and the casts between the two halves."""

    def __init__(self, model: onnx.ModelProto):
        self._model = model
        self._graph = model.graph
        self._opset = opset(model)
        self._types = value_types(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._kept = _end_nodes(model.graph)
        self._half_values: set[str] = set()
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._halved: list[onnx.TensorProto] = []

    def rewritten(self) -> onnx.ModelProto:
        for index, node in enumerate(self._graph.node):
            if any(attribute.HasField("g") for attribute in node.attribute):
                raise EngineBuildError(f"Operator {node.op_type} holds a graph and cannot be typed: use fp32.")
            self._add(node, index not in self._kept and self._becomes_half(node))
        used = {name for node in self._nodes for name in node.input}
        weights = [tensor for tensor in (*self._graph.initializer, *self._halved) if tensor.name in used]
        graph = helper.make_graph(
            self._nodes, self._graph.name, list(self._graph.input), list(self._graph.output), weights
        )
        rewritten = helper.make_model(
            graph, opset_imports=list(self._model.opset_import), ir_version=self._model.ir_version
        )
        onnx.checker.check_model(rewritten)
        return rewritten

    def _becomes_half(self, node: onnx.NodeProto) -> bool:
        floats = [name for name in node.input if self._types.get(name) == TensorProto.FLOAT]
        weights = [self._weights[name] for name in floats if name in self._weights]
        if any(np.abs(numpy_helper.to_array(tensor)).max(initial=0) > HALF_MAX for tensor in weights):
            return False
        if node.op_type in WEIGHTED:
            return bool(weights)
        moving = [name for name in floats if name not in self._weights]
        return node.op_type in FOLLOWING and bool(moving) and all(name in self._half_values for name in moving)

    def _add(self, node: onnx.NodeProto, half: bool) -> None:
        added = onnx.NodeProto()
        added.CopyFrom(node)
        castable = as_cast_inputs(node, self._opset)
        for position, name in enumerate(node.input):
            if half and position in castable and self._types.get(name) == TensorProto.FLOAT:
                added.input[position] = self._as_half(name)
            elif not half and name in self._half_values:
                added.input[position] = self._cast(name, TensorProto.FLOAT)
        self._nodes.append(added)
        if half:
            self._half_values.update(name for name in node.output if self._types.get(name) == TensorProto.FLOAT)

    def _as_half(self, name: str) -> str:
        if name in self._half_values:
            return name
        if name not in self._weights:
            return self._cast(name, TensorProto.FLOAT16)
        halved = f"{name}_float16"
        if (name, TensorProto.FLOAT16) not in self._casts:
            self._casts[name, TensorProto.FLOAT16] = halved
            array = numpy_helper.to_array(self._weights[name]).astype(np.float16)
            self._halved.append(numpy_helper.from_array(array, halved))
        return halved

    def _cast(self, name: str, to: int) -> str:
        if (name, to) not in self._casts:
            cast = f"{name}_{'float16' if to == TensorProto.FLOAT16 else 'float32'}"
            self._casts[name, to] = cast
            self._nodes.append(helper.make_node("Cast", [name], [cast], name=f"cast_{cast}", to=to))
        return self._casts[name, to]


def _end_nodes(graph: onnx.GraphProto) -> set[int]:
    """Indices of the nodes from each output back to, and with, the last weighted one on every way."""
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    waiting = [output.name for output in graph.output]
    kept: set[int] = set()
    while waiting:
        index = producer.get(waiting.pop())
        if index is not None and index not in kept:
            kept.add(index)
            if graph.node[index].op_type not in WEIGHTED:
                waiting += graph.node[index].input
    return kept


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    """So that a constant is a weight wherever the exporter put it."""
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.node.remove(node)


def _checked_parity(loaded: LoadedNetwork, spec: GraphSpec, path: Path) -> TypedParity:
    from toolchain.runtimes.parity import parity_sizes, torch_outputs

    session = _literal_session(path)
    sizes, largest, means = parity_sizes(spec), 0.0, []
    for seed, size in enumerate(sizes):
        inputs = loaded.network.example(spec.name, *size, seed)
        feeds = {t.name: tensor.numpy() for t, tensor in zip(spec.inputs, inputs, strict=True)}
        wanted = torch_outputs(loaded.network, spec.name, inputs)
        found = session.run(None, feeds)
        differences = [_difference(a, b, spec) for a, b in zip(found, wanted, strict=True)]
        largest = max([largest, *(float(np.nan_to_num(d, nan=np.inf).max()) for d in differences)])
        means += [float(difference.mean()) for difference in differences]
    if not (largest <= MAX_DIFFERENCE and max(means) <= MEAN_DIFFERENCE):
        raise EngineBuildError(
            f"{_what(loaded, spec.name)} in float16 differs from float32 by at most {largest:.2g}, on average "
            f"{max(means):.2g}; {MAX_DIFFERENCE:.2g} and {MEAN_DIFFERENCE:.2g} are allowed: use fp32."
        )
    return TypedParity(largest, max(means), sizes, *_census(path))


def _difference(found: NDArray[np.float32], wanted: NDArray[np.floating], spec: GraphSpec) -> NDArray[np.float64]:
    scale = 1.0 if spec.pq_output else max(float(np.abs(wanted).max()), 1e-6)
    return np.abs(found.astype(np.float64) - wanted) / scale


def _literal_session(path: Path) -> Any:
    """A CPU session that leaves every cast where it is: fused away, they would hide the rounding."""
    onnxruntime = load_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def _census(path: Path) -> tuple[int, int, int]:
    """(float16 nodes, float32 nodes, casts)."""
    model = shape_inference.infer_shapes(onnx.load_model(str(path)))
    types = value_types(model)
    produced = [types.get(n.output[0]) for n in model.graph.node if n.op_type != "Cast"]
    casts = sum(node.op_type == "Cast" for node in model.graph.node)
    return produced.count(TensorProto.FLOAT16), produced.count(TensorProto.FLOAT), casts


def _what(loaded: LoadedNetwork, graph: str) -> str:
    return f"Graph {graph!r} of model {loaded.model_id!r}"
