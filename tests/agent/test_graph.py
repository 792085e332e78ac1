"""The graph itself, with nodes that only say what they were told: which way it goes, and where it goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import graph
from agent.nodes import NODES, run_node
from agent.state import JobSpec, State
from toolchain.errors import EnvironmentNotReady, InputError

ACCEPT = {"outcome": "accept", "model_id": "spline"}
REJECT = {"outcome": "reject", "model_id": "spline"}


class Script:
    """Plays every node: notes its name, returns what the test prepared, and fails where it is told to."""

    def __init__(self, answers: dict[str, list[State]] | None = None):
        self.visited: list[str] = []
        self.fail_at = ""
        self.error: BaseException = KeyboardInterrupt()
        self._answers = {
            "pilot": [State(ranking=["spline", "bt2446a"], candidate="spline", attempt=0)],
            "verify": [State(final_verdict=ACCEPT)],
            "commit": [State(disposition="delivered")],
            "keep": [State(disposition="kept_original")],
            **(answers or {}),
        }

    def __call__(self, name: str, state: State, deps: Any = None) -> State:
        if name == self.fail_at:
            self.fail_at = ""
            raise self.error
        self.visited.append(name)
        answers = self._answers.get(name, [])
        return answers.pop(0) if answers else State(description=name)


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    return JobSpec(input=tmp_path / "in.mp4", output=tmp_path / "out.mp4")


def play(monkeypatch: pytest.MonkeyPatch, script: Script, job: JobSpec, folder: Path) -> State:
    monkeypatch.setattr(graph, "run_node", script)
    deps: Any = None
    return graph.execute(job, deps, folder / "checkpoints.sqlite", "thread")


STRAIGHT = ["probe", "shots", "analyse", "plan", "pilot", "render", "verify", "commit"]


def test_the_straight_way(monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path) -> None:
    script = Script()
    assert play(monkeypatch, script, job, tmp_path)["disposition"] == "delivered"
    assert script.visited == STRAIGHT


def test_a_rejected_render_is_rolled_back_and_the_next_one_tried(
    monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path
) -> None:
    script = Script(
        {
            "verify": [State(final_verdict=REJECT), State(final_verdict={**ACCEPT, "model_id": "bt2446a"})],
            "rollback": [State(attempt=1, candidate="bt2446a")],
        }
    )
    assert play(monkeypatch, script, job, tmp_path)["disposition"] == "delivered"
    assert script.visited == [*STRAIGHT[:-1], "rollback", "render", "verify", "commit"]


def test_nothing_left_keeps_the_original(monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path) -> None:
    script = Script({"verify": [State(final_verdict=REJECT)], "rollback": [State(attempt=1, candidate="")]})
    assert play(monkeypatch, script, job, tmp_path)["disposition"] == "kept_original"
    assert script.visited[-2:] == ["rollback", "keep"]


@pytest.mark.parametrize("node", STRAIGHT)
def test_an_interrupted_graph_goes_on_at_the_node_it_stopped_in(
    node: str, monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path
) -> None:
    script = Script()
    script.fail_at = node
    with pytest.raises(KeyboardInterrupt):
        play(monkeypatch, script, job, tmp_path)
    assert script.visited == STRAIGHT[: STRAIGHT.index(node)]
    assert play(monkeypatch, script, job, tmp_path)["disposition"] == "delivered"
    assert script.visited == STRAIGHT


def test_a_full_disk_keeps_the_checkpoint_and_bad_input_drops_it(
    monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path
) -> None:
    for error, first_after in ((EnvironmentNotReady("disk full"), "render"), (InputError("damaged"), "probe")):
        script = Script()
        script.fail_at, script.error = "render", error
        folder = tmp_path / type(error).__name__
        folder.mkdir()
        with pytest.raises(type(error)):
            play(monkeypatch, script, job, folder)
        before = len(script.visited)
        play(monkeypatch, script, job, folder)
        assert script.visited[before] == first_after


def test_stopping_early(monkeypatch: pytest.MonkeyPatch, job: JobSpec, tmp_path: Path) -> None:
    script = Script()
    play(monkeypatch, script, job.model_copy(update={"stop_after": "plan"}), tmp_path)
    assert script.visited == STRAIGHT[:4]


def test_mermaid_shows_every_node() -> None:
    text = graph.mermaid()
    assert text.startswith(("---", "graph"))
    assert all(name in text for name in NODES)


def test_a_node_may_not_invent_fields(monkeypatch: pytest.MonkeyPatch, job: JobSpec) -> None:
    class Run:
        status = SimpleNamespace(job=job)

        def write_status(self, status: object, **_: object) -> object:
            return status

    class Deps:
        run = Run()

        @staticmethod
        def emit(_: object) -> None: ...

    monkeypatch.setitem(NODES, "plan", lambda state, deps: {"colour": "blue"})
    deps: Any = Deps()
    with pytest.raises(TypeError, match="colour"):
        run_node("plan", State(), deps)
