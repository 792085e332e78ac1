"""`agent models build` and `agent models bench`, in process, with a small network in the catalogue's place."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import models_bench, models_build
from agent.cli.models_build import parse_shapes
from tests.toolchain.runtimes.nets import small
from toolchain.errors import EngineBuildError, EnvironmentNotReady, UsageError
from toolchain.models import registry, weights
from toolchain.models.networks import registry as networks
from toolchain.runtimes import registry as runtimes
from toolchain.runtimes.base import Availability

app = typer.Typer()
app.command("build")(models_build.build_models)
app.command("bench")(models_bench.bench_models)


@pytest.fixture(autouse=True)
def small_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One installed network, `small`, and one that is not, `absent`."""

    def load(spec: str) -> Any:
        if spec == "absent":
            raise EnvironmentNotReady("Model 'absent' is not installed: run `agent models pull absent`.")
        return small()

    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path))
    monkeypatch.setattr(networks, "network_ids", lambda: ("small", "absent"))
    monkeypatch.setattr(registry, "get_spec", lambda model_id: model_id)
    monkeypatch.setattr(weights, "load_network", load)
    monkeypatch.setattr(
        weights, "state", lambda spec: weights.ModelState("not installed" if spec == "absent" else "shipped", "")
    )


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), standalone_mode=False)


def rows(result: Any) -> list[dict[str, Any]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_build_makes_every_graph_of_the_installed_networks_ready() -> None:
    result = run("build", "--runtime", "torch", "--json")
    assert result.return_value == 0
    found = rows(result)
    assert [(row["model_id"], row["graph"], row["state"]) for row in found] == [
        ("small", graph, "ready") for graph in ("condition", "render", "restore")
    ]
    assert all("torch" in row["message"] for row in found)


def test_build_goes_on_past_what_fails_and_exits_5(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = runtimes.get_runtime("torch").open

    def open_but_one(self: Any, loaded: Any, graph: str, *rest: Any) -> Any:
        if graph == "render":
            raise EngineBuildError("no kernel for it")
        return opened(loaded, graph, *rest)

    monkeypatch.setattr(type(runtimes.get_runtime("torch")), "open", open_but_one)
    result = run("build", "small", "absent", "--runtime", "torch", "--json")
    assert result.return_value == 5
    assert [row["state"] for row in rows(result)] == ["ready", "failed", "ready", "failed"]
    assert "no kernel" in result.stdout
    assert "agent models pull absent" in result.stdout


def test_build_for_tensorrt_takes_every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.runtimes.tensorrt_rt import TensorRtRuntime

    seen: list[Any] = []

    class Session:
        provider = "stand-in"

    def opened(self: Any, loaded: Any, graph: str, options: Any, cache: Path) -> Any:
        seen.append((graph, options.shape, options.precision, cache.name))
        return Session()

    monkeypatch.setattr(TensorRtRuntime, "available", lambda self: Availability(True, "stand-in"))
    monkeypatch.setattr(TensorRtRuntime, "open", opened)
    result = run("build", "small", "--runtime", "tensorrt", "--shapes", "1080p,2160p", "--precision", "fp16")
    assert result.return_value == 0
    shapes = [(1080, 1920), (2160, 3840)]
    graphs = ("condition", "render", "restore")
    assert seen == [(graph, shape, "fp16", "engines") for graph in graphs for shape in shapes]
    assert "1920x1080" in result.stdout


def test_build_says_why_a_runtime_cannot_build_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    result = run("build", "small", "--runtime", "tensorrt")
    assert isinstance(result.exception, EnvironmentNotReady)
    assert "tensorrt is not installed" in str(result.exception)


def test_build_refuses_what_is_no_network() -> None:
    assert isinstance(run("build", "direct203").exception, UsageError)


def test_shapes_are_names_or_sizes() -> None:
    assert parse_shapes("540p, 720x576") == [(540, 960), (576, 720)]


@pytest.mark.parametrize("text", ["", "1080", "4k", "0x0", "15x1080", "9000x16", "²x100", "1080p,"])
def test_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not known"):
        parse_shapes(text)


@dataclass(frozen=True)
class Row:
    model_id: str
    graph: str
    runtime: str
    provider: str
    precision: str
    height: int
    width: int
    median_ms: float
    p95_ms: float
    cpu_ms: float
    peak_rss_mib: float


@pytest.fixture
def stand_in_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures from nowhere: what is tested is the table around them."""

    def measure(loaded: Any, graph: str, runtime: str, height: int, width: int, frames: int) -> Row:
        if graph == "restore":
            raise EngineBuildError("too large")
        return Row(loaded.model_id, graph, runtime, "CPU", "fp32", height, width, 1.5, 2.5, 3.0, 100.0 + frames)

    module: Any = ModuleType("toolchain.runtimes.bench")
    module.measure, module.BenchRow = measure, Row
    monkeypatch.setitem(sys.modules, "toolchain.runtimes.bench", module)


def test_bench_lists_rows_and_what_cannot_run(
    stand_in_measure: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    out = tmp_path / "bench.json"
    result = run("bench", "small", "--shapes", "540p", "--frames", "3", "--json", "--out", str(out))
    assert result.return_value == 0
    found = rows(result)
    assert {"runtime": "tensorrt", "reason": found[0]["reason"]} == found[0]
    measured = [row for row in found if "median_ms" in row]
    assert {(row["graph"], row["runtime"]) for row in measured} >= {("condition", "torch"), ("render", "openvino")}
    assert any(row.get("reason") == "too large" for row in found)
    written = json.loads(out.read_text())
    assert written["rows"] == found
    assert written["machine"]["cores"] >= 1


def test_bench_prints_a_table(stand_in_measure: None) -> None:
    result = run("bench", "--runtime", "torch", "--shapes", "540p")
    assert result.return_value == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("model")
    assert lines[1].split() == ["small", "condition", "torch", "960x540", "1.5", "2.5", "3.0", "105.0", "CPU"]
    assert lines[3] == "small restore torch: not measured, too large"


def test_bench_of_nothing_exits_5(stand_in_measure: None) -> None:
    assert run("bench", "absent", "--runtime", "torch").return_value == 5


def test_bench_says_before_measuring_that_its_file_has_no_folder(stand_in_measure: None, tmp_path: Path) -> None:
    result = run("bench", "--runtime", "torch", "--out", str(tmp_path / "none" / "rows.json"))
    assert isinstance(result.exception, UsageError) and "create it first" in str(result.exception)
    assert result.stdout == ""
