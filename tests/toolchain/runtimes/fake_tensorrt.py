"""A stand-in for the module `tensorrt` 11.4, for tests of the order and arguments of calls: no GPU, no TensorRT.

Only names of the 11.4 bindings exist here, with their signatures. What 11 removed (BuilderFlag.FP16, EXPLICIT_BATCH,
execute_async_v2, calibrators ...) raises AttributeError; calls in a wrong order or with wrong shapes fail. A
"serialised engine" is the ONNX file it was built of; "executing" one runs that in ONNX Runtime on the CPU, between
the addresses it was given. It says nothing about what TensorRT itself accepts, computes or costs.
"""

from __future__ import annotations

import ctypes
import enum
import json
from typing import Any

import numpy as np
import onnx

from toolchain.runtimes.libraries import load_onnxruntime

__version__ = "11.4.0.106"

MAGIC = b"fake engine of TensorRT 11.4\n"
calls: list[str] = []
refuse: set[str] = set()
"""What shall fail: "build", "context", "load once"."""


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        self.ready = True


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class BuilderFlag(enum.Enum):
    TF32 = 6
    REFIT = 2
    VERSION_COMPATIBLE = 10


class Network:
    __slots__ = ("onnx_bytes",)


class ParserError:
    def __init__(self, words: str):
        self._words = words

    def desc(self) -> str:
        return self._words


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger):
        assert logger.ready
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse_from_file(self, model: str) -> bool:
        calls.append("parse_from_file")
        try:
            self._network.onnx_bytes = onnx.load_model(model).SerializeToString()
        except Exception as error:  # as the real one: False, and the reason in the list
            self._errors.append(ParserError(str(error)))
            return False
        return True


class HostMemory(bytearray):
    """The real one has the buffer protocol and no more."""


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        if not all(0 <= a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("inconsistent shapes")
        self.shapes[input] = [min, opt, max]


class TimingCache:
    def __init__(self, content: bytes):
        self.content = content

    def serialize(self) -> HostMemory:
        return HostMemory(b"timings of a fake")


class BuilderConfig:
    __slots__ = ("builder_optimization_level", "flags", "pools", "profiles", "timing")

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.pools: dict[MemoryPoolType, int] = {}
        self.profiles: list[Profile] = []
        self.timing: TimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        return None if serialized_timing_cache == b"damaged" else TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert isinstance(cache, TimingCache)
        self.timing = cache
        return ignore_mismatch or cache.content != b"of another driver"


class Builder:
    def __init__(self, logger: ILogger):
        assert logger.ready
        self._logger = logger
        calls.append("Builder")

    def create_network(self, flags: int = 0) -> Network:
        calls.append("create_network")
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
        calls.append("build_serialized_network")
        assert config.pools[MemoryPoolType.WORKSPACE] > 0
        assert BuilderFlag.TF32 not in config.flags
        assert config.profiles
        assert config.timing is not None
        if "build" in refuse:
            self._logger.log(ILogger.Severity.ERROR, "no implementation for a node")  # type: ignore[attr-defined]
            return None
        profiles = json.dumps([profile.shapes for profile in config.profiles]).encode()
        return HostMemory(MAGIC + profiles + b"\n" + network.onnx_bytes)


class Runtime:
    def __init__(self, logger: ILogger):
        assert logger.ready

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        calls.append("deserialize_cuda_engine")
        if "load once" in refuse:
            refuse.remove("load once")
            return None
        return Engine(serialized_engine) if serialized_engine.startswith(MAGIC) else None


class Engine:
    def __init__(self, content: bytes):
        profiles, _, model = content.removeprefix(MAGIC).partition(b"\n")
        self.profiles = json.loads(profiles)
        self.session: Any = load_onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])

    def create_execution_context(self) -> Context | None:
        return None if "context" in refuse else Context(self)


class Context:
    """Not executable before every input has a shape within the active profile, and every tensor an address."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self.active_optimization_profile = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        calls.append(f"set_optimization_profile_async({profile_index}, {stream_handle})")
        self.active_optimization_profile = profile_index
        self._shapes.clear()
        return profile_index < len(self._engine.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, largest = self._engine.profiles[self.active_optimization_profile][name]
        self._shapes[name] = shape
        return all(a <= b <= c for a, b, c in zip(least, shape, largest, strict=True))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory != 0

    def infer_shapes(self) -> list[str]:
        return [value.name for value in self._engine.session.get_inputs() if value.name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert not self.infer_shapes()
        names = [value.name for value in self._engine.session.get_outputs()]
        return self._outputs(lambda shape, _: np.zeros(shape, np.float32))[names.index(name)].shape

    def execute_async_v3(self, stream_handle: int) -> bool:
        calls.append(f"execute_async_v3({stream_handle})")
        outputs = self._outputs(lambda shape, name: self._memory(name, shape))
        for value, output in zip(self._engine.session.get_outputs(), outputs, strict=True):
            self._memory(value.name, output.shape)[...] = output
        return True

    def _outputs(self, content: Any) -> list[np.ndarray]:
        return self._engine.session.run(None, {name: content(shape, name) for name, shape in self._shapes.items()})

    def _memory(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        count = int(np.prod(shape))
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self._addresses[name])).reshape(shape)
