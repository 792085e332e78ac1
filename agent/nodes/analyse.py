"""What is the video like? Rules make the content report of the measured signals; a later analyser replaces them."""

from __future__ import annotations

from agent.deps import Deps
from agent.state import State
from agent.tasks.messages import AnalyseRequest, AnalyseResult


def analyse(state: State, deps: Deps) -> State:
    result = deps.worker.call("analyse", AnalyseRequest(work=deps.run.work), AnalyseResult, deps.emit)
    return {"description": result.description}
