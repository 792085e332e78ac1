"""TensorRT 11 on an NVIDIA GPU. Not run on hardware: tested in the order and arguments of its calls.

Buffers are torch CUDA tensors, handed to TensorRT by address; a caller that has tensors already (`run_tensors`; by
DLPack anything is one) pays for no copy. Each session works on a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import EngineBuildError, EnvironmentNotReady, UsageError
from toolchain.runtimes.base import Availability, LoadedNetwork, RuntimeName, SessionOptions, Tensors
from toolchain.runtimes.inputs import checked_inputs, named_outputs
from toolchain.runtimes.tensorrt_engine import (
    Gpu,
    Profile,
    Shape,
    engine_key,
    engine_profiles,
    graph_size,
    load_engine,
)

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.models.networks.base import GraphSpec

DEFAULT_SHAPE = (1080, 1920)
"""Used where the caller does not say what size most pictures have; smaller ones and tiles fit as well."""


FLOAT32_GRAPHS = ("condition",)
"""A small picture once a shot: half precision would save nothing."""


class TensorRtRuntime:
    """Precision fp16 runs the typed graph of `toolchain.runtimes.typed_fp16`, fp32 the exported one, without TF32."""

    name: RuntimeName = "tensorrt"

    def available(self) -> Availability:
        import torch

        try:
            trt = _tensorrt()
        except EnvironmentNotReady as error:
            return Availability(False, str(error))
        if not torch.cuda.is_available():
            return Availability(False, f"TensorRT {trt.__version__} is installed, but torch sees no CUDA GPU")
        return Availability(True, f"{torch.cuda.get_device_name()} (TensorRT {trt.__version__})")

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> TensorRtSession:
        """Builds the engine for `options.shape` (minutes) if the cache does not hold it."""
        ready = self.available()
        if not ready.ready:
            raise EnvironmentNotReady(f"Runtime tensorrt cannot run here: {ready.reason}.")
        return open_on(_tensorrt(), Cuda(), loaded, graph, options, cache)


class Device(Protocol):
    """Memory and a stream; CUDA in earnest, the host in tests of the call order."""

    @property
    def gpu(self) -> Gpu: ...

    @property
    def stream(self) -> int: ...

    def on_stream(self, callers: Mapping[str, Tensor]) -> Any: ...

    def upload(self, array: NDArray[np.float32]) -> Tensor: ...

    def empty(self, shape: Shape) -> Tensor: ...


class Cuda:
    """torch's current CUDA device."""

    def __init__(self) -> None:
        import torch

        self._stream = torch.cuda.Stream()

    @property
    def gpu(self) -> Gpu:
        import torch

        major, minor = torch.cuda.get_device_capability()
        return Gpu(torch.cuda.get_device_name(), f"{major}.{minor}")

    @property
    def stream(self) -> int:
        return self._stream.cuda_stream

    @contextmanager
    def on_stream(self, callers: Mapping[str, Tensor]) -> Iterator[None]:
        """Begins after the work the caller has queued, and the caller's later work waits for it."""
        import torch

        caller = torch.cuda.current_stream()
        self._stream.wait_stream(caller)
        for tensor in callers.values():
            tensor.record_stream(self._stream)  # its memory is not reused before our stream is done with it
        with torch.cuda.stream(self._stream):
            yield
        caller.wait_stream(self._stream)

    def upload(self, array: NDArray[np.float32]) -> Tensor:
        import torch

        return torch.from_numpy(array).to("cuda")

    def empty(self, shape: Shape) -> Tensor:
        import torch

        return torch.empty(shape, dtype=torch.float32, device="cuda")


@dataclass(frozen=True, eq=False)
class _Engine:
    """An engine with its execution context, which must not outlive it."""

    engine: Any
    context: Any
    profiles: tuple[Profile, ...]

    def profile_for(self, shapes: Mapping[str, Shape]) -> int | None:
        return next((i for i, profile in enumerate(self.profiles) if profile.holds(shapes)), None)


