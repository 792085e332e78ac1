"""Which runtime runs, what is said about it, and that nothing falls back in silence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.toolchain.runtimes.nets import Unexportable, small
from toolchain.errors import EngineBuildError, EnvironmentNotReady, UsageError
from toolchain.runtimes import chain
from toolchain.runtimes.base import (
    RUNTIME_NAMES,
    Availability,
    LoadedNetwork,
    RuntimeName,
    Session,
    SessionOptions,
)
from toolchain.runtimes.chain import open_session
from toolchain.runtimes.registry import RUNTIMES, availability, get_runtime


@dataclass(frozen=True)
class Fake:
    """A runtime that cannot run (`reason`) or fails to build (`fails`)."""

    name: RuntimeName
    reason: str = ""
    fails: str = ""

    def available(self) -> Availability:
        return Availability(not self.reason, self.reason or "a fake")

    def open(self, loaded: LoadedNetwork, graph: str, options: SessionOptions, cache: Path) -> Session:
        raise EngineBuildError(self.fails)


def test_order_is_the_contract_s():
    assert tuple(runtime.name for runtime in RUNTIMES) == RUNTIME_NAMES
    assert [name for name, _ in availability()] == list(RUNTIME_NAMES)
    assert all(found.reason and "\n" not in found.reason for _, found in availability())


def test_first_that_works_runs_and_the_others_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    unready, failing = Fake("tensorrt", reason="no driver"), Fake("openvino", fails="cannot compile.")
    monkeypatch.setattr(chain, "RUNTIMES", (unready, failing, get_runtime("torch")))
    said: list[str] = []
    session = open_session(small(), "render", SessionOptions(), tmp_path, notify=said.append)
    assert session.runtime == "torch"
    [sentence] = said
    assert sentence.startswith("small render runs on torch: CPU (torch ")
    assert sentence.endswith("; not on tensorrt: no driver; openvino: cannot compile.")


def test_runtime_asked_for_by_name_never_falls_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    failing = Fake("openvino", fails="cannot compile this")
    monkeypatch.setattr(chain, "get_runtime", lambda _: failing)
    with pytest.raises(EngineBuildError, match="cannot compile this"):
        open_session(small(), "render", SessionOptions(), tmp_path, prefer="openvino")


def test_runtime_asked_for_that_is_absent_says_why(tmp_path: Path):
    absent = [name for name, found in availability() if not found.ready]
    if not absent:
        pytest.skip("this machine has every runtime")
    for name in absent:
        with pytest.raises(EnvironmentNotReady, match=f"Runtime {name} cannot run here: .+"):
            open_session(small(), "render", SessionOptions(), tmp_path, prefer=name)


def test_no_runtime_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(chain, "RUNTIMES", (Fake("tensorrt", reason="no driver"), Fake("torch", fails="broken")))
    with pytest.raises(EnvironmentNotReady, match=r"No runtime can run small render here; .*driver; torch: broken"):
        open_session(small(), "render", SessionOptions(), tmp_path)


def test_unknown_names():
    with pytest.raises(UsageError, match="no runtime 'cuda': use one of tensorrt, "):
        get_runtime("cuda")


def test_network_no_exporter_takes_still_runs_on_torch(tmp_path: Path):
    said: list[str] = []
    session = open_session(small(network=Unexportable), "restore", SessionOptions(), tmp_path, notify=said.append)
    assert session.runtime in ("torch", "torch-cuda")
    assert "cannot be exported to ONNX" in said[0]
