"""What can be told of a typed ONNX file without the library that takes it: types, ends, operators, dynamic axes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import onnx
from onnx import TensorProto, shape_inference

from toolchain.errors import EngineBuildError
from toolchain.models.networks.base import GraphSpec, TensorSpec

# fmt: off
UNKNOWN_TO_TENSORRT = frozenset(
    {
        "BitShift", "ConcatFromSequence", "ConvInteger", "Det", "DynamicQuantizeLinear", "Hardmax",
        "MatMulInteger", "MaxRoiPool", "MaxUnpool", "Multinomial", "NegativeLogLikelihoodLoss",
        "OptionalGetElement", "OptionalHasElement", "QLinearConv", "QLinearMatMul", "RandomNormal",
        "RandomNormalLike", "ReverseSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
        "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss",
        "SplitToSequence", "StringNormalizer", "TfIdfVectorizer", "Unique",
    }
)
# fmt: on
"""Operators without support, or without support of dynamic shapes, in onnx-tensorrt's docs/operators.md."""


def lint_typed(path: Path, spec: GraphSpec | None = None) -> list[str]:
    """Complaints about a typed file, empty when it is fit to be built: one sentence each.

    Checked: the file is valid ONNX; inputs and outputs are float32; no operator mixes types that its definition ties
    together; no float64; only operators of the standard domain that are not known to be missing in TensorRT; with
    `spec`, names and axes are the graph's, dynamic where the graph says so.
    """
    try:
        model = inferred(onnx.load_model(str(path)))
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, EngineBuildError, ValueError, OSError) as error:
        return [f"not a valid ONNX file: {error}"]
    except Exception as error:  # protobuf's DecodeError: its module is not part of onnx's interface
        return [f"not an ONNX file ({type(error).__name__})"]
    types = value_types(model)
    complaints = [
        f"{v.name} is not float32" for v in _ends(model) if v.type.tensor_type.elem_type != TensorProto.FLOAT
    ]
    complaints += [f"{name} is float64" for name, kind in types.items() if kind == TensorProto.DOUBLE]
    for node in model.graph.node:
        complaints += _node_complaints(node, types, opset(model))
    if spec is not None:
        complaints += _axis_complaints(model.graph, spec)
    return complaints


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the type of every value; EngineBuildError where inference fails."""
    try:
        return shape_inference.infer_shapes(model, strict_mode=True)
    except shape_inference.InferenceError as error:
        raise EngineBuildError(f"An ONNX graph's types cannot be inferred ({error}): use another runtime") from error


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value; the model must have been through `inferred`."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operators; EngineBuildError where the model imports none."""
    for imported in model.opset_import:
        if imported.domain in ("", "ai.onnx"):
            return imported.version
    raise EngineBuildError("An ONNX graph imports no standard operators: export it anew")


def as_cast_inputs(node: onnx.NodeProto, version: int) -> set[int]:
    """Positions of the inputs whose type the operator's definition ties to its first output's."""
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    tied = schema.outputs[0].type_str
    formal = [schema.inputs[min(i, len(schema.inputs) - 1)] for i in range(len(node.input))]
    return {position for position, parameter in enumerate(formal) if parameter.type_str == tied}


def _ends(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [*model.graph.input, *model.graph.output]


def _node_complaints(node: onnx.NodeProto, types: dict[str, int], version: int) -> list[str]:
    where = f"{node.op_type} that makes {node.output[0]}"
    if node.domain not in ("", "ai.onnx"):
        return [f"{where} is of domain {node.domain}"]
    if node.op_type in UNKNOWN_TO_TENSORRT:
        return [f"{where} is not known to TensorRT"]
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    tied: dict[str, set[int]] = defaultdict(set)
    for formal, names in ((schema.inputs, node.input), (schema.outputs, node.output)):
        for position, name in enumerate(names):
            parameter = formal[min(position, len(formal) - 1)]
            if name and parameter.is_homogeneous:
                tied[parameter.type_str].add(types.get(name, TensorProto.UNDEFINED))
    if any(TensorProto.UNDEFINED in kinds for kinds in tied.values()):
        return [f"{where} has a value of unknown type"]
    return [f"{where} mixes types" for kinds in tied.values() if len(kinds) > 1]


def _axis_complaints(graph: onnx.GraphProto, spec: GraphSpec) -> list[str]:
    complaints: list[str] = []
    for values, tensors in ((graph.input, spec.inputs), (graph.output, spec.outputs)):
        if [value.name for value in values] != [tensor.name for tensor in tensors]:
            complaints.append(f"the ends are {[value.name for value in values]}")
            continue
        for value, tensor in zip(values, tensors, strict=True):
            if not _same_axes(value, tensor):
                complaints.append(f"the axes of {value.name} are not {tensor.shape}")
    return complaints


def _same_axes(value: onnx.ValueInfoProto, tensor: TensorSpec) -> bool:
    dims = value.type.tensor_type.shape.dim
    return len(dims) == len(tensor.shape) and all(
        bool(dim.dim_param) if isinstance(axis, str) else dim.dim_value == axis
        for dim, axis in zip(dims, tensor.shape, strict=True)
    )
