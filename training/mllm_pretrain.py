"""What comes before SFT of the compact model: an eye that describes cells, and a reader that writes reports of them.

`eye` trains the vision tower with the cell head on real samples, without the language model; `reader` trains the
language model on simulated cell maps, without the vision tower. Both agree on the cell head's directions, so that
the two halves fit together. A killed training goes on from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration

from analysis.mllm.families import family
from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from training import mllm_eye, mllm_reader
from training.learner import Learner, Loss
from training.metrics_log import record, recorded
from training.mllm_checkpoint import load_model
from training.mllm_dense import SampleData
from training.mllm_model import CellHead, CompactConfig, compact_model, processor
from training.mllm_speed import speed_up
from training.plots import plot_lines
from training.recipe import load_recipe


class PretrainConfig(BaseModel):
    """One training of one half. The same configuration and data give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="pretrain", pattern=r"^[a-z0-9-]+$")
    half: Literal["eye", "reader"]
    model: CompactConfig = CompactConfig()
    start: str | None = Field(default=None, description="a checkpoint folder to go on from; none: from nothing")
    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    pasted: float = Field(default=0.0, ge=0, lt=1, description="of a batch: samples with regions of others; eye only")
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    average: float = Field(default=0.998, ge=0, lt=1)
    region_weight: float = Field(default=1.0, ge=0, description="of regions' edges beside what is wrong; eye only")
    aside_weight: float = Field(
        default=0.01, ge=0, description="of what eye tokens hold beside the head's directions"
    )
    bf16: bool = True
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=500, gt=0)
    validate_most: int = Field(default=256, gt=0)
    checkpoint_every: int = Field(default=100, gt=0)


def load_config(path: Path) -> PretrainConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, PretrainConfig, "a pretraining of the compact analyser")


class Half(nn.Module):
    """The model with its cell head; only the half that trains has weights that learn."""

    def __init__(self, config: PretrainConfig):
        super().__init__()
        self.model, self.head = compact_model(config.model), CellHead(config.model.hidden)
        if config.start is not None:
            self._begin_with(Path(config.start))
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(name.startswith("model.visual.") == (config.half == "eye"))
        speed_up(self.model)

    def _begin_with(self, folder: Path) -> None:
        """UsageError for a checkpoint of other sizes, or with another head."""
        known, head = load_model(folder).state_dict(), CellHead.load(folder)
        own = self.model.state_dict()
        is_same = known.keys() == own.keys() and all(known[name].shape == own[name].shape for name in own)
        if not is_same or not torch.equal(head.directions, self.head.directions):
            raise UsageError(f"{folder} is of other sizes than the recipe's model: name a checkpoint of one recipe")
        self.model.load_state_dict(known)


def train(config: PretrainConfig, data: Path | None, out: Path, emit: Emit = ignore) -> Path:
    """Train one half; returns the checkpoint folder in `out` (created), which holds the whole model.

    `data` is a set of `agent train data`, which the eye needs. Beside it: metrics.jsonl with its plot, metrics.png,
    and checkpoint.pt, from which a killed training goes on. UsageError for an eye without data.
    """
    if config.half == "eye" and data is None:
        raise UsageError("an eye learns from real samples: name a set of `agent train data` with --data")
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    lesson = _EyeLesson(config, data) if data is not None and config.half == "eye" else _ReaderLesson(config)
    state = Learner(config, Half(config), out / "checkpoint.pt")
    log = out / "metrics.jsonl"
    while state.step < config.steps:
        parts = state.learn(lambda half: lesson.loss(half, state.step))
        last = state.step == config.steps
        if state.step % config.validate_every == 0 or last:
            record(log, {"step": state.step, **parts, **lesson.judge(state.average)})
        if state.step % config.checkpoint_every == 0 or last:
            state.save()
        emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    made = write(state.average, out / "model")
    plot_metrics(log, out / "metrics.png")
    emit(StepCompleted(step=config.name, summary=f"{made} after {state.step} steps"))
    return made


class _EyeLesson:
    def __init__(self, config: PretrainConfig, data: Path):
        self._config, self._weights = config, mllm_eye.Weights(config.region_weight, config.aside_weight)
        self._data = SampleData(data, config.batch, config.seed, config.validate_most, config.pasted)
        self._held_out = self._data.held_out()

    def loss(self, half: Half, step: int) -> Loss:
        with _precision(self._config):
            return mllm_eye.eye_loss(half.model, half.head, self._data.batch(step), self._weights)

    def judge(self, half: Half) -> dict[str, float]:
        with _precision(self._config):
            return mllm_eye.judge(half.model, half.head, self._held_out)


class _ReaderLesson:
    def __init__(self, config: PretrainConfig):
        self._config = config
        self._data = mllm_reader.ReaderData(config.batch, config.seed, config.validate_most)
        self._held_out = self._data.held_out()

    def loss(self, half: Half, step: int) -> Loss:
        with _precision(self._config):
            return mllm_reader.reader_loss(half.model, half.head, self._data.batch(step))

    def judge(self, half: Half) -> dict[str, float]:
        with _precision(self._config):
            return mllm_reader.judge(half.model, half.head, self._held_out)


def _precision(config: PretrainConfig) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=config.bf16)


def write(half: Half, folder: Path) -> Path:
    """A stock checkpoint folder with the cell head beside it."""
    half.model.save_pretrained(folder)
    processor([family("compact").prompt().user]).save_pretrained(folder)
    half.head.save(folder)
    return folder


def join(eye: Path, reader: Path, folder: Path) -> Path:
    """The eye of one checkpoint folder and the reader of another as one model, in a third."""
    first, second = (
        Qwen2_5_VLForConditionalGeneration.from_pretrained(path, local_files_only=True, dtype=torch.float32)
        for path in (eye, reader)
    )
    if not torch.equal(CellHead.load(eye).directions, CellHead.load(reader).directions):
        raise UsageError(f"{eye} and {reader} were trained with different cell heads: train both with one recipe")
    second.model.visual.load_state_dict(first.model.visual.state_dict())
    second.save_pretrained(folder)
    processor([family("compact").prompt().user]).save_pretrained(folder)
    CellHead.load(eye).save(folder)
    return folder


def plot_metrics(metrics: Path, picture: Path) -> None:
    """The validation figures of a metrics.jsonl over the steps."""
    rows = recorded(metrics)
    names = [name for name in ("tokens_right", "cell_f1", "range_exact") if name in rows[-1]]
    plot_lines({name: [(row["step"], row[name]) for row in rows] for name in names}, "share", picture)
