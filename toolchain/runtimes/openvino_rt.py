"""OpenVINO on the CPU: the default where there is no NVIDIA GPU."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import EngineBuildError, EnvironmentNotReady
from toolchain.runtimes.base import Availability, LoadedNetwork, RuntimeName, SessionOptions, Tensors
from toolchain.runtimes.inputs import checked_inputs, named_outputs
from toolchain.runtimes.libraries import load_openvino

if TYPE_CHECKING:
    import openvino

    from toolchain.models.networks.base import GraphSpec

COMPILED_SHAPES = 3
"""How many input shapes a session keeps compiled: the film's, and those of a preview or an odd last tile."""


@dataclass(frozen=True)
class OpenVinoRuntime:
    """Float32, or bf16 where it is allowed and the graph gives no final PQ. fp16 is not a CPU precision: float32."""

    name: RuntimeName = "openvino"

    def available(self) -> Availability:
        if find_spec("openvino") is None:
            return Availability(False, "openvino is not installed: install sdr2hdr-agent anew")
        try:
            openvino = load_openvino()
            core = openvino.Core()
        except (ImportError, OSError, RuntimeError) as error:
            return Availability(False, f"openvino cannot be loaded ({error}): install sdr2hdr-agent anew")
        if "CPU" not in core.available_devices:
            return Availability(False, f"openvino {_release(openvino)} finds no CPU plugin: reinstall it")
        device = core.get_property("CPU", "FULL_DEVICE_NAME")
        return Availability(True, f"{str(device).strip()} (openvino {_release(openvino)})")

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> OpenVinoSession:
        from toolchain.runtimes.export import export_onnx

        ready = self.available()
        if not ready.ready:
            raise EnvironmentNotReady(f"Runtime {self.name} cannot run here: {ready.reason}.")
        model = export_onnx(loaded, graph, cache)
        return OpenVinoSession(model.path, loaded.network.graph(graph), options)


class OpenVinoSession:
    """One graph in OpenVINO.

    With `options.shape` each input shape that comes is compiled for itself, the asked one at once, and the last
    `COMPILED_SHAPES` are kept; without it one compiled model takes every shape.
    """

    def __init__(self, path: Path, spec: GraphSpec, options: SessionOptions):
        self._openvino = load_openvino()
        self._core = self._openvino.Core()
        self._path = path
        self._spec = spec
        self._options = options
        self._requests: OrderedDict[tuple[tuple[int, ...], ...] | None, openvino.InferRequest] = OrderedDict()
        self._first = self._request(self._asked_shapes())

    @property
    def runtime(self) -> RuntimeName:
        return "openvino"

    @property
    def provider(self) -> str:
        compiled = self._first.get_compiled_model()
        devices = ", ".join(compiled.get_property("EXECUTION_DEVICES"))
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return f"{devices} (OpenVINO {_release(self._openvino)}, {precision})"

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        arrays = checked_inputs(self._spec, inputs)
        shapes = tuple(array.shape for array in arrays) if self._options.shape else None
        request = self._request(shapes)
        names = [tensor.name for tensor in self._spec.inputs]
        results = request.infer(dict(zip(names, arrays, strict=True)), share_inputs=True)
        # The request's own memory is used again by the next call.
        return named_outputs(self._spec, [np.array(results[tensor.name]) for tensor in self._spec.outputs])

    def _asked_shapes(self) -> tuple[tuple[int, ...], ...] | None:
        if self._options.shape is None:
            return None
        height, width = self._options.shape
        sizes = {"batch": 1, "height": height, "width": width}
        return tuple(tuple(a if isinstance(a, int) else sizes[a] for a in t.shape) for t in self._spec.inputs)

    def _request(self, shapes: tuple[tuple[int, ...], ...] | None) -> openvino.InferRequest:
        if shapes not in self._requests:
            self._requests[shapes] = self._compile(shapes).create_infer_request()
            if len(self._requests) > COMPILED_SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shapes)
        return self._requests[shapes]

    def _compile(self, shapes: tuple[tuple[int, ...], ...] | None) -> openvino.CompiledModel:
        try:
            model = self._core.read_model(self._path)
            if shapes is not None:
                model.reshape({t.name: list(s) for t, s in zip(self._spec.inputs, shapes, strict=True)})
            return self._core.compile_model(model, "CPU", self._properties())
        except RuntimeError as error:  # what openvino raises for everything
            raise EngineBuildError(f"OpenVINO cannot compile {self._path}: {error}") from error

    def _properties(self) -> dict[str, Any]:
        # Final PQ codes need more than the eight bits of a bf16's mantissa.
        bf16 = self._options.precision == "bf16" and not self._spec.pq_output
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self._options.threads:
            properties["INFERENCE_NUM_THREADS"] = self._options.threads
        return properties


def _release(openvino: ModuleType) -> str:
    """2026.4.0 of 2026.4.0-22159-..."""
    return str(openvino.__version__).partition("-")[0]
