"""ONNX Runtime on the CPU, and on an NVIDIA GPU (not run on hardware yet)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import EngineBuildError, EnvironmentNotReady
from toolchain.runtimes.base import Availability, LoadedNetwork, RuntimeName, SessionOptions, Tensors
from toolchain.runtimes.inputs import checked_inputs, named_outputs
from toolchain.runtimes.libraries import load_onnxruntime

if TYPE_CHECKING:
    import onnxruntime

    from toolchain.models.networks.base import GraphSpec

_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    "CPUExecutionProvider": {},
    # TensorFloat-32 keeps ten bits of a float32's mantissa: not the same numbers.
    "CUDAExecutionProvider": {"use_tf32": "0"},
}


@dataclass(frozen=True)
class OnnxRuntime:
    """Computes in float32 whatever precision was allowed: the ONNX file is a float32 one."""

    name: RuntimeName
    execution_provider: str

    def available(self) -> Availability:
        if find_spec("onnxruntime") is None:
            return Availability(False, "onnxruntime is not installed: install sdr2hdr-agent anew")
        try:
            onnxruntime = load_onnxruntime()
        except (ImportError, OSError) as error:
            return Availability(False, f"onnxruntime cannot be loaded ({error}): install sdr2hdr-agent anew")
        if self.execution_provider in onnxruntime.get_available_providers():
            return Availability(True, f"{self.execution_provider} (onnxruntime {onnxruntime.__version__})")
        return Availability(
            False, f"onnxruntime {onnxruntime.__version__} is built without {self.execution_provider}"
        )

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> OnnxSession:
        from toolchain.runtimes.export import export_onnx

        ready = self.available()
        if not ready.ready:
            raise EnvironmentNotReady(f"Runtime {self.name} cannot run here: {ready.reason}.")
        model = export_onnx(loaded, graph, cache)
        session = open_inference_session(model.path, self.execution_provider, options.threads)
        return OnnxSession(self.name, session, loaded.network.graph(graph))


def open_inference_session(path: Path, execution_provider: str, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session that really runs on the provider asked for.

    Without a working GPU ONNX Runtime falls back to its CPU provider and says so only in its log; here that is an
    EnvironmentNotReady. EngineBuildError when the file cannot be loaded.
    """
    onnxruntime = load_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3  # errors
    providers: list[Any] = [(execution_provider, _PROVIDER_OPTIONS[execution_provider])]
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # onnxruntime's exception classes are not part of its public interface
        raise EngineBuildError(f"ONNX Runtime cannot load {path}: {error}") from error
    if session.get_providers()[0] != execution_provider:
        raise EnvironmentNotReady(
            f"ONNX Runtime fell back to {session.get_providers()[0]}: {execution_provider} needs a driver and CUDA "
            "libraries that fit it."
        )
    return session


class OnnxSession:
    """One graph in ONNX Runtime."""

    def __init__(self, runtime: RuntimeName, session: onnxruntime.InferenceSession, spec: GraphSpec):
        self._runtime: RuntimeName = runtime
        self._session = session
        self._spec = spec

    @property
    def runtime(self) -> RuntimeName:
        return self._runtime

    @property
    def provider(self) -> str:
        version = load_onnxruntime().__version__
        return f"{self._session.get_providers()[0]} (onnxruntime {version}, float32)"

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        arrays = checked_inputs(self._spec, inputs)
        feeds = dict(zip((tensor.name for tensor in self._spec.inputs), arrays, strict=True))
        outputs = self._session.run([tensor.name for tensor in self._spec.outputs], feeds)
        return named_outputs(self._spec, [np.asarray(output) for output in outputs])
