"""The README's worked example runs as it is written, and its tables agree with the program."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from agent.cli.main import main
from toolchain import errors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_worked_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    section = README.split("## A worked example")[1].split("```sh\n")[1].split("```")[0]
    commands = [shlex.split(line) for line in section.strip().splitlines()]
    assert commands[0][:2] == ["agent", "sample"]
    for command in commands:
        assert main(command[1:]) == 0, command
    assert (tmp_path / "sample.hdr.mp4").exists()
    assert (tmp_path / "sample.hdr.mp4.manifest.json").exists()


@pytest.mark.slow
def test_the_analyser_is_trained_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    section = README.split("### Train the analyser, in small")[1].split("```sh\n")[1].split("```")[0]
    for line in section.strip().splitlines():
        capsys.readouterr()
        assert main(shlex.split(line)[1:]) == 0, line
    assert "| valid answers | 1.000 |" in capsys.readouterr().out
    kept = json.loads((tmp_path / "build/smoke/grpo/manifest.json").read_text())
    assert kept["vision_sha256"]
    assert (tmp_path / "build/smoke/grpo/model/model.safetensors").stat().st_size > 100_000


def test_every_exit_code_is_in_the_table() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    raised = {error.exit_code for error in errors.ERROR_BY_NAME.values()}
    assert listed == raised | {0, 6}


@pytest.mark.parametrize("name", re.findall(r"^\| `agent ([a-z-]+)", README, re.MULTILINE))
def test_every_command_of_the_table_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out
