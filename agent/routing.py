"""Where the graph goes next: plain functions of the state."""

from __future__ import annotations

from typing import Literal

from agent.state import State

STEP_BUDGET = 40
"""Graph steps a job may take. Eight lead to the end, and each full render is three (render, verify, rollback): room
for ten renders, where profiles allow far fewer (`max_attempts` cuts the ranking)."""


def after_analyse(state: State) -> Literal["plan", "stop"]:
    return "stop" if _stops_after(state, "analyse") else "plan"


def after_plan(state: State) -> Literal["pilot", "stop"]:
    return "stop" if _stops_after(state, "plan") else "pilot"


def after_pilot(state: State) -> Literal["render", "keep", "stop"]:
    if _stops_after(state, "pilot"):
        return "stop"
    return "render" if state.get("candidate") else "keep"


def after_verify(state: State) -> Literal["commit", "rollback"]:
    return "commit" if deliverable(state) else "rollback"


def after_rollback(state: State) -> Literal["render", "keep"]:
    return "render" if state.get("candidate") else "keep"


def deliverable(state: State) -> bool:
    """The verified file may be delivered: better than doing nothing, or doing nothing was asked for by name."""
    verdict = state.get("final_verdict", {})
    outcome = verdict.get("outcome")
    return outcome == "accept" or (outcome == "accept_no_gain" and verdict.get("model_id") == "direct203")


def next_candidate(state: State) -> str:
    """The next model to render after `attempt` failures, or "" when the original is to be kept."""
    attempt = state.get("attempt", 0)
    ranking = state.get("ranking", [])
    if attempt < len(ranking):
        return ranking[attempt]
    wants_direct = state.get("job", {}).get("on_reject") == "direct203"
    return "direct203" if wants_direct and state.get("candidate") != "direct203" else ""


def _stops_after(state: State, step: str) -> bool:
    return state.get("job", {}).get("stop_after") == step
