"""torch itself: the reference on the CPU, and one of the ways to use an NVIDIA GPU (not run on hardware yet)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import EnvironmentNotReady
from toolchain.runtimes.base import Availability, LoadedNetwork, RuntimeName, SessionOptions, Tensors
from toolchain.runtimes.inputs import checked_inputs, named_outputs

if TYPE_CHECKING:
    from toolchain.models.networks.base import GraphModule, GraphSpec


@dataclass(frozen=True)
class TorchRuntime:
    """`torch` computes in float32 whatever precision was allowed; `torch-cuda` may use half precision inside."""

    name: RuntimeName
    device: Literal["cpu", "cuda"]

    def available(self) -> Availability:
        import torch

        if self.device == "cpu":
            return Availability(True, f"CPU (torch {torch.__version__})")
        if torch.cuda.is_available():
            return Availability(True, f"{torch.cuda.get_device_name()} (torch {torch.__version__})")
        built = "sees no CUDA device" if torch.version.cuda else "is built without CUDA"
        return Availability(False, f"torch {torch.__version__} {built}")

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> TorchSession:
        from toolchain.models.networks.base import GraphModule

        ready = self.available()
        if not ready.ready:
            raise EnvironmentNotReady(f"Runtime {self.name} cannot run here: {ready.reason}.")
        # The caller's network stays where it is: it is the reference of other sessions.
        network = loaded.network if self.device == "cpu" else copy.deepcopy(loaded.network).to(self.device)
        module = GraphModule(network, graph).eval()
        return TorchSession(self.name, module, loaded.network.graph(graph), options, self.device)


class TorchSession:
    """One graph in torch."""

    def __init__(
        self,
        runtime: RuntimeName,
        module: GraphModule,
        spec: GraphSpec,
        options: SessionOptions,
        device: Literal["cpu", "cuda"],
    ):
        self._runtime: RuntimeName = runtime
        self._module = module
        self._spec = spec
        self._options = options
        self._device = device

    @property
    def runtime(self) -> RuntimeName:
        return self._runtime

    @property
    def provider(self) -> str:
        import torch

        device = next(self._module.parameters()).device
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        return f"{where} (torch {torch.__version__}, {self._dtype_name()})"

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        import torch

        arrays = checked_inputs(self._spec, inputs)
        with torch.inference_mode(), _cpu_threads(self._options.threads), self._arithmetic():
            outputs = self._module(*(torch.from_numpy(array).to(self._device) for array in arrays))
        tensors = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        return named_outputs(self._spec, [tensor.float().cpu().numpy() for tensor in tensors])

    def _dtype_name(self) -> str:
        half = self._device == "cuda" and not self._spec.pq_output and self._options.precision != "fp32"
        return {"fp16": "float16", "bf16": "bfloat16"}[self._options.precision] if half else "float32"

    def _arithmetic(self) -> contextlib.AbstractContextManager[None]:
        """Half precision only where the graph gives no final PQ; float32 is float32, not TensorFloat-32."""
        import torch

        if self._device == "cpu":
            return contextlib.nullcontext()
        stack = contextlib.ExitStack()
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        if self._dtype_name() != "float32":
            stack.enter_context(torch.autocast("cuda", dtype=getattr(torch, self._dtype_name())))
        return stack  # type: ignore[return-value]


@contextlib.contextmanager
def _cpu_threads(threads: int) -> Iterator[None]:
    """torch's thread count is one for the process: it is put back afterwards."""
    import torch

    if threads == 0:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
