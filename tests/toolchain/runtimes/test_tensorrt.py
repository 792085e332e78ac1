"""TensorRT's calls in order, against a stand-in of its 11.4 API (fake_tensorrt). Nothing here ran on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toolchain.runtimes import fake_tensorrt as fake
from tests.toolchain.runtimes.nets import small
from toolchain.errors import EngineBuildError, EnvironmentNotReady, UsageError
from toolchain.models.networks.base import GraphSpec, TensorSpec
from toolchain.runtimes import tensorrt_engine
from toolchain.runtimes.base import SessionOptions
from toolchain.runtimes.parity import largest_difference, torch_outputs
from toolchain.runtimes.tensorrt_engine import Gpu, engine_key, engine_profiles, graph_size
from toolchain.runtimes.tensorrt_rt import TensorRtRuntime, TensorRtSession, open_on

STREAM = 77
FP16 = SessionOptions(precision="fp16", shape=(48, 64))


class Host:
    """The device of these tests: torch's CPU tensors, whose addresses the stand-in can read."""

    gpu = Gpu("Stand-in", "9.0")
    stream = STREAM

    def on_stream(self, callers: Mapping[str, Tensor]) -> Any:
        return nullcontext()

    def upload(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.full(shape, float("nan"))


@pytest.fixture(autouse=True)
def clean_stand_in() -> Iterator[None]:
    fake.calls.clear()
    fake.refuse.clear()
    tensorrt_engine.logger.cache_clear()
    tensorrt_engine._runtime.cache_clear()
    yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the exported graphs, so that each is exported once."""
    return tmp_path_factory.mktemp("engines")


def opened(cache: Path, graph: str = "restore", options: SessionOptions = FP16) -> TensorRtSession:
    return open_on(fake, Host(), small(), graph, options, cache)


def remove_engines(cache: Path) -> None:
    for path in cache.glob("engine-*"):
        path.unlink()


@pytest.mark.parametrize("graph", ["condition", "render", "restore"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_session_gives_the_networks_numbers(graph: str, precision: Any, cache: Path) -> None:
    loaded = small()
    session = opened(cache, graph, SessionOptions(precision=precision, shape=(48, 64)))
    inputs = loaded.network.example(graph, 44, 64)
    names = [tensor.name for tensor in loaded.network.graph(graph).inputs]
    outputs = session.run({name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    difference = largest_difference(list(outputs.values()), torch_outputs(loaded.network, graph, inputs))
    assert difference < (1e-5 if precision == "fp32" or graph == "condition" else 2 / 1023)
    assert session.provider.startswith("Stand-in (TensorRT 11.4.0.106, ")


def test_the_calls_come_in_order(cache: Path) -> None:
    remove_engines(cache)
    session = opened(cache)
    session.run({"rgb": np.full((1, 3, 48, 64), 0.5, np.float32)})
    assert fake.calls == [
        "Builder",
        "create_network",
        "parse_from_file",
        "build_serialized_network",
        "deserialize_cuda_engine",
        f"execute_async_v3({STREAM})",
    ]


def test_an_engine_is_built_once(cache: Path) -> None:
    opened(cache)
    fake.calls.clear()
    opened(cache)
    assert fake.calls == ["deserialize_cuda_engine"]


def test_batches_of_fields_use_the_second_profile_and_pictures_the_first_again(cache: Path) -> None:
    session = opened(cache)
    fake.calls.clear()
    fields = session.run({"rgb": np.full((5, 3, 32, 32), 0.5, np.float32)})
    assert fields["picture"].shape == (5, 3, 32, 32)
    session.run({"rgb": np.full((1, 3, 48, 64), 0.5, np.float32)})
    run = f"execute_async_v3({STREAM})"
    chosen = [f"set_optimization_profile_async({i}, {STREAM})" for i in (1, 0)]
    assert fake.calls == [chosen[0], run, chosen[1], run]


def test_a_larger_picture_builds_one_more_engine(cache: Path) -> None:
    session = opened(cache)
    assert session.run({"rgb": np.zeros((1, 3, 80, 48), np.float32)})["picture"].shape == (1, 3, 80, 48)
    assert fake.calls.count("deserialize_cuda_engine") == 2
    session.run({"rgb": np.zeros((1, 3, 80, 48), np.float32)})
    assert fake.calls.count("deserialize_cuda_engine") == 2


def test_what_no_engine_can_take_is_refused(cache: Path) -> None:
    with pytest.raises(UsageError, match="64 small fields"):
        opened(cache).run({"rgb": np.zeros((65, 3, 32, 32), np.float32)})


def test_tensors_go_in_and_out_without_a_copy(cache: Path) -> None:
    loaded, session = small(), opened(cache, "render")
    rgb, numbers = loaded.network.example("render", 40, 52)
    inputs = {"rgb": rgb, "numbers": numbers}
    output = session.run_tensors(inputs)["picture"]
    expected = torch_outputs(loaded.network, "render", tuple(inputs.values()))
    assert largest_difference([output.numpy()], expected) < 2 / 1023
    with pytest.raises(UsageError, match="float32 tensors"):
        session.run_tensors({name: tensor.half() for name, tensor in inputs.items()})


@pytest.mark.parametrize("damage", [b"", b"fake engine", b"another version"])
def test_a_damaged_engine_file_is_rebuilt(damage: bytes, cache: Path) -> None:
    opened(cache)
    for path in cache.glob("engine-*.engine"):
        path.write_bytes(damage)
    fake.calls.clear()
    opened(cache).run({"rgb": np.zeros((1, 3, 48, 64), np.float32)})
    assert fake.calls.count("build_serialized_network") == 1


def test_an_engine_that_does_not_load_is_rebuilt_once(cache: Path) -> None:
    opened(cache)
    fake.calls.clear()
    fake.refuse.add("load once")
    opened(cache)
    assert fake.calls[0] == "deserialize_cuda_engine"
    assert fake.calls.count("build_serialized_network") == 1
    assert fake.calls.count("deserialize_cuda_engine") == 2


def test_a_build_that_fails_says_why_and_leaves_no_engine(cache: Path) -> None:
    remove_engines(cache)
    fake.refuse.add("build")
    with pytest.raises(EngineBuildError, match="no implementation for a node"):
        opened(cache)
    assert not list(cache.glob("engine-*"))


def test_no_memory_for_a_context_is_an_engine_error(cache: Path) -> None:
    fake.refuse.add("context")
    with pytest.raises(EngineBuildError, match="memory"):
        opened(cache)


@pytest.mark.parametrize("content", [b"damaged", b"of another driver"])
def test_a_timing_cache_that_does_not_fit_is_replaced(content: bytes, cache: Path) -> None:
    remove_engines(cache)
    (cache / "timing-11.4.0.106-9.0.bin").write_bytes(content)
    opened(cache)
    assert (cache / "timing-11.4.0.106-9.0.bin").read_bytes() == b"timings of a fake"


def test_bf16_is_refused(cache: Path) -> None:
    with pytest.raises(EngineBuildError, match="bf16"):
        opened(cache, options=SessionOptions(precision="bf16"))


def test_the_key_changes_with_all_that_decides_an_engine() -> None:
    spec = GraphSpec("restore", (TensorSpec("rgb", ("batch", 3, "height", "width")),), ())
    profiles = engine_profiles(spec, 1080, 1920)
    keys = [
        engine_key("a", "float32", profiles, "11.4", Gpu("H200", "9.0")),
        engine_key("b", "float32", profiles, "11.4", Gpu("H200", "9.0")),
        engine_key("a", "float16", profiles, "11.4", Gpu("H200", "9.0")),
        engine_key("a", "float32", engine_profiles(spec, 2160, 3840), "11.4", Gpu("H200", "9.0")),
        engine_key("a", "float32", profiles, "11.5", Gpu("H200", "9.0")),
        engine_key("a", "float32", profiles, "11.4", Gpu("L4", "8.9")),
    ]
    assert len({str(key) for key in keys}) == len(keys)


def test_profiles_are_padded_and_hold_smaller_pictures() -> None:
    spec = GraphSpec("render", (TensorSpec("rgb", ("batch", 3, "height", "width")),), (), 8, least_size=20)
    pictures, fields = engine_profiles(spec, 1081, 1920)
    assert pictures.inputs["rgb"] == ((1, 3, 24, 24), (1, 3, 1088, 1920), (1, 3, 1088, 1920))
    assert fields.inputs["rgb"] == ((1, 3, 24, 24), (64, 3, 64, 64), (64, 3, 64, 64))
    assert pictures.holds({"rgb": (1, 3, 544, 960)})
    assert not pictures.holds({"rgb": (1, 3, 1920, 1088)})
    assert not pictures.holds({"rgb": (3, 544, 960)})


def test_conditioners_have_their_own_small_size() -> None:
    network = small().network
    network.condition_scale = 4  # type: ignore[assignment]
    assert graph_size(network, "condition", 1080, 1922) == (270, 481)
    assert graph_size(network, "render", 1080, 1922) == (1080, 1922)


def test_without_tensorrt_the_reason_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    ready = TensorRtRuntime().available()
    assert not ready.ready
    assert "sdr2hdr-agent[tensorrt]" in ready.reason
    with pytest.raises(EnvironmentNotReady, match="not installed"):
        TensorRtRuntime().open(small(), "restore", SessionOptions(), tmp_path)


@pytest.mark.parametrize(("version", "words"), [("10.16.1", "11 or later"), ("11.4.0.106", "no CUDA GPU")])
def test_an_old_version_or_no_gpu_is_said(version: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(fake, "__version__", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ready = TensorRtRuntime().available()
    assert not ready.ready
    assert words in ready.reason


@pytest.mark.parametrize(
    "name", ["BuilderFlag.FP16", "Context.execute_async_v2", "IInt8Calibrator", "Engine.get_binding_index"]
)
def test_the_stand_in_has_nothing_that_version_11_removed(name: str) -> None:
    holder: Any = fake
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    assert not hasattr(holder, last)
