"""The analyser's training set on disk.

    <folder>/manifest.json            written last: without it the set is not finished
    <folder>/config.sha256            of the configuration it was begun with
    <folder>/<split>/<n>.npz          picture uint8 (N, 140, 224, 3), statistics uint8 (N, 9, 16, 48)
    <folder>/<split>/<n>.frames.zip   perhaps: N frames for large models, training.data.mllm_frames
    <folder>/<split>/<n>.jsonl        N lines {"id", "source", "split", "report", "extra"}; then it is whole

Splits: train, validation, test, and clips (frames of real clips, for evaluation alone). Files are hostile input.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.mllm.diagnostic import CELLS, PICTURE_SIZE, STATISTICS, mosaic
from analysis.mllm.frame_report import FrameReport
from toolchain.errors import InputError
from toolchain.files import disk_errors, write_atomic

MANIFEST = "manifest.json"
PICTURE_SHAPE = (PICTURE_SIZE[1], PICTURE_SIZE[0], 3)
STATISTICS_SHAPE = (*CELLS, len(STATISTICS))


class Line(BaseModel):
    """One sample's truth. `source` is the picture the split hangs on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9-]{1,120}$")
    source: str
    split: str
    report: FrameReport
    extra: dict[str, Any] = {}


@dataclass(frozen=True)
class Shard:
    """Arrays and lines of one shard, in the same order."""

    picture: NDArray[np.uint8]
    statistics: NDArray[np.uint8]
    lines: list[Line]

    def diagnostic(self, index: int) -> NDArray[np.uint8]:
        """(252, 448, 3) of one sample."""
        return mosaic(self.statistics[index])


def shard_path(folder: Path, split: str, number: int) -> Path:
    """Of the lines; the arrays lie beside it as .npz."""
    return folder / split / f"{number:05d}.jsonl"


def write_shard(lines_path: Path, shard: Shard) -> None:
    """Arrays first, then lines: a shard whose lines are there is whole."""
    with disk_errors(lines_path.parent):
        lines_path.parent.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()
    np.savez(memory, picture=shard.picture, statistics=shard.statistics)
    write_atomic(lines_path.with_suffix(".npz"), memory.getvalue())
    write_atomic(lines_path, "".join(line.model_dump_json() + "\n" for line in shard.lines))


def read_shard(lines_path: Path) -> Shard:
    """A whole shard; InputError where a file is missing, broken, or does not fit the other."""
    lines = read_lines(lines_path)
    path = lines_path.with_suffix(".npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            picture, stored = np.asarray(arrays["picture"]), np.asarray(arrays["statistics"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path} is not a readable shard ({error}): delete it and build the set again.") from error
    for array, shape in ((picture, PICTURE_SHAPE), (stored, STATISTICS_SHAPE)):
        if array.dtype != np.uint8 or array.shape != (len(lines), *shape):
            raise InputError(
                f"{path} holds {array.dtype}{array.shape}, uint8{(len(lines), *shape)} is due: build the set again."
            )
    return Shard(picture, stored, lines)


def read_lines(path: Path) -> list[Line]:
    """The lines of a shard; InputError where they cannot be read."""
    try:
        lines = [Line.model_validate_json(text) for text in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"{path} does not hold samples ({error}): delete it and build the set again.") from error
    if any(line.split != path.parent.name for line in lines):
        raise InputError(f"{path} holds samples of another split: delete it and build the set again.")
    return lines


def shards(folder: Path, split: str) -> list[Path]:
    """The lines' files of a split in order, also of a set that is still being made; InputError if there are none."""
    found = sorted((folder / split).glob("[0-9]*.jsonl"))
    if not found:
        raise InputError(f"{folder} holds no samples of {split}: build them with `agent train data`.")
    return found


def samples(folder: Path, split: str) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], Line]]:
    """(picture, statistics, line) of every sample of a split, shard by shard."""
    for path in shards(folder, split):
        shard = read_shard(path)
        yield from zip(shard.picture, shard.statistics, shard.lines, strict=True)


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished set; InputError for an unfinished one."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{folder} is not a finished set ({error}): build it with `agent train data`.") from error
    if not isinstance(found, dict):
        raise InputError(f"{folder / MANIFEST} is no manifest: build the set again.")
    return found
