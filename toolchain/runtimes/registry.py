"""Which runtimes exist, in the order the chain tries them.

Adding a runtime: its file, its name in `toolchain.runtimes.base.RuntimeName`, and one line here.
"""

from __future__ import annotations

from toolchain.errors import UsageError
from toolchain.runtimes.base import Availability, Runtime, RuntimeName
from toolchain.runtimes.onnx_rt import OnnxRuntime
from toolchain.runtimes.openvino_rt import OpenVinoRuntime
from toolchain.runtimes.tensorrt_rt import TensorRtRuntime
from toolchain.runtimes.torch_rt import TorchRuntime

RUNTIMES: tuple[Runtime, ...] = (
    TensorRtRuntime(),
    OnnxRuntime("onnxruntime-cuda", "CUDAExecutionProvider"),
    TorchRuntime("torch-cuda", "cuda"),
    OpenVinoRuntime(),
    OnnxRuntime("onnxruntime", "CPUExecutionProvider"),
    TorchRuntime("torch", "cpu"),
)


def get_runtime(name: str) -> Runtime:
    """The runtime of a name; UsageError for one that does not exist."""
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    raise UsageError(f"There is no runtime {name!r}: use one of {', '.join(r.name for r in RUNTIMES)}.")


def availability() -> list[tuple[RuntimeName, Availability]]:
    """Every runtime in the chain's order with whether it can run here, and why not."""
    return [(runtime.name, runtime.available()) for runtime in RUNTIMES]
