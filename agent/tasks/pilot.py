"""Task: run the shortlist on the key frames and rank what passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.controls import with_parameters
from agent.frames import KeyFrame, load_key_frame, pilot_pair
from agent.parallel import in_order
from agent.tasks.messages import PilotRequest, PilotResult
from agent.workspace import Workspace
from analysis.schema import Candidate, Verdict
from analysis.vqa.judge import Judge
from analysis.vqa.spec import DO_NOTHING, FramePair, Limits, judge_controls, load_limits
from analysis.vqa.verdict import judge_candidate
from toolchain.events import Emit, Progress
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls, ShotTone


def pilot(request: PilotRequest, emit: Emit) -> PilotResult:
    """Judge every candidate on the same frames, frame after frame."""
    limits = load_limits()
    trials = tuple(_Trial(candidate, request.controls, limits) for candidate in request.plan.shortlist)
    frame_count = len(Workspace(request.work).key_frame_files())
    for judged, (trial, frame, pair) in enumerate(in_order(_expand, _pictures(request, trials))):
        if judged % len(trials) == 0:
            emit(Progress(step="pilot", done=judged // len(trials), total=frame_count))
        trial.judge.add(pair, frame.of_source)
    verdicts = [judge_candidate(trial.candidate.model_id, trial.judge, "pilot") for trial in trials]
    return PilotResult(verdicts=tuple(verdicts), ranking=rank(verdicts, pinned=request.plan.mode == "pinned"))


class _Trial:
    """One candidate with its controls and its judge."""

    def __init__(self, candidate: Candidate, controls: Controls, limits: Limits):
        self.candidate = candidate
        self.controls = with_parameters(controls, candidate.parameters)
        self.judge = Judge(limits, judge_controls(candidate.model_id, self.controls))


@dataclass(frozen=True)
class _Picture:
    """What one candidate is to do: a key frame, and the tone of its shot."""

    trial: _Trial
    frame: KeyFrame
    tone: ShotTone


def _pictures(request: PilotRequest, trials: tuple[_Trial, ...]) -> Iterator[_Picture]:
    """Each key frame, read once, for each candidate."""
    workspace = Workspace(request.work)
    assert request.facts.video is not None  # noqa: S101 - probe refuses files without a picture
    color = request.facts.video.color
    tones = {item.shot.index: item.tone for item in workspace.load_measurements()}
    for shot, number, path in workspace.key_frame_files():
        frame = load_key_frame(path, shot, number, color, workspace.load_mask(shot))
        for trial in trials:
            yield _Picture(trial, frame, tones[shot])


def _expand(picture: _Picture) -> tuple[_Trial, KeyFrame, FramePair]:
    trial = picture.trial
    expand = bind_guarded(trial.candidate.model_id, picture.tone, trial.controls)
    return trial, picture.frame, pilot_pair(picture.frame, expand)


def rank(verdicts: list[Verdict], pinned: bool) -> tuple[str, ...]:
    """Accepted models by falling score. Doing nothing takes part only when it was asked for by name."""
    if pinned and [(verdict.model_id, verdict.outcome) for verdict in verdicts] == [(DO_NOTHING, "accept_no_gain")]:
        return (DO_NOTHING,)
    passed = [verdict for verdict in verdicts if verdict.passed]
    return tuple(verdict.model_id for verdict in sorted(passed, key=lambda verdict: -verdict.gain))
