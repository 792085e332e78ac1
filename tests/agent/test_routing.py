"""Where the graph goes: plain functions, tested without LangGraph."""

from __future__ import annotations

import pytest

from agent import routing
from agent.state import State
from analysis.selection.profile import load_profile, profile_names


def state(**fields: object) -> State:
    return State(**{"job": {"on_reject": "keep", "stop_after": "commit"}, **fields})  # type: ignore[typeddict-item]


def test_an_accepted_file_is_committed() -> None:
    assert routing.after_verify(state(final_verdict={"outcome": "accept", "model_id": "spline"})) == "commit"


@pytest.mark.parametrize("outcome", ["reject", "uncertain", "accept_no_gain"])
def test_anything_less_is_rolled_back(outcome: str) -> None:
    assert routing.after_verify(state(final_verdict={"outcome": outcome, "model_id": "spline"})) == "rollback"


def test_doing_nothing_may_be_delivered_without_gain_but_not_after_a_failed_gate() -> None:
    nothing = {"outcome": "accept_no_gain", "model_id": "direct203"}
    assert routing.after_verify(state(final_verdict=nothing)) == "commit"
    assert routing.after_verify(state(final_verdict={**nothing, "outcome": "reject"})) == "rollback"


def test_candidates_are_tried_in_order_until_none_is_left() -> None:
    ranking = ["a", "b", "c"]
    chosen = [routing.next_candidate(state(ranking=ranking, attempt=n)) for n in range(5)]
    assert chosen == ["a", "b", "c", "", ""]


def test_direct203_comes_last_when_asked_for_and_only_once() -> None:
    job = {"on_reject": "direct203"}
    assert routing.next_candidate(State(job=job, ranking=["a"], attempt=1, candidate="a")) == "direct203"
    assert routing.next_candidate(State(job=job, ranking=["a"], attempt=2, candidate="direct203")) == ""


@pytest.mark.parametrize(
    ("step", "route"),
    [("analyse", routing.after_analyse), ("plan", routing.after_plan), ("pilot", routing.after_pilot)],
)
def test_a_job_stops_where_it_was_asked_to(step: str, route: object) -> None:
    assert route(state(job={"stop_after": step}, candidate="a")) == "stop"  # type: ignore[operator]


def test_step_budget_covers_the_longest_way() -> None:
    renders = max(load_profile(name).max_attempts for name in profile_names()) + 1  # direct203 comes last
    longest = len(["probe", "shots", "analyse", "plan", "pilot"]) + 3 * renders + 1
    assert longest <= routing.STEP_BUDGET
