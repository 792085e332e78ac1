"""The ablations' stages: their order, recipes that their classes take, figures where the tables look for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import analyser_ablations
from benchmarks.analyser_ablations import RUNS, Place, run
from benchmarks.analyser_tables import ABLATIONS
from training import grpo, mine, sft


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What `agent` would have been called with. The trainings themselves have tests of their own."""
    made: list[list[str]] = []

    def record(*arguments: str | Path) -> str:
        made.append([str(argument) for argument in arguments])
        return "{}"

    monkeypatch.setattr(analyser_ablations, "agent", record)
    monkeypatch.setattr(analyser_ablations, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return made


STAGES = {
    "sft": ["sft"],
    "grpo": ["grpo"],
    "sft-grpo": ["sft", "mine", "grpo"],
    "sft-grpo-unmined": ["sft", "grpo"],
    "unmerged": ["sft"],
    "blank": ["sft"],
}


@pytest.mark.parametrize("name", list(RUNS))
def test_each_run_has_its_stages(name: str, commands: list[list[str]], tmp_path: Path) -> None:
    figures = run(name, Place(tmp_path / "set", tmp_path / "joined", tmp_path, 3, 80, 20))
    assert [command[1] for command in commands] == [*STAGES[name], "answer", "eval"]
    loaders = {"sft": sft.load_config, "mine": mine.load_config, "grpo": grpo.load_config}
    model, steps = str(tmp_path / "joined"), []
    for command in commands[:-2]:
        given = dict(zip(command[2::2], command[3::2], strict=True))
        config = loaders[command[1]](Path(given["--config"]))
        assert config.seed == 3 and given["--model"] == model
        if isinstance(config, mine.MineConfig):
            continue
        model = f"{given['--out']}/model"
        steps.append(config.steps / (80 if command[1] == "sft" else 20))
        assert ("--hard" in given) == (name == "sft-grpo" and command[1] == "grpo")
    assert sum(steps) == 1
    assert model in commands[-2] and figures.name == f"test-ablation-{name}-seed3.json" and figures.exists()


def test_the_tables_have_a_line_for_each_run() -> None:
    assert {f"ablation-{name}" for name in RUNS} == set(ABLATIONS)


def test_what_a_run_leaves_out_is_left_out_when_it_is_asked(commands: list[list[str]], tmp_path: Path) -> None:
    for name, switch in (("blank", "--no-diagnostics"), ("unmerged", "--one-by-one")):
        run(name, Place(tmp_path / "set", tmp_path / "joined", tmp_path, 0, 80, 20))
        assert commands[-2][-1] == switch
