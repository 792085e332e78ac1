"""The picture of a training's metrics."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from toolchain.errors import EnvironmentNotReady
from training.plots import plot_lines


def test_a_line_more_is_another_picture_and_an_empty_one_is_left_out(tmp_path: Path) -> None:
    rising = {"psnr": [(1.0, 20.0), (2.0, 22.0)]}
    plot_lines(rising, "dB", tmp_path / "one.png")
    plot_lines({**rising, "absent": []}, "dB", tmp_path / "same.png")
    plot_lines({**rising, "falling": [(1.0, 22.0), (2.0, 20.0)]}, "dB", tmp_path / "two.png")
    one, same, two = ((tmp_path / f"{name}.png").read_bytes() for name in ("one", "same", "two"))
    assert one.startswith(b"\x89PNG") and one == same != two


def test_without_its_library_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentNotReady, match=r"sdr2hdr-agent\[train\]"):
        plot_lines({}, "dB", tmp_path / "plot.png")
