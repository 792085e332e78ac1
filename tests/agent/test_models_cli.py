"""`agent models list|show|pull` in process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.cli.main import main
from toolchain.models.registry import specs
from toolchain.models.spec import ModelSpec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def smallest_published() -> ModelSpec:
    sizes = {spec.id: spec.weights.size_bytes for spec in specs() if spec.weights and spec.weights.url}
    if not sizes:
        pytest.skip("no published network is registered")
    return next(spec for spec in specs() if spec.id == min(sizes, key=sizes.__getitem__))


@pytest.fixture
def shared_weights() -> Path:
    """The published files ($SDR2HDR_WEIGHTS, else ../shared/weights); skips where they are absent."""
    folder = Path(os.environ.get("SDR2HDR_WEIGHTS") or Path(__file__).parents[3] / "shared" / "weights")
    if not folder.is_dir():
        pytest.skip("published weights not present: shared/weights (set SDR2HDR_WEIGHTS)")
    return folder


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_shows_state_cost_and_licence_in_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert set(rows) == {spec.id for spec in specs()}
    for spec in specs():
        assert f" {spec.cost_class} " in rows[spec.id] and spec.licence.split(" (")[0] in rows[spec.id]
    assert " built in " in rows["direct203"]


def test_list_as_json_carries_the_state_and_how_to_get_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    listed = {line["id"]: line for line in json_lines(capsys)}
    assert listed["direct203"]["state"] == "built in"
    for spec in specs():
        if spec.weights and spec.weights.url:
            assert listed[spec.id]["state"] == "not installed"
            assert f"agent models pull {spec.id}" in str(listed[spec.id]["state_message"])


def test_show_tells_where_weights_come_from_and_whose_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    spec = smallest_published()
    assert spec.weights is not None
    assert main(["models", "show", spec.id]) == 0
    told = capsys.readouterr().out
    for fact in (spec.weights.sha256, spec.weights.url, spec.weights.credit, spec.source, spec.input, spec.output):
        assert str(fact) in told
    assert main(["models", "show", "direct203"]) == 0
    assert "weights" not in capsys.readouterr().out.replace("it needs no weights", "")


def test_pull_from_a_folder_installs_once(
    shared_weights: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = smallest_published()
    assert main(["models", "pull", spec.id, "--from", str(shared_weights)]) == 0
    assert capsys.readouterr().out == f"{spec.id} installed\n"
    assert main(["models", "pull", spec.id, spec.id, "--json"]) == 0
    events = json_lines(capsys)
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events] == ["step.started", "step.completed", "job.completed"]
    assert (events[1]["summary"], events[-1]["exit_code"]) == (f"{spec.id} was installed already", 0)
    assert events[-1]["output"] == str(cache)
    assert main(["models", "show", spec.id, "--json"]) == 0
    assert json_lines(capsys)[0]["state"] == "installed"


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_pull_of_a_wrong_file_is_bad_input(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = smallest_published()
    assert spec.weights is not None
    (tmp_path / spec.weights.file).write_bytes(content)
    assert main(["models", "pull", spec.id, "--from", str(tmp_path), "--json"]) == 3
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["type"], last["exit_code"]) == ("job.failed", 3)
    assert f"where the catalogue asks for {spec.weights.size_bytes}" in last["message"]
    assert captured.err.count("error: ") == 1


@pytest.mark.parametrize(
    ("model_id", "words"), [("direct203", "built in"), ("deband", "built in"), ("magic", "use one of direct203")]
)
def test_pull_refuses_what_has_nothing_to_pull(
    model_id: str, words: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", model_id]) == 2
    assert words in capsys.readouterr().err
    assert not cache.exists()


def test_pull_names_the_missing_file_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = smallest_published()
    assert spec.weights is not None
    assert main(["models", "pull", "--from", str(tmp_path / "nowhere")]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "cannot be read" in error
