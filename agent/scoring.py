"""Scores of videos by the judging network, each in a worker process: `agent vqa score` and `agent vqa calibrate`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from agent.outputs import check_input
from agent.tasks.messages import ScoreRequest, ScoreResult
from agent.worker import Worker
from toolchain.errors import AgentError, InputError
from toolchain.events import Emit, Progress, StepStarted, Warned, ignore
from toolchain.files import cache_folder, disk_errors, sha256_file, write_atomic

MIN_VIDEOS = 50
"""Of a benchmark: the DKW half-width is 19 points then, and with fewer hardly a video is surely poor or excellent."""

VIDEO_SUFFIXES = (
    ".264", ".265", ".asf", ".av1", ".avi", ".dv", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip
"""What counts as a video below a folder: names of the formats in `toolchain.video.container`."""


@dataclass(frozen=True)
class Ranker:
    """Which network scores: its SHA-256 and that of the way pictures come to it, both hex."""

    model_hash: str
    preprocessing_hash: str


@dataclass(frozen=True)
class Skipped:
    """A video that is not in the benchmark, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """Scores by the SHA-256 of each file; `reused` of them came from an earlier, stopped run."""

    score_by_digest: dict[str, float]
    skipped: tuple[Skipped, ...]
    reused: int


def current_ranker() -> Ranker:
    """Raises EnvironmentNotReady when the network's weights are not there."""
    from analysis.vqa import bilivqa

    return Ranker(bilivqa.model_hash(), bilivqa.preprocessing_hash())


class Scorer:
    """Scores one file after another; one that kills the worker does not stop the next. Use as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sdr2hdr-score-")
        self._worker: Worker | None = None

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()
        self._folder.cleanup()

    def __call__(self, path: Path) -> ScoreResult:
        """Raises InputError when `path` is at fault; any other error says at which file it happened."""
        if self._worker is None or not self._worker.alive:
            self._worker = Worker(Path(self._folder.name) / "worker.log")
        try:
            return self._worker.call("score", ScoreRequest(path=path), ScoreResult, ignore)
        except InputError:
            raise
        except AgentError as error:
            raise type(error)(f"{path}: {error}") from error


def score_benchmark(folder: Path, ranker: Ranker, emit: Emit) -> Benchmark:
    """Score every video below `folder`, in order of path; what was scored before is taken from the cache.

    A video that cannot be scored, or is a copy of another, is skipped and told with Warned. Raises InputError when
    fewer than MIN_VIDEOS are there or could be scored.
    """
    paths = list(_videos(folder))
    _require_enough(len(paths), folder, "")
    scores: dict[str, float] = {}
    skipped: list[Skipped] = []
    reused = 0
    emit(StepStarted(step="calibrate"))
    with Scorer() as scorer:
        for done, path in enumerate(paths, start=1):
            try:
                digest, result, was_there = _scored(path, ranker, scorer)
                if digest in scores:
                    raise InputError(f"{path} is a copy of another video of the benchmark: it counts once")
                scores[digest] = result.score
                reused += was_there
            except InputError as error:
                skipped.append(Skipped(path, str(error)))
                emit(Warned(message=f"skipped: {error}"))
            emit(Progress(step="calibrate", done=done, total=len(paths), unit="videos"))
    _require_enough(len(scores), folder, f"; {len(skipped)} were skipped")
    return Benchmark(scores, tuple(skipped), reused)


def _scored(path: Path, ranker: Ranker, scorer: Scorer) -> tuple[str, ScoreResult, bool]:
    """The file's digest and result, and whether the cache had it."""
    source = check_input(path)
    try:
        digest = sha256_file(source)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the disk") from error
    kept = _kept_score(digest, ranker)
    found = _load(kept)
    if found is not None:
        return digest, found, True
    result = scorer(source)
    with disk_errors(kept.parent):
        kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, result.model_dump_json())
    return digest, result, False


def _kept_score(digest: str, ranker: Ranker) -> Path:
    maker = f"{ranker.model_hash[:16]}-{ranker.preprocessing_hash[:16]}"
    return cache_folder() / "vqa" / "scores" / maker / f"{digest}.json"


def _load(kept: Path) -> ScoreResult | None:
    """None also for a damaged file: the video is scored again then, and the file replaced."""
    try:
        return ScoreResult.model_validate_json(kept.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _videos(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the folder of a benchmark")
    for parent, folders, files in os.walk(folder, onerror=_refuse_folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield Path(parent, name)


def _refuse_folder(error: OSError) -> NoReturn:
    """A folder that is passed over in silence would make another benchmark."""
    raise InputError(
        f"the folder {error.filename} cannot be read ({error.strerror}): check its permissions"
    ) from error


def _require_enough(count: int, folder: Path, skipped: str) -> None:
    if count < MIN_VIDEOS:
        raise InputError(
            f"{folder} holds {count} videos{skipped}: a percentile scale needs at least {MIN_VIDEOS}, add some "
            f"(names ending in {', '.join(VIDEO_SUFFIXES[9:17])} ...)"
        )
