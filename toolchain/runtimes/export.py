"""A network's graph as one ONNX file with dynamic sizes, and the proof that it computes what the network computes."""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx
import torch

from toolchain.errors import EngineBuildError
from toolchain.files import sha256_file
from toolchain.models.networks.base import GraphModule, GraphSpec, Network
from toolchain.runtimes.base import LoadedNetwork
from toolchain.runtimes.cache import artefact, facts
from toolchain.runtimes.inputs import PICTURE_AXES
from toolchain.runtimes.onnx_rt import OnnxSession, open_inference_session
from toolchain.runtimes.parity import Parity, measure_parity, parity_sizes

OPSET = 18
"""What torch's exporter writes without conversion, and OpenVINO, ONNX Runtime and TensorRT 11 read."""


@dataclass(frozen=True)
class OnnxModel:
    """A self-contained ONNX file: weights inside, float32, dynamic axes named as in the graph's `TensorSpec`s."""

    path: Path
    sha256: str
    parity: Parity


def export_onnx(loaded: LoadedNetwork, graph: str, cache: Path) -> OnnxModel:
    """The graph's ONNX file from the cache, exported if it is not there; its parity is kept in the file's sidecar.

    A file that is truncated, altered or made by other versions is made anew. Raises EngineBuildError when the graph
    cannot be exported or differs from torch by more than its tolerance, EnvironmentNotReady when the disk is full.
    """
    spec = loaded.network.graph(graph)

    def build(path: Path) -> dict[str, object]:
        _export(loaded, spec, path)
        return {"parity": asdict(_checked_parity(loaded, spec, path))}

    path = artefact(cache, _cache_key(loaded, graph), ".onnx", build, _is_onnx)
    parity: dict[str, Any] = dict(facts(path)["parity"])  # type: ignore[call-overload]
    sizes = tuple((height, width) for height, width in parity.pop("sizes"))
    return OnnxModel(path, sha256_file(path), Parity(**parity, sizes=sizes))


def _cache_key(loaded: LoadedNetwork, graph: str) -> dict[str, object]:
    return {
        "model": loaded.model_id,
        "graph": graph,
        "weights": loaded.weights_sha256,
        "source": _source_sha256(loaded.network),
        "constants": _constants_sha256(loaded.network),
        "opset": OPSET,
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxscript")},
    }


def _source_sha256(network: Network) -> str:
    """Of every file that defines networks, and of the modules this one's layers come from where those are others."""
    package = [path for path in files("toolchain.models.networks").iterdir() if path.name.endswith(".py")]
    texts = {f"toolchain.models.networks.{path.name[:-3]}": path.read_text(encoding="utf-8") for path in package}
    for name in {type(layer).__module__ for layer in network.modules()} - texts.keys():
        if name.partition(".")[0] != "torch":
            texts[name] = inspect.getsource(sys.modules[name])
    return hashlib.sha256("".join(name + texts[name] for name in sorted(texts)).encode()).hexdigest()


def _constants_sha256(network: Network) -> str:
    """Of the buffers: those that are no weights are made of numbers that other modules may define."""
    digest = hashlib.sha256()
    for name, buffer in sorted(network.named_buffers()):
        digest.update(f"{name} {tuple(buffer.shape)} {buffer.dtype} ".encode() + buffer.cpu().numpy().tobytes())
    return digest.hexdigest()


def _is_onnx(path: Path) -> bool:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError):
        return False
    return True


def _export(loaded: LoadedNetwork, spec: GraphSpec, path: Path) -> None:
    height, width = parity_sizes(spec)[1]
    # A batch of one would be taken for a constant.
    inputs = tuple(
        tensor.expand(2, *tensor.shape[1:]).clone() if declared.shape[0] == "batch" else tensor
        for tensor, declared in zip(loaded.network.example(spec.name, height, width), spec.inputs, strict=True)
    )
    with _quiet():
        try:
            program = torch.onnx.export(
                GraphModule(loaded.network, spec.name).eval(),
                inputs,
                input_names=[tensor.name for tensor in spec.inputs],
                output_names=[tensor.name for tensor in spec.outputs],
                dynamic_shapes={"inputs": _dynamic_shapes(spec)},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter raises what it meets; the cause is in its last words
            raise EngineBuildError(
                f"Graph {spec.name!r} of model {loaded.model_id!r} cannot be exported to ONNX "
                f"({_last_words(error)}): use runtime torch."
            ) from error
    assert program is not None  # noqa: S101 - dynamo=True always returns the program
    model = program.model_proto
    _name_axes(model, spec)
    _forget_origin(model)
    onnx.save_model(model, str(path))


def _dynamic_shapes(spec: GraphSpec) -> tuple[dict[int, Any], ...]:
    """Which axes may vary, with what is promised of them: heights and widths are multiples."""
    names = {axis for tensor in spec.inputs for axis in tensor.shape if isinstance(axis, str)}
    axes = {name: _axis(name, spec) for name in sorted(names)}
    return tuple({i: axes[name] for i, name in enumerate(t.shape) if isinstance(name, str)} for t in spec.inputs)


def _axis(name: str, spec: GraphSpec) -> Any:
    multiple = spec.size_multiple if name in PICTURE_AXES else 1
    least = -(-spec.least_size // multiple) if name in PICTURE_AXES else 1
    if multiple == 1:
        return torch.export.Dim(name, min=least)
    return multiple * torch.export.Dim(f"{name}_steps", min=least)


def _name_axes(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """Inputs and outputs carry the axis names of the graph's specs, not the exporter's expressions."""
    values = [*model.graph.input, *model.graph.output]
    for value, tensor in zip(values, (*spec.inputs, *spec.outputs), strict=True):
        for dim, axis in zip(value.type.tensor_type.shape.dim, tensor.shape, strict=True):
            if isinstance(axis, str):
                dim.dim_param = axis
            elif dim.dim_value != axis:
                dim.dim_value = axis
    del model.graph.value_info[:]  # written in terms of the exporter's names; readers infer shapes themselves


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drops the stack traces that the exporter keeps at each node: half the file, and folders of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in model.graph.initializer:
        tensor.doc_string = ""


def _checked_parity(loaded: LoadedNetwork, spec: GraphSpec, path: Path) -> Parity:
    """ONNX Runtime beside torch; EngineBuildError above the graph's tolerance."""
    session = OnnxSession("onnxruntime", open_inference_session(path, "CPUExecutionProvider"), spec)
    parity = measure_parity(session, loaded.network, spec.name)
    if parity.to_float32 > spec.tolerance:
        raise EngineBuildError(
            f"Graph {spec.name!r} of model {loaded.model_id!r} differs between ONNX Runtime and torch by "
            f"{parity.to_float32:.2g}, {spec.tolerance:.2g} is allowed: use runtime torch and report it."
        )
    return parity


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its own developers much that no user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _last_words(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
