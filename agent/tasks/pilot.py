"""Task: run the shortlist on the key frames and rank what passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np

from agent.controls import with_parameters
from agent.frames import KeyFrame, ShotContexts, load_key_frame, pilot_pair
from agent.parallel import in_order
from agent.tasks.messages import PilotRequest, PilotResult
from agent.workspace import Workspace
from analysis.schema import Candidate, Verdict
from analysis.vqa.judge import Judge
from analysis.vqa.spec import DO_NOTHING, FramePair, Limits, judge_controls, load_limits
from analysis.vqa.verdict import judge_candidate
from toolchain.color.transfer import REFERENCE_WHITE_NITS
from toolchain.events import Emit, Progress
from toolchain.models.guards import bind_guarded, bind_unguarded, gamut_clip_share
from toolchain.models.registry import get_spec
from toolchain.models.spec import Controls, PixelFunction, ShotContext

GAMUT_STEP = 8
"""Every eighth pixel of every eighth row tells the share of clipped colours well enough."""


def pilot(request: PilotRequest, emit: Emit) -> PilotResult:
    """Judge every candidate on the same frames, frame after frame."""
    limits = load_limits(request.limits)
    trials = tuple(_Trial(candidate, request.controls, limits) for candidate in request.plan.shortlist)
    frame_count = len(Workspace(request.work).key_frame_files())
    for judged, (picture, pair, clipped_share) in enumerate(in_order(_expand, _pictures(request, trials))):
        if judged % len(trials) == 0:
            emit(Progress(step="pilot", done=judged // len(trials), total=frame_count))
        picture.trial.judge.add(pair, picture.frame.of_source)
        picture.trial.clipped_shares.append(clipped_share)
    verdicts = [trial.verdict() for trial in trials]
    return PilotResult(verdicts=tuple(verdicts), ranking=rank(verdicts, pinned=request.plan.mode == "pinned"))


class _Trial:
    """One candidate with its controls and its judge."""

    def __init__(self, candidate: Candidate, controls: Controls, limits: Limits):
        self.candidate = candidate
        self.controls = with_parameters(controls, candidate.parameters)
        self.judge = Judge(limits, judge_controls(candidate.model_id, self.controls), "pilot")
        self.clipped_shares: list[float] = []
        self.bound = lru_cache(maxsize=2)(self._bound)

    def _bound(self, context: ShotContext) -> tuple[PixelFunction, PixelFunction]:
        """The model bound to a shot, guarded and unguarded: once for all the shot's key frames."""
        model_id = self.candidate.model_id
        return bind_guarded(model_id, context, self.controls), bind_unguarded(model_id, context, self.controls)

    def verdict(self) -> Verdict:
        """The judge's verdict, with the share of colours that the guards had to bring back into range."""
        judged = judge_candidate(self.candidate.model_id, self.judge, "pilot")
        return judged.model_copy(
            update={"metrics": {**judged.metrics, "gamut_clip_share": fmean(self.clipped_shares)}}
        )


@dataclass(frozen=True)
class _Picture:
    """What one candidate is to do: a key frame, and what models may know of its shot."""

    trial: _Trial
    frame: KeyFrame
    context: ShotContext


def _pictures(request: PilotRequest, trials: tuple[_Trial, ...]) -> Iterator[_Picture]:
    """Each key frame, read once, for each candidate."""
    workspace = Workspace(request.work)
    assert request.facts.video is not None  # noqa: S101 - probe refuses files without a picture
    color = request.facts.video.color
    contexts = ShotContexts(workspace, request.facts.video)
    for shot, number, path in workspace.key_frame_files():
        frame = load_key_frame(path, shot, number, color, workspace.load_mask(shot))
        for trial in trials:
            yield _Picture(trial, frame, contexts.of(shot))


def _expand(picture: _Picture) -> tuple[_Picture, FramePair, float]:
    model_id, controls = picture.trial.candidate.model_id, picture.trial.controls
    guarded, unguarded = picture.trial.bound(picture.context)
    pair = pilot_pair(picture.frame, guarded)
    light = picture.frame.of_source.rgb / np.float32(REFERENCE_WHITE_NITS)
    samples = (slice(None, None, GAMUT_STEP), slice(None, None, GAMUT_STEP))
    # A network that looks around itself must see the whole picture for the samples to mean anything.
    nits = unguarded(light[samples]) if get_spec(model_id).pointwise else unguarded(light)[samples]
    return picture, pair, gamut_clip_share(nits, controls.peak_nits)


def rank(verdicts: list[Verdict], pinned: bool) -> tuple[str, ...]:
    """Accepted models by falling score. Doing nothing takes part only when it was asked for by name."""
    if pinned and [(verdict.model_id, verdict.outcome) for verdict in verdicts] == [(DO_NOTHING, "accept_no_gain")]:
        return (DO_NOTHING,)
    passed = [verdict for verdict in verdicts if verdict.passed]
    return tuple(verdict.model_id for verdict in sorted(passed, key=lambda verdict: -verdict.gain))
