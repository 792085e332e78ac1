"""Task: the content report of every shot and of the whole, by the engine that was chosen or what it falls back to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.tasks.messages import Analysed, AnalyseRequest, AnalyseResult
from agent.workspace import Workspace
from analysis.report import build_analysis
from analysis.schema import Analysis
from analysis.signals.observer import ShotSignals
from toolchain.errors import EnvironmentNotReady
from toolchain.events import Emit, Progress

if TYPE_CHECKING:
    from analysis.mllm.analyser import Findings, KeyFrame


def analyse(request: AnalyseRequest, emit: Emit) -> AnalyseResult:
    """Leaves the analysis in the work folder: of a long film it is too large for the graph's state.

    Raises what the engine raised (EnvironmentNotReady) where the settings name no fallback.
    """
    workspace = Workspace(request.work)
    shots = _shots(workspace)
    measured = build_analysis(shots)
    workspace.drop_findings()
    if request.analyser.engine == "signals":
        analysis, analysed = measured, Analysed(engine="signals", analyser=measured.analyser)
    else:
        analysis, analysed = _asked(request, workspace, shots, measured, emit)
    workspace.save_analysis(analysis)
    return AnalyseResult(description=analysis.pooled.content.description, analysed=analysed)


def _asked(
    request: AnalyseRequest, workspace: Workspace, shots: Sequence[ShotSignals], measured: Analysis, emit: Emit
) -> tuple[Analysis, Analysed]:
    """What the engine says; where it cannot, what was measured, and why."""
    try:
        findings = _look(request, workspace, shots, emit)
    except EnvironmentNotReady as error:
        if request.analyser.fallback == "none":
            raise
        reason = f"the engine {request.analyser.engine} gave no report: {error}"
        return measured, Analysed(engine="signals", analyser=measured.analyser, fell_back=reason)
    workspace.save_findings(findings)
    return _whole(measured, findings.analysis), Analysed(
        engine=findings.engine,
        analyser=findings.analysis.analyser,
        prompt_hash=findings.prompt_hash,
        frames=len(findings.frames),
        asked_again=findings.asked_again,
        contradictions=len(findings.contradictions),
    )


def _look(request: AnalyseRequest, workspace: Workspace, shots: Sequence[ShotSignals], emit: Emit) -> Findings:
    """Ask about the chosen key frames. EnvironmentNotReady where the engine cannot answer."""
    # Pictures, models and servers: only jobs that ask a model pay for their import.
    from agent.engines import open_engine
    from agent.native_frames import choose_key_frames, native_frames
    from analysis.mllm.analyser import KeyFrame
    from analysis.mllm.analyser import analyse as ask_about

    video = request.facts.video
    assert video is not None  # noqa: S101 - probe refuses files without a picture
    engine = open_engine(request.analyser)
    stored = [(shot, number) for shot, number, _ in workspace.key_frame_files()]
    chosen = choose_key_frames(stored, request.analyser.max_frames)
    looked_at = {shot for shot, _ in chosen}

    def frames() -> Iterator[KeyFrame]:
        for done, frame in enumerate(native_frames(request.path, video, workspace, chosen)):
            emit(Progress(step="analyse", done=done, total=len(chosen)))
            yield KeyFrame(frame.shot, frame.number, frame.rgb)

    return ask_about([item for item in shots if item.shot.index in looked_at], frames(), engine)


def _whole(measured: Analysis, seen: Analysis) -> Analysis:
    """`seen` with the shots that were not looked at, of too many, as they were measured."""
    by_shot = {item.shot: item for item in seen.shots}
    return seen.model_copy(
        update={
            "shots": tuple(by_shot.get(item.shot, item) for item in measured.shots),
            "pooled_signals": measured.pooled_signals,
        }
    )


def _shots(workspace: Workspace) -> list[ShotSignals]:
    empty = np.zeros((1, 1), np.float32)
    return [
        ShotSignals(item.shot, item.signals, item.tone, empty if mask is None else mask, item.boxes)
        for item in workspace.load_measurements()
        for mask in [workspace.load_mask(item.shot.index)]
    ]
