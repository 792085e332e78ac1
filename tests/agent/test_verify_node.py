"""The node that has a render judged: what it asks the worker for, and what it does when the render is gone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.deps import Deps
from agent.nodes.verify import verify
from agent.state import JobSpec, State
from analysis.schema import Plan, RestoreStep, Verdict
from analysis.selection.profile import load_profile
from toolchain.events import ignore
from toolchain.video.facts import MediaFacts

VERDICT = Verdict(model_id="direct203", outcome="reject", gain=0.0, gates=(), reason="a test")
STEP = RestoreStep(model_id="denoise", reason="a test")


def asked(tmp_path: Path, restore: tuple[RestoreStep, ...] = ()) -> tuple[Any, State]:
    """The request that reached the worker, and the state as it was."""
    requests: list[Any] = []

    def call(_task: str, request: Any, *_: object) -> Verdict:
        requests.append(request)
        return VERDICT

    plan = Plan(policy="rules-2", mode="greedy", candidates=(), restore=restore)
    state = State(
        job=JobSpec(input=tmp_path / "in.mp4", output=tmp_path / "out.mp4").model_dump(mode="json"),
        facts=MediaFacts(
            path=tmp_path / "in.mp4", size_bytes=1, format_name="mov", duration_s=1, streams=(), video=None
        ).model_dump(mode="json"),
        plan_record=plan.model_dump(mode="json"),
        candidate="direct203",
        temporary=str(tmp_path / ".partial.mp4"),
    )
    deps = SimpleNamespace(
        run=SimpleNamespace(work=tmp_path),
        worker=SimpleNamespace(call=call),
        profile=load_profile("fast"),
        emit=ignore,
    )
    verify(state, cast(Deps, deps))
    return requests[-1], state


def test_the_verdict_knows_whether_the_picture_was_restored(tmp_path: Path) -> None:
    (tmp_path / ".partial.mp4").touch()
    assert asked(tmp_path)[0].restored is False
    assert asked(tmp_path, (STEP,))[0].restored is True


def test_a_render_that_is_gone_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped run's temporary file lies in the user's own folder."""
    made: list[str] = []
    monkeypatch.setattr(
        import_module("agent.nodes.verify"), "render", lambda state, _: made.append(state["temporary"])
    )
    _, state = asked(tmp_path)
    assert made == [state["temporary"]]
