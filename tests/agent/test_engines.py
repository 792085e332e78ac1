"""Engines of the analyser: made from settings, looked at by doctor, served by vLLM's own command."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import get_args

import pytest

from agent.cli.main import main
from agent.engines import engine_state, family_name, open_engine
from agent.serving import CONTEXT_TOKENS, Serving
from analysis.mllm.families import FAMILIES
from analysis.mllm.settings import AnalyserSettings, EngineName
from tests.agent.mllm_server import FakeMllm, serving
from toolchain.errors import EnvironmentNotReady, UsageError

NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl"),
        ("/models/qwen2_5_vl_7b", "qwen2_5_vl"),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl"),
        ("OpenGVLab/InternVL3_5-8B-HF", "internvl"),
        ("compact", "compact"),
    ],
)
def test_a_models_name_tells_its_family(model: str, family: str) -> None:
    assert family_name(model) == family


def test_a_folder_is_known_by_its_vocabulary_and_a_stranger_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 320}}))
    assert family_name(str(tmp_path)) == "compact"
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UsageError, match="qwen3_vl"):
        family_name(str(tmp_path))


def test_the_server_is_asked_as_the_settings_say() -> None:
    with serving(FakeMllm()) as fake:
        engine = open_engine(AnalyserSettings(engine="vllm", url=fake.url, retries=0))
        assert (engine.name, engine.family.name) == ("vllm:compact", "compact")
        with pytest.raises(EnvironmentNotReady, match="serves compact and not another"):
            open_engine(AnalyserSettings(engine="vllm", url=fake.url, model="another", family="compact", retries=0))


def test_engines_that_are_not_there_say_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotReady, match="no answer from"):
        open_engine(AnalyserSettings(engine="vllm", url=NOWHERE, retries=0))
    with pytest.raises(EnvironmentNotReady, match="holds no model"):
        open_engine(AnalyserSettings(engine="local", model=str(tmp_path), family="compact"))
    with pytest.raises(UsageError, match="local or vllm"):
        open_engine(AnalyserSettings())


def test_every_engine_has_a_state_and_a_remedy() -> None:
    absent = AnalyserSettings(url=NOWHERE, model="no/such/folder")
    states = {name: engine_state(name, absent) for name in get_args(EngineName)}
    assert {name: state.ready for name, state in states.items()} == {"signals": True, "local": False, "vllm": False}
    assert all(state.found and bool(state.remedy) != state.ready for state in states.values())
    assert "serve-mllm" in states["vllm"].remedy
    with serving(FakeMllm()) as fake:
        assert engine_state("vllm", AnalyserSettings(url=fake.url)).ready


def test_doctor_tells_of_every_engine_and_asks_for_signals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {found["name"]: found for found in map(json.loads, capsys.readouterr().out.splitlines())}
    wanted = {name: checks[f"analyser {name}"]["required"] for name in get_args(EngineName)}
    assert wanted == {"signals": True, "local": False, "vllm": False}


def test_every_family_can_be_served() -> None:
    assert set(CONTEXT_TOKENS) == {family.name for family in FAMILIES}


def test_the_line_is_a_list_of_arguments_and_survives_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my compact; rm -rf ~"
    folder.mkdir()
    made = Serving(str(folder), "compact", port=8123, cpu=True, extra=("--seed", "1"))
    command = made.command
    assert command[:3] == ["vllm", "serve", str(folder)]
    assert command[command.index("--served-model-name") + 1] == folder.name
    assert json.loads(command[command.index("--limit-mm-per-prompt") + 1]) == {"image": 2, "video": 0}
    assert command[-2:] == ["--seed", "1"]
    assert shlex.split(made.line) == ["VLLM_CPU_KVCACHE_SPACE=1", *command]
    plain = Serving("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl")
    assert (plain.name, plain.environment) == ("Qwen/Qwen2.5-VL-7B-Instruct", {})
    assert "--enforce-eager" not in plain.command


def test_starting_becomes_the_server_or_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Serving("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", cpu=True)
    with pytest.raises(EnvironmentNotReady, match="--print"):
        made.start()
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    started: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: started.append(arguments))
    made.start()
    assert started[0][:2] == ("vllm", made.command)
    assert started[0][2]["VLLM_CPU_KVCACHE_SPACE"] == "1"
