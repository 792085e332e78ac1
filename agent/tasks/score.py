"""Task: a video's place on the distortion ranking."""

from __future__ import annotations

from pydantic import ValidationError

from agent.tasks.messages import ScoreRequest, ScoreResult
from toolchain.errors import InputError
from toolchain.events import Emit


def score(request: ScoreRequest, _: Emit) -> ScoreResult:
    """Raises InputError for what is no video, and where no finite score comes out."""
    from analysis.vqa import bilivqa  # a runtime and its network: only the jobs that score pay for them

    found = bilivqa.score_video(request.path)
    try:
        return ScoreResult(
            score=found.score,
            heads=found.heads,
            clips=found.clips,
            model_hash=bilivqa.model_hash(),
            preprocessing_hash=bilivqa.preprocessing_hash(),
        )
    except ValidationError as error:
        raise InputError(f"{request.path} has no finite score ({found.score}): it cannot be ranked") from error
