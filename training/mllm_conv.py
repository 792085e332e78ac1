"""The baseline of the compact analyser: a plain convolutional net on the same pictures, with the same targets.

What it says of cells is read by `training.mllm_cells`. Issue 5 asks how far a language model gets beside it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from analysis.mllm.code import SEVERITIES, TYPE_WORDS
from analysis.mllm.diagnostic import CELLS, STATISTICS
from analysis.mllm.frame_report import CONTRASTS, GRADES
from toolchain.errors import InputError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from training.learner import Learner, Loss
from training.metrics_log import record, recorded
from training.mllm_dense import Said, SampleData, Samples, Told, dense_figures, dense_losses, region_loss
from training.mllm_model import REGION_OUTPUTS, REGION_WAVES
from training.plots import plot_lines
from training.recipe import load_recipe

WEIGHTS = "conv.safetensors"
"""Weights, and in the file's metadata the recipe that they need."""
HALVINGS = 4
DOUBT = -3.0
"""Logit that every cell begins with: most are sound."""


class ConvConfig(BaseModel):
    """One training. The same configuration and data give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="conv", pattern=r"^[a-z0-9-]+$")
    width: int = Field(default=96, gt=0, description="channels of the grid")
    shrunk_width: int = Field(default=64, ge=4, multiple_of=4, description="channels that the shrunk picture gives")
    blocks: int = Field(default=6, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    steps: int = Field(gt=0)
    batch: int = Field(default=32, gt=0)
    pasted: float = Field(default=0.0, ge=0, lt=1, description="of a batch: samples with regions of others")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    average: float = Field(default=0.998, ge=0, lt=1)
    bf16: bool = True
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=500, gt=0)
    validate_most: int = Field(default=1000, gt=0)
    checkpoint_every: int = Field(default=100, gt=0)


def load_config(path: Path) -> ConvConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, ConvConfig, "a plain convolutional net on the analyser's cells")


# The network


class Block(nn.Module):
    """Two 3x3 convolutions and what came in."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.GELU(), nn.Dropout2d(dropout), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.body(maps)


class ConvNet(nn.Module):
    """Statistics and the shrunk picture, halved four times, on one grid; then residual blocks."""

    def __init__(self, config: ConvConfig):
        super().__init__()
        torch.manual_seed(config.seed)
        wide = config.shrunk_width
        sizes = (3, wide // 4, wide // 2, wide, wide)
        halvings = [
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.GELU())
            for a, b in pairwise(sizes)
        ]
        self.shrunk = nn.Sequential(*halvings)
        self.stem = nn.Conv2d(len(STATISTICS) + wide, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(config.width, config.dropout) for _ in range(config.blocks)))
        self.last = nn.Sequential(nn.BatchNorm2d(config.width), nn.GELU())
        self.cells = nn.Conv2d(config.width, len(TYPE_WORDS) * len(SEVERITIES), 1)
        self.regions = nn.Conv2d(config.width, REGION_OUTPUTS, 1)
        self.grades = nn.Linear(config.width, len(GRADES) - 1 + len(CONTRASTS) - 1)
        with torch.no_grad():
            cast(Tensor, self.cells.bias).fill_(DOUBT)

    def forward(self, pictures: Tensor, statistics: Tensor) -> Told:
        """Codes (n, 140, 224, 3) and (n, 9, 16, 48)."""
        shown, measured = (codes.permute(0, 3, 1, 2).float() / 127.5 - 1 for codes in (pictures, statistics))
        rows, columns = (cells * 2**HALVINGS for cells in CELLS)
        shown = functional.interpolate(shown, (rows, columns), mode="bilinear", align_corners=False)
        maps = self.last(self.blocks(self.stem(torch.cat([self.shrunk(shown), measured], 1))))
        cells, regions = (head(maps).permute(0, 2, 3, 1).float() for head in (self.cells, self.regions))
        return Told(
            cells.unflatten(-1, (len(TYPE_WORDS), len(SEVERITIES))),
            self.grades(maps.mean((2, 3))).float(),
            regions.unflatten(-1, (4, REGION_WAVES)),
        )


def save_net(net: ConvNet, config: ConvConfig, path: Path) -> None:
    """Weights and recipe in one file."""
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, path, {"config": config.model_dump_json()})


def load_net(path: Path) -> ConvNet:
    """The network of a file of `train`, ready to be asked. InputError where it holds none."""
    try:
        with safe_open(path, "pt") as file:
            config = ConvConfig.model_validate_json((file.metadata() or {})["config"])
            net = ConvNet(config)
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, RuntimeError, ValidationError) as error:
        problem = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path} holds no convolutional net ({problem}): name a folder of `agent train conv`"
        ) from error
    return net.eval()


# Training


def train(config: ConvConfig, data: Path, out: Path, emit: Emit = ignore) -> Path:
    """Train on a set of `agent train data`; returns the weights' file in `out` (created).

    Beside it: metrics.jsonl with its plot, metrics.png, and checkpoint.pt, from which a killed training goes on.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    samples = SampleData(data, config.batch, config.seed, config.validate_most, config.pasted)
    held_out = samples.held_out()
    state = Learner(config, ConvNet(config), out / "checkpoint.pt")
    while state.step < config.steps:
        parts = state.learn(lambda net: _lesson(config, net, samples.batch(state.step)))
        last = state.step == config.steps
        if state.step % config.validate_every == 0 or last:
            record(out / "metrics.jsonl", {"step": state.step, **parts, **_judge(config, state.average, held_out)})
        if state.step % config.checkpoint_every == 0 or last:
            state.save()
        emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    save_net(state.average, config, out / WEIGHTS)
    _plot(out / "metrics.jsonl", out / "metrics.png")
    emit(StepCompleted(step=config.name, summary=f"{out / WEIGHTS} after {state.step} steps"))
    return out / WEIGHTS


def _tell(config: ConvConfig, net: ConvNet, batch: Samples) -> Told:
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
        return net(torch.from_numpy(batch.pictures), torch.from_numpy(batch.statistics))


def _lesson(config: ConvConfig, net: ConvNet, batch: Samples) -> Loss:
    return _loss(_tell(config, net, batch), batch)


def _loss(told: Told, batch: Samples) -> Loss:
    """As the eye's: cross-entropy against the soft targets, and the squared error of a cell's edges."""
    cell, grade = dense_losses(Said(told.cells, told.grades, batch.cells, batch.grades))
    region = region_loss(told.regions, batch.regions)
    parts = {"cell": cell, "grade": grade, "region": region}
    return cell + grade + region, {name: float(part.detach()) for name, part in parts.items()}


@torch.no_grad()
def _judge(config: ConvConfig, net: ConvNet, batches: list[Samples]) -> dict[str, float]:
    told = [(_tell(config, net, batch), batch) for batch in batches]
    said = [Said(one.cells, one.grades, batch.cells, batch.grades) for one, batch in told]
    return {"held_out_loss": float(np.mean([float(_loss(*one)[0]) for one in told])), **dense_figures(said)}


def _plot(metrics: Path, picture: Path) -> None:
    rows = recorded(metrics)
    names = ("cell_f1", "range_exact")
    plot_lines({name: [(row["step"], row[name]) for row in rows] for name in names}, "share", picture)
