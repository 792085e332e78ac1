"""No candidate is better than doing nothing: the original stays, and the record says why."""

from __future__ import annotations

from agent.deps import Deps
from agent.records import append_record
from agent.state import State


def keep(state: State, deps: Deps) -> State:
    append_record(state, deps, "kept_original")
    verdicts = state.get("pilot_verdicts", [])
    reasons = [
        f"{verdict['model_id']}: {verdict['reason']}" for verdict in verdicts if verdict["outcome"] != "accept"
    ]
    reasons += [f"{v['model_id']} after rendering: {v['reason']}" for v in state.get("rolled_back", [])]
    return {
        "disposition": "kept_original",
        "reason": "no candidate is better than doing nothing: " + "; ".join(reasons),
    }
