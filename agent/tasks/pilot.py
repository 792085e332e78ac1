"""Task: run the shortlist on the key frames and rank what passes."""

from __future__ import annotations

from agent.controls import with_parameters
from agent.frames import pilot_pair
from agent.tasks.messages import PilotRequest, PilotResult
from agent.workspace import Workspace
from analysis.schema import Candidate, Verdict
from analysis.vqa.judge import Judge
from analysis.vqa.spec import JudgeControls, load_limits
from analysis.vqa.verdict import judge_candidate
from toolchain.events import Emit, Progress
from toolchain.models.guards import bind_guarded
from toolchain.video.picture import load_signal


def pilot(request: PilotRequest, emit: Emit) -> PilotResult:
    """Judge every candidate on the same frames, one candidate after the other."""
    shortlist = request.plan.shortlist
    verdicts = []
    for done, candidate in enumerate(shortlist):
        emit(Progress(step="pilot", done=done, total=len(shortlist), unit="candidates"))
        verdicts.append(_judge(request, candidate))
    return PilotResult(verdicts=tuple(verdicts), ranking=rank(verdicts, pinned=request.plan.mode == "pinned"))


def rank(verdicts: list[Verdict], pinned: bool) -> tuple[str, ...]:
    """Accepted models by falling score. Doing nothing takes part only when it was asked for by name."""
    passed = [verdict for verdict in verdicts if verdict.passed]
    best_first = sorted(passed, key=lambda verdict: -verdict.gain)
    if pinned and not best_first and [verdict.model_id for verdict in verdicts] == ["direct203"]:
        return ("direct203",)
    return tuple(verdict.model_id for verdict in best_first)


def _judge(request: PilotRequest, candidate: Candidate) -> Verdict:
    workspace = Workspace(request.work)
    assert request.facts.video is not None  # noqa: S101 - probe refuses files without a picture
    color = request.facts.video.color
    tones = {item.shot.index: item.tone for item in workspace.load_measurements()}
    controls = with_parameters(request.controls, candidate.parameters)
    judge = Judge(load_limits(), JudgeControls(peak_nits=controls.peak_nits, mid_gain_ev=controls.mid_gain_ev))
    for shot, number, path in workspace.key_frame_files():
        expand = bind_guarded(candidate.model_id, tones[shot], controls)
        mask = workspace.load_mask(shot)
        judge.add(pilot_pair(shot, number, load_signal(path), color, expand, mask))
    return judge_candidate(candidate.model_id, judge, "pilot")
