"""What is the video like? Rules make the content report of the measured signals; a later analyser replaces them."""

from __future__ import annotations

from agent.deps import Deps
from agent.state import State
from agent.workspace import Workspace
from analysis.report import analyse_shots


def analyse(state: State, deps: Deps) -> State:
    workspace = Workspace(deps.run.work)
    workspace.save_analysis(analyse_shots(workspace.load_signals(), workspace.load_scan().shots))
    return {"warnings": state["warnings"]}
