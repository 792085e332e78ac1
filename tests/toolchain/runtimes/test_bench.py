"""The bench measures what it says, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.toolchain.runtimes.nets import small
from toolchain.errors import EnvironmentNotReady
from toolchain.runtimes import bench
from toolchain.runtimes.bench import measure
from toolchain.runtimes.registry import get_runtime


def test_row_of_torch(tmp_path: Path):
    row = measure(small(), "restore", "torch", 66, 90, 3, cache=tmp_path)
    assert (row.model_id, row.graph, row.runtime, row.precision) == ("small", "restore", "torch", "fp32")
    assert (row.height, row.width) == (66, 90)
    assert row.provider.startswith("CPU (torch ")
    assert 0 < row.median_ms <= row.p95_ms
    assert row.cpu_ms > 0
    assert 50 < row.peak_rss_mib < 4096


def test_runtime_that_cannot_run_here(tmp_path: Path):
    if get_runtime("torch-cuda").available().ready:
        pytest.skip("this machine has a GPU")
    with pytest.raises(EnvironmentNotReady, match="Runtime torch-cuda cannot run here"):
        measure(small(), "restore", "torch-cuda", 64, 64, 1, cache=tmp_path)


def test_killed_process_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(EnvironmentNotReady, match="killed, probably for lack of memory"):
        bench._in_own_process(os.abort)
