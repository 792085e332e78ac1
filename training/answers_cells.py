"""Answers without a language model: a network describes cells, the read-out makes reports of them.

The network is the plain convolutional net of `agent train conv`, or the eye of a compact checkpoint with its cell
head: the first is a baseline, the second says what the language model adds to its own eye.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2_5_VLForConditionalGeneration

from analysis.mllm.analyser import Answer
from toolchain.errors import UsageError
from toolchain.events import Emit, ignore
from toolchain.files import sha256_file, write_atomic
from training.answers import write_answers
from training.data.mllm_shards import Line, read_shard, shards
from training.mllm_cells import Described, ReadOut, fit_read_out, load_read_out, read_report
from training.mllm_checkpoint import fingerprint, load_model, quickened
from training.mllm_conv import WEIGHTS, load_net
from training.mllm_dense import Told
from training.mllm_eye import eye_tokens, head_told
from training.mllm_model import CellHead

READ_OUT = "read_out.json"
FITTED_ON = "validation"
BATCH = 32
Codes = NDArray[np.uint8]


class DenseModel(Protocol):
    """What describes cells. `name` changes with its weights."""

    @property
    def name(self) -> str: ...

    def tell(self, pictures: Codes, statistics: Codes) -> Told:
        """What it says of (n, 140, 224, 3) and (n, 9, 16, 48)."""
        ...


class ConvModel:
    """The plain convolutional net in a folder of `agent train conv`. InputError where there is none."""

    def __init__(self, folder: Path):
        self._net = load_net(folder / WEIGHTS)
        self.name = f"conv:{sha256_file(folder / WEIGHTS)[:12]}"

    def tell(self, pictures: Codes, statistics: Codes) -> Told:
        return self._net(torch.from_numpy(pictures), torch.from_numpy(statistics))


class HeadModel:
    """The eye and the cell head of a compact checkpoint folder. InputError where it has none."""

    def __init__(self, folder: Path):
        self._head = CellHead.load(folder)
        self._model = cast(Qwen2_5_VLForConditionalGeneration, quickened(load_model(folder), "compact").eval())
        self.name = f"cells:{fingerprint(self._model.model.visual)[:12]}"

    def tell(self, pictures: Codes, statistics: Codes) -> Told:
        return head_told(self._head, eye_tokens(self._model, pictures, statistics))


def dense_model(folder: Path) -> DenseModel:
    """The convolutional net where the folder has one, else the cell head of a checkpoint."""
    return ConvModel(folder) if (folder / WEIGHTS).exists() else HeadModel(folder)


def answer_cells(
    model: DenseModel, data: Path, split: str, out: Path, read_out: Path | None = None, emit: Emit = ignore
) -> Path:
    """What the model's cells say of every frame of a split, as `training.answers.answer_split` writes it.

    The read-out is that of the file `read_out` (`out`/read_out.json if none is named); where there is none yet, it is
    fitted on the set's validation split and kept there. UsageError where it was fitted to another model.
    """
    path = read_out or out / READ_OUT
    if not path.exists():
        found = fit(model, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, found.model_dump_json(indent=1) + "\n")
    found = load_read_out(path)
    if found.model != model.name:
        raise UsageError(f"{path} was fitted to {found.model}, not to {model.name}: name another with --read-out")

    def read(lines: Path) -> list[tuple[Line, Answer]]:
        return [(line, Answer(read_report(frame, found))) for line, frame in _described(model, lines)]

    return write_answers(read, model.name, data, split, out, emit, {"read_out": sha256_file(path)[:12]})


def fit(model: DenseModel, data: Path) -> ReadOut:
    """The read-out that suits the model best on the set's validation split."""
    seen = [pair for path in shards(data, FITTED_ON) for pair in _described(model, path)]
    return fit_read_out([frame for _, frame in seen], [line.report for line, _ in seen], model.name)


def _described(model: DenseModel, lines: Path) -> list[tuple[Line, Described]]:
    """A shard's lines with what the model says of their frames."""
    shard = read_shard(lines)
    found: list[Described] = []
    with torch.inference_mode():
        for first in range(0, len(shard.lines), BATCH):
            some = slice(first, first + BATCH)
            told = model.tell(shard.picture[some], shard.statistics[some])
            parts = (told.cells.sigmoid().numpy(), told.grades.sigmoid().numpy(), told.regions.numpy())
            found += [Described(*frame) for frame in zip(*parts, strict=True)]
    return list(zip(shard.lines, found, strict=True))
