"""Task: the content report of every shot and of the whole, made of the measured signals by rules."""

from __future__ import annotations

import numpy as np

from agent.tasks.messages import AnalyseRequest, AnalyseResult
from agent.workspace import Workspace
from analysis.report import build_analysis
from analysis.signals.observer import ShotSignals
from toolchain.events import Emit


def analyse(request: AnalyseRequest, _: Emit) -> AnalyseResult:
    """Leaves the analysis in the work folder: of a long film it is too large for the graph's state."""
    workspace = Workspace(request.work)
    empty = np.zeros((1, 1), np.float32)
    shots = [
        ShotSignals(item.shot, item.signals, item.tone, empty if mask is None else mask, item.boxes)
        for item in workspace.load_measurements()
        for mask in [workspace.load_mask(item.shot.index)]
    ]
    analysis = build_analysis(shots)
    workspace.save_analysis(analysis)
    return AnalyseResult(description=analysis.pooled.content.description)
