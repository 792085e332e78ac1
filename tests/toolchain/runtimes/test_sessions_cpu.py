"""Sessions of the CPU's runtimes: the same refusals, owned outputs, threads, shapes, precision, provider."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.toolchain.runtimes.nets import small
from toolchain.errors import EngineBuildError, EnvironmentNotReady, UsageError
from toolchain.runtimes import onnx_rt
from toolchain.runtimes.base import LoadedNetwork, RuntimeName, Session, SessionOptions
from toolchain.runtimes.onnx_rt import open_inference_session
from toolchain.runtimes.openvino_rt import COMPILED_SHAPES, OpenVinoSession
from toolchain.runtimes.registry import get_runtime

CPU_RUNTIMES: tuple[RuntimeName, ...] = ("openvino", "onnxruntime", "torch")


@pytest.fixture(scope="module")
def loaded() -> LoadedNetwork:
    return small()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(params=CPU_RUNTIMES, scope="module")
def session(request: pytest.FixtureRequest, loaded: LoadedNetwork, cache: Path) -> Session:
    return get_runtime(request.param).open(loaded, "restore", SessionOptions(threads=1), cache)


def picture(height: int = 24, width: int = 28, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"image": picture()}, r"given inputs \['image'\]: it takes \['rgb'\]"),
        ({"rgb": picture(), "more": picture()}, r"given inputs \['more', 'rgb'\]"),
        ({}, r"given inputs \[\]"),
        ({"rgb": picture().astype(np.float64)}, "is float64: float32 is needed"),
        ({"rgb": picture()[0]}, "4 axes"),
        ({"rgb": picture()[:, :1]}, "3 is needed where it has 1"),
        ({"rgb": picture(24, 30)}, "width 30: at least 16, in steps of 4"),
        ({"rgb": picture(12, 28)}, "height 12: at least 16"),
        ({"rgb": picture()[:0]}, "batch 0: at least 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(session: Session, inputs: dict[str, NDArray[np.float32]], says: str):
    with pytest.raises(UsageError, match=says):
        session.run(inputs)


def test_one_name_is_one_size_in_all_inputs(loaded: LoadedNetwork, cache: Path):
    session = get_runtime("torch").open(loaded, "render", SessionOptions(), cache)
    with pytest.raises(UsageError, match="1 is needed where it has 2"):
        session.run({"rgb": picture(), "numbers": np.zeros((2, 4), np.float32)})


def test_outputs_are_the_caller_s_own(session: Session):
    first = session.run({"rgb": picture(seed=1)})["picture"]
    kept = first.copy()
    session.run({"rgb": picture(seed=2)})
    np.testing.assert_array_equal(first, kept)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous


def test_inputs_need_not_be_contiguous_and_stay_as_they_are(session: Session):
    rgb = picture()
    flipped = rgb[..., ::-1]
    found = session.run({"rgb": flipped})["picture"]
    np.testing.assert_array_equal(found, session.run({"rgb": flipped.copy()})["picture"])
    np.testing.assert_array_equal(rgb, picture())


def test_provider_names_what_runs(loaded: LoadedNetwork, cache: Path):
    providers = {
        name: get_runtime(name).open(loaded, "render", SessionOptions(), cache).provider for name in CPU_RUNTIMES
    }
    assert providers["openvino"].startswith("CPU (OpenVINO 20")
    assert providers["onnxruntime"].startswith("CPUExecutionProvider (onnxruntime ")
    assert providers["torch"] == f"CPU (torch {torch.__version__}, float32)"


def test_torch_s_thread_count_is_put_back(loaded: LoadedNetwork, cache: Path):
    before = torch.get_num_threads()
    get_runtime("torch").open(loaded, "restore", SessionOptions(threads=3), cache).run({"rgb": picture()})
    assert torch.get_num_threads() == before


def test_openvino_keeps_a_few_shapes_compiled(loaded: LoadedNetwork, cache: Path):
    session = get_runtime("openvino").open(loaded, "restore", SessionOptions(shape=(24, 28)), cache)
    assert isinstance(session, OpenVinoSession)
    torch_session = get_runtime("torch").open(loaded, "restore", SessionOptions(), cache)
    for width in (28, 32, 36, 40, 28):
        rgb = picture(24, width)
        difference = session.run({"rgb": rgb})["picture"] - torch_session.run({"rgb": rgb})["picture"]
        assert np.abs(difference).max() < 1e-5
        assert len(session._requests) <= COMPILED_SHAPES


def test_bf16_is_used_where_allowed_but_never_for_final_pq(loaded: LoadedNetwork, cache: Path):
    open_with = get_runtime("openvino").open
    pq = open_with(loaded, "render", SessionOptions(precision="bf16"), cache)
    assert pq.provider.endswith("f32)")
    inputs = {"rgb": picture(), "numbers": np.full((1, 4), 0.3, np.float32)}
    exact = open_with(loaded, "render", SessionOptions(), cache).run(inputs)["picture"]
    np.testing.assert_array_equal(pq.run(inputs)["picture"], exact)


@pytest.mark.parametrize("content", [b"", b"not an ONNX file"])
def test_files_that_are_no_networks(tmp_path: Path, content: bytes):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineBuildError, match="ONNX Runtime cannot load"):
        open_inference_session(path, "CPUExecutionProvider")
    with pytest.raises(EngineBuildError, match="OpenVINO cannot compile"):
        OpenVinoSession(path, small().network.graph("render"), SessionOptions())


def test_onnx_runtime_s_silent_fallback_is_an_error(
    loaded: LoadedNetwork, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """What onnxruntime-gpu does without a driver: it lists CUDA, then opens a session on the CPU."""
    onnxruntime = onnx_rt.load_onnxruntime()
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, settings, providers: real(path, settings, ["CPUExecutionProvider"]),
    )
    runtime = get_runtime("onnxruntime-cuda")
    assert runtime.available().ready
    with pytest.raises(EnvironmentNotReady, match="fell back to CPUExecutionProvider"):
        runtime.open(loaded, "render", SessionOptions(), cache)


_QUIET = """
import sys
sys.addaudithook(lambda name, arguments: name == "socket.connect" and sys.exit(f"connects to {arguments}"))
from pathlib import Path
from tests.toolchain.runtimes.nets import small
from toolchain.runtimes.base import SessionOptions
from toolchain.runtimes.registry import availability, get_runtime
availability()
for name in ("openvino", "onnxruntime", "torch"):
    get_runtime(name).open(small(), "render", SessionOptions(), Path(sys.argv[1]))
assert not sys.modules.get("openvino_telemetry")
"""


def test_runtimes_leave_nothing_in_the_home_folder_and_call_nobody(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "ORT_DISABLE_TELEMETRY": "0", "CI": "", "XDG_CACHE_HOME": ""}
    command = [sys.executable, "-c", _QUIET, str(tmp_path / "engines")]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(
    ("runtime", "loader"), [("openvino", "openvino_rt.load_openvino"), ("onnxruntime", "onnx_rt.load_onnxruntime")]
)
def test_a_library_that_cannot_be_loaded_is_a_runtime_that_is_not_there(
    runtime: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the chain goes on to the next one, and `agent doctor` has something to say."""

    def broken() -> None:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(f"toolchain.runtimes.{loader}", broken)
    found = get_runtime(runtime).available()
    assert not found.ready
    assert "libtbb.so.12" in found.reason
