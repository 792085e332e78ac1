"""The render was not good enough: drop it and choose the next candidate. It starts from the source again."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent import routing
from agent.deps import Deps
from agent.state import State
from agent.workspace import Workspace


def rollback(state: State, deps: Deps) -> State:
    Path(state["temporary"]).unlink(missing_ok=True)
    shutil.rmtree(Workspace(deps.run.work).segments(state["candidate"]), ignore_errors=True)
    tried: State = {**state, "attempt": state["attempt"] + 1}
    return {
        "attempt": tried["attempt"],
        "candidate": routing.next_candidate(tried),
        "rolled_back": [*state.get("rolled_back", []), state["final_verdict"]],
    }