class TensorRtSession:
    """One graph. An input that fits no profile makes it build one more engine, for that size."""

    runtime: RuntimeName = "tensorrt"

    def __init__(self, spec: GraphSpec, provider: str, device: Device, load: Callable[[tuple[Profile, ...]], Any]):
        self.provider = provider
        self._spec = spec
        self._device = device
        self._load = load
        self._engines: list[_Engine] = []

    def prepare(self, height: int, width: int) -> None:
        """Have an engine for pictures up to this size, as the graph sees them."""
        profiles = engine_profiles(self._spec, height, width)
        engine = self._load(profiles)
        context = engine.create_execution_context()
        if context is None:
            raise EngineBuildError(f"TensorRT has no memory for {height}x{width} pictures: use a smaller --shapes")
        self._engines.append(_Engine(engine, context, profiles))

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        arrays = checked_inputs(self._spec, inputs)
        with self._device.on_stream({}):
            tensors = {t.name: self._device.upload(a) for t, a in zip(self._spec.inputs, arrays, strict=True)}
            outputs = self._execute(tensors)
            # A copy to the host waits for the stream it is queued on.
            return named_outputs(self._spec, [outputs[t.name].cpu().numpy() for t in self._spec.outputs])

    def run_tensors(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Float32 tensors on the GPU in, new ones out, without a copy or a wait; ordered with the caller's stream.

        Raises UsageError for names or types that do not fit the graph.
        """
        import torch

        names = [tensor.name for tensor in self._spec.inputs]
        if sorted(inputs) != sorted(names) or any(t.dtype != torch.float32 for t in inputs.values()):
            raise UsageError(f"Graph {self._spec.name!r} takes float32 tensors {names}, not {sorted(inputs)}.")
        tensors = {name: inputs[name].contiguous() for name in names}
        with self._device.on_stream(tensors):
            return self._execute(tensors)

    def _execute(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        context = self._context_for({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        for name, tensor in tensors.items():
            _must(context.set_input_shape(name, tuple(tensor.shape)), f"the shape {tuple(tensor.shape)} of {name}")
            _must(context.set_tensor_address(name, tensor.data_ptr()), f"the memory of {name}")
        missing = context.infer_shapes()
        _must(not missing, f"inputs without {missing}")
        outputs: dict[str, Tensor] = {}
        for output in self._spec.outputs:
            outputs[output.name] = self._device.empty(tuple(context.get_tensor_shape(output.name)))
            _must(
                context.set_tensor_address(output.name, outputs[output.name].data_ptr()), f"memory of {output.name}"
            )
        _must(context.execute_async_v3(self._device.stream), "to run")
        return outputs

    def _context_for(self, shapes: Mapping[str, Shape]) -> Any:
        """The context that takes these shapes, its profile selected on our stream."""
        for engine in self._engines:
            index = engine.profile_for(shapes)
            if index is None:
                continue
            if engine.context.active_optimization_profile != index:
                chosen = engine.context.set_optimization_profile_async(index, self._device.stream)
                _must(chosen, f"profile {index}")
            return engine.context
        self.prepare(*self._largest_picture(shapes))
        if self._engines[-1].profile_for(shapes) is None:
            raise UsageError(f"Graph {self._spec.name!r} takes one picture or up to 64 small fields, not {shapes}.")
        return self._context_for(shapes)

    def _largest_picture(self, shapes: Mapping[str, Shape]) -> tuple[int, int]:
        sizes = {
            axis: size
            for tensor in self._spec.inputs
            for axis, size in zip(tensor.shape, shapes[tensor.name], strict=True)
        }
        return sizes.get("height", 1), sizes.get("width", 1)


def open_on(
    trt: Any, device: Device, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path
) -> TensorRtSession:
    """A session whose engine for `options.shape` is built. EngineBuildError when TensorRT cannot."""
    onnx, sha256, recipe = _typed_onnx(loaded, graph, options, cache)

    def load(profiles: tuple[Profile, ...]) -> Any:
        key = engine_key(sha256, recipe, profiles, trt.__version__, device.gpu)
        return load_engine(trt, onnx, key, profiles, cache)

    provider = f"{device.gpu.name} (TensorRT {trt.__version__}, {recipe})"
    session = TensorRtSession(loaded.network.graph(graph), provider, device, load)
    session.prepare(*graph_size(loaded.network, graph, *(options.shape or DEFAULT_SHAPE)))
    return session


def _typed_onnx(loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> tuple[Path, str, str]:
    """(file, its SHA-256, how its types were chosen)."""
    from toolchain.runtimes.export import export_onnx
    from toolchain.runtimes.typed_fp16 import RECIPE, typed_fp16

    if options.precision == "bf16":
        raise EngineBuildError("TensorRT engines are built in fp32 or fp16 here, not in bf16: choose one of them.")
    if options.precision == "fp16" and graph not in FLOAT32_GRAPHS:
        typed = typed_fp16(loaded, graph, cache)
        return typed.path, typed.sha256, RECIPE
    exported = export_onnx(loaded, graph, cache)
    return exported.path, exported.sha256, "float32"


def _must(done: bool, what: str) -> None:
    """TensorRT says no by returning False."""
    if not done:
        raise EnvironmentNotReady(f"TensorRT refused {what}: use another runtime")


def _tensorrt() -> Any:
    """The tensorrt module, 11 or later; EnvironmentNotReady says what is missing."""
    try:
        trt = import_module("tensorrt")
    except ModuleNotFoundError:
        raise EnvironmentNotReady("tensorrt is not installed: install sdr2hdr-agent[tensorrt]") from None
    except (ImportError, OSError, RuntimeError) as error:
        raise EnvironmentNotReady(f"TensorRT's libraries cannot be loaded ({error}): install NVIDIA's") from error
    if int(trt.__version__.partition(".")[0]) < 11:
        raise EnvironmentNotReady(f"TensorRT {trt.__version__} is installed: 11 or later is needed")
    return trt
