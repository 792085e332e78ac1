"""`agent train` in process: data, a training, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli.main import main
from toolchain.errors import InputError, UsageError
from toolchain.models.lumen import Numbers

PAIRS = {"titles": 3, "masters": False, "seen_grades": 1, "unseen_grades": 0, "compressed_share": 0}
RECIPE = {"name": "lumen-fixed", "model": "fixed", "steps": 2, "learning_rate": 0.04, "pool": 64, "pixels": 64}
FOLDS = [f"fold{fold}" for fold in range(5)]


def written(path: Path, content: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_pairs_are_made_and_a_model_is_trained_on_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "pairs", tmp_path / "out"
    pairs = written(tmp_path / "pairs.yaml", PAIRS)
    assert main(["train", "itm-data", "--config", pairs, "--out", str(data), "--json"]) == 0
    said = events(capsys)
    assert [event["done"] for event in said if event["type"] == "step.progress"] == [1, 2, 3]
    assert (said[-1]["type"], said[-1]["output"]) == ("job.completed", str(data))
    splits = [fold for fold in FOLDS if (data / fold).is_dir()]
    recipe = written(tmp_path / "recipe.yaml", {**RECIPE, "splits": splits})
    assert main(["train", "itm", "--config", recipe, "--data", str(data), "--out", str(out), "--json"]) == 0
    assert events(capsys)[-1]["output"] == str(out / "lumen-fixed.json")
    Numbers.model_validate_json((out / "lumen-fixed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["itm-data", "itm", "restore"])
def test_a_folder_that_cannot_be_made_is_told_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    arguments = ["train", command, "--config", "none.yaml", "--data", str(tmp_path), "--out", str(tmp_path / "file")]
    assert main(arguments) == UsageError.exit_code
    assert "name another with --out" in capsys.readouterr().err


def test_a_recipe_of_another_training_and_an_empty_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["train", "itm", "--config", written(tmp_path / "p.yaml", PAIRS), *where]) == UsageError.exit_code
    assert "no recipe of an SDR-to-HDR training" in capsys.readouterr().err
    assert main(["train", "itm", "--config", written(tmp_path / "r.yaml", RECIPE), *where]) == InputError.exit_code
    assert "holds no pairs" in capsys.readouterr().err
