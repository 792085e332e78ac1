"""From an ONNX file to a TensorRT 11 engine, kept in the engine cache.

Written against the Python API of TensorRT 11.4 (names and signatures read from its bindings); not run on hardware.
Networks are strongly typed there: the ONNX file's own types decide the arithmetic, no builder flag does.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolchain.errors import EngineBuildError
from toolchain.files import write_atomic
from toolchain.models.networks.base import GraphSpec, Network
from toolchain.runtimes.cache import artefact, discard
from toolchain.runtimes.inputs import PICTURE_AXES

Shape = tuple[int, ...]

WORKSPACE_BYTES = 4 << 30
"""Most scratch memory a layer may use."""

OPTIMIZATION_LEVEL = 3
"""TensorRT's own default: higher levels build for longer."""

FIELDS = 64
FIELD_SIDE = 64
"""Colours asked of a network come as a batch of up to 64 small flat fields: they have a profile of their own."""


@dataclass(frozen=True)
class Gpu:
    """What an engine is bound to besides TensorRT's version: it runs on this kind of device only."""

    name: str
    compute_capability: str


@dataclass(frozen=True)
class Profile:
    """(least, best, largest) shape of each input; the engine is fastest at the best one."""

    inputs: Mapping[str, tuple[Shape, Shape, Shape]]

    def holds(self, shapes: Mapping[str, Shape]) -> bool:
        """Every input's shape lies within the profile."""
        return all(self._holds(name, shape) for name, shape in shapes.items())

    def _holds(self, name: str, shape: Shape) -> bool:
        least, _, largest = self.inputs[name]
        return len(shape) == len(least) and all(
            low <= size <= high for low, size, high in zip(least, shape, largest, strict=True)
        )


def engine_profiles(spec: GraphSpec, height: int, width: int) -> tuple[Profile, ...]:
    """One profile for single pictures up to a size, and one for batches of small fields where the graph takes any."""
    tall, wide, field = (_padded(spec, side) for side in (height, width, FIELD_SIDE))
    least = _padded(spec, 1)
    pictures = _profile(spec, {"batch": (1, 1, 1), "height": (least, tall, tall), "width": (least, wide, wide)})
    if not any(axis in PICTURE_AXES for tensor in spec.inputs for axis in tensor.shape):
        return (_profile(spec, {"batch": (1, 1, FIELDS)}),)
    if all(tensor.shape[0] != "batch" for tensor in spec.inputs):
        return (pictures,)
    side = (least, field, field)
    return pictures, _profile(spec, {"batch": (1, FIELDS, FIELDS), "height": side, "width": side})


def graph_size(network: Network, graph: str, height: int, width: int) -> tuple[int, int]:
    """The size at which one graph sees a picture of height x width: conditioners see it reduced."""
    scale = int(getattr(network, "condition_scale", 1)) if graph == "condition" else 1
    return -(-height // scale), -(-width // scale)


def engine_key(
    onnx_sha256: str, recipe: str, profiles: tuple[Profile, ...], trt_version: str, gpu: Gpu
) -> dict[str, object]:
    """All that decides an engine's bytes or whether it may run here."""
    return {
        "onnx_sha256": onnx_sha256,
        "tensorrt": trt_version,
        "compute_capability": gpu.compute_capability,
        "gpu": gpu.name,
        "platform": f"{platform.system()}-{platform.machine()}",
        "recipe": recipe,
        "profiles": [{name: [list(s) for s in shapes] for name, shapes in p.inputs.items()} for p in profiles],
        "flags": {"tf32": False, "optimization_level": OPTIMIZATION_LEVEL, "workspace_bytes": WORKSPACE_BYTES},
    }


def load_engine(trt: Any, onnx: Path, key: dict[str, object], profiles: tuple[Profile, ...], cache: Path) -> Any:
    """The deserialised engine of `key`, built if it is not in the cache; an ICudaEngine.

    An engine TensorRT refuses to load is rebuilt once. Raises EngineBuildError when it cannot be built or loaded.
    """
    log = logger(trt)
    timing = cache / f"timing-{key['tensorrt']}-{key['compute_capability']}.bin"

    def build(path: Path) -> None:
        path.write_bytes(_build(trt, onnx, profiles, timing))

    for _ in range(2):
        path = artefact(cache, key, ".engine", build, lambda path: path.stat().st_size > 0)
        engine = _runtime(trt).deserialize_cuda_engine(path.read_bytes())
        if engine is not None:
            return engine
        discard(path)
    raise EngineBuildError(
        f"TensorRT {key['tensorrt']} cannot load the engine it built of {onnx.name}{log.last_words()}"
    )


@lru_cache(maxsize=1)
def logger(trt: Any) -> Any:
    """The one logger of this process (TensorRT keeps the first it is given); it remembers the last errors."""

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=3)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(msg.strip())

        def last_words(self) -> str:
            words = "; ".join(self.errors)
            self.errors.clear()
            return f" ({words})" if words else ""

    return Log()


@lru_cache(maxsize=1)
def _runtime(trt: Any) -> Any:
    """Outlives every engine it loads."""
    return trt.Runtime(logger(trt))


def _profile(spec: GraphSpec, ranges: Mapping[str, tuple[int, int, int]]) -> Profile:
    def at(which: int, shape: tuple[int | str, ...]) -> Shape:
        return tuple(ranges[axis][which] if isinstance(axis, str) else axis for axis in shape)

    return Profile({t.name: (at(0, t.shape), at(1, t.shape), at(2, t.shape)) for t in spec.inputs})


def _padded(spec: GraphSpec, side: int) -> int:
    return -(-max(side, spec.least_size) // spec.size_multiple) * spec.size_multiple


def _build(trt: Any, onnx: Path, profiles: tuple[Profile, ...], timing: Path) -> Any:
    """The serialised engine, an IHostMemory (it has the buffer protocol)."""
    log = logger(trt)
    builder = trt.Builder(log)
    network = builder.create_network()
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineBuildError(f"TensorRT {trt.__version__} cannot read {onnx.name} ({errors}): use another runtime")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    # On by default, and ten bits of mantissa: float32 means float32 here, final PQ values depend on it.
    config.clear_flag(trt.BuilderFlag.TF32)
    for profile in profiles:
        _add_profile(builder, config, profile)
    timings = _attached_timings(config, timing)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineBuildError(
            f"TensorRT {trt.__version__} cannot build {onnx.name}{log.last_words()}: use another runtime"
        )
    write_atomic(timing, bytes(timings.serialize()))
    return plan


def _add_profile(builder: Any, config: Any, profile: Profile) -> None:
    added = builder.create_optimization_profile()
    for name, (least, best, largest) in profile.inputs.items():
        added.set_shape(name, least, best, largest)
    if config.add_optimization_profile(added) < 0:
        raise EngineBuildError(f"TensorRT refuses the shapes {dict(profile.inputs)}: ask for other --shapes")


def _attached_timings(config: Any, timing: Path) -> Any:
    """The timing cache of earlier builds where TensorRT takes it, else an empty one; it must outlive the build."""
    stored = timing.read_bytes() if timing.is_file() else b""
    for content in (stored, b""):
        timings = config.create_timing_cache(content)
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return timings
    raise EngineBuildError("TensorRT takes no timing cache, not even an empty one: use another runtime")
