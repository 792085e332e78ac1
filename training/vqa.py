"""The recipe of BILIVQA: learn to rank versions of a clip as reference metrics, or viewers, do.

Read from top to bottom: the configuration, the data sets, one batch, one step, the loop. Each label source is a data
set with a head of its own; a batch is made of equal parts of all of them. `train` goes on from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from analysis.vqa.bilivqa import load_weights, shipped_weights
from toolchain.errors import InputError, UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from toolchain.models.networks.bilivqa import HIDDEN, BilivqaNetwork
from training.data.vqa_shards import Row, VqaData, load
from training.learner import Learner
from training.metrics_log import record, recorded
from training.plots import plot_lines
from training.recipe import load_recipe
from training.vqa_batches import Batch, BatchPlan, DataSet, Draws, Hints, Windows, network_input
from training.vqa_figures import srcc
from training.vqa_losses import label_losses
from training.vqa_measured import Regressing, measured, regress
from training.vqa_mos import MosConfig, import_mos
from training.vqa_report import report

# Configuration


WORSE_BY = 0.25
"""Share of its score that a clip loses at least to the strongest damage. Small: a head's metric may not see it."""

SETTLED_ON = 48
"""Training clips whose whole pictures give a network its running statistics before it is judged."""


class VqaConfig(BaseModel):
    """One training. The same configuration and data give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="bilivqa", pattern=r"^[a-z0-9-]+$")
    start: Literal["nothing", "shipped"] = Field(default="nothing", description="whose extractors to begin with")
    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=1, description="clips a step, in equal parts from each data set")
    group: int = Field(default=4, gt=1, description="versions of one title that stand side by side in a batch")
    worsened: int = Field(default=0, ge=0, description="clips besides, that are others of the batch with more damage")
    labels: tuple[str, ...] = Field(default=(), description="of the shards' label sources, those to learn; none: all")
    windows: tuple[Windows, ...] = Field(min_length=1, description="in rising order of from_step, the first at 0")
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    average: float = Field(default=0.995, ge=0, lt=1, description="decay of the moving average that is kept")
    fit_weight: float = Field(default=5.0, ge=0, description="of the smooth L1 distance to the label")
    rank_weight: float = Field(default=3.0, ge=0, description="of pairs in the wrong order or too close")
    hint_weight: float = Field(default=1.0, ge=0, description="of naming the damage and every metric measured")
    worse_weight: float = Field(default=3.0, ge=0, description="of worsened clips that do not score below")
    margin: float = Field(default=0.15, gt=0, description="up to which a pair's scores must differ as its labels do")
    mos: MosConfig = MosConfig()
    regressing: Regressing = Regressing()
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=250, gt=0)
    validate_most: int = Field(default=240, gt=0, description="validation clips that are looked at, evenly chosen")
    patience: int = Field(default=8, gt=0, description="validations without a better one after which it ends")
    checkpoint_every: int = Field(default=100, gt=0)

    @model_validator(mode="after")
    def _windows_rise(self) -> VqaConfig:
        starts = [windows.from_step for windows in self.windows]
        if starts[0] != 0 or sorted(set(starts)) != starts:
            raise ValueError(f"windows begin at steps {starts}: 0 must come first and the rest rise")
        return self


def load_config(path: Path) -> VqaConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, VqaConfig, "a judging model's training")


# The data sets


def open_data(
    sources: Sequence[Path], videos: Path | None, config: VqaConfig, out: Path, emit: Emit
) -> list[DataSet]:
    """Folders of shards give a data set a label; a CSV of mean opinion scores is decoded first and gives one.

    InputError for what cannot be read; UsageError where two data sets would share a head's name.
    """
    found: list[DataSet] = []
    for source in sources:
        if source.is_dir():
            data = load(source)
            found += [DataSet(label, data, label) for label in config.labels or data.label_names()]
        else:
            data = import_mos(source, videos, out / f"{source.stem}-clips", config.mos, emit)
            found.append(DataSet(f"mos-{source.stem}".lower(), data, "mos"))
    names = [part.name for part in found]
    if len(set(names)) != len(names):
        raise UsageError(f"the data sets {', '.join(names)} share a name: give each label source once")
    for part in found:
        if not part.rows("train") or not part.rows("validation"):
            raise InputError(f"data set {part.name!r} has no clips to train on or to validate with: give more videos")
    return found


# One step


class Pupil(BilivqaNetwork):
    """The network in training: beside its heads one layer that answers the hints. Those weights are not kept."""

    def __init__(self, heads: int, hints: int, dropout: float = 0.0):
        super().__init__(heads, dropout)
        self.named = nn.Linear(HIDDEN, max(hints, 1))

    def train(self, mode: bool = True) -> Pupil:
        """As torch's, but normalisation never goes by the batch: that holds few titles in many versions, and from its
        statistics the network would learn to compare neighbours that it will not have later. See `settle`."""
        super().train(mode)
        for layer in _norms(self):
            layer.eval()
        return self

    def answers(self, key: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Scores in (0, 1), and logits of the hints."""
        features = self.features(key, motion)
        return torch.sigmoid(self.judged(features)), self.named(self.shared(features))


def loss_of(network: Pupil, batch: Batch, config: VqaConfig) -> tuple[Tensor, dict[str, float]]:
    """The mean over heads of how far scores are from labels, how badly they correlate, and how pairs stand; and how
    badly hints are answered."""
    scores, named = network.answers(batch.key, batch.motion)
    fit, correlation, rank = label_losses(scores, batch.labels, config.margin)
    hint = _hint_loss(named, batch.hints)
    worse = _worse_loss(scores, batch)
    loss = config.fit_weight * fit + correlation + config.rank_weight * rank
    loss = loss + config.hint_weight * hint + config.worse_weight * worse
    values = {"fit": fit, "correlation": correlation, "rank": rank, "hint": hint, "worse": worse}
    return loss, {name: float(value.detach()) for name, value in values.items()}


def _hint_loss(named: Tensor, hints: Tensor) -> Tensor:
    known = ~torch.isnan(hints)
    if not bool(known.any()):
        return named.sum() * 0
    return functional.binary_cross_entropy_with_logits(named[known], hints[known])


def _worse_loss(scores: Tensor, batch: Batch) -> Tensor:
    """How far worsened clips are from scoring below what they were made of, a little more with more damage."""
    if not len(batch.origins):
        return scores.sum() * 0
    before, after = scores[batch.origins], scores[-len(batch.origins) :]
    due = WORSE_BY * batch.shares[:, None] * before.detach()
    return (due - (before - after)).clamp_min(0).mean()


# The loop


def train(
    config: VqaConfig, sources: Sequence[Path], out: Path, videos: Path | None = None, emit: Emit = ignore
) -> Path:
    """Train on shards and CSVs of mean opinion scores; returns the safetensors file in `out` (created).

    Beside it: metrics.jsonl with its plot, metrics.png; metrics.json, the figures of the best weights on the test
    split, which nothing else looks at; checkpoint.pt and best.safetensors, from which a killed training goes on.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    sets = open_data(sources, videos, config, out, emit)
    state = Learner(config, _pupil(config, sets), out / "checkpoint.pt")
    plan = BatchPlan(config.batch, config.group, config.worsened, config.windows, config.seed)
    draws = Draws(sets, plan)
    log, best = out / "metrics.jsonl", out / "best.safetensors"
    while state.step < config.steps and not _tired(log, config.patience):
        if state.step % config.validate_every == 0:
            settle(state.model, sets)
        batch = draws.batch(state.step)
        parts = state.learn(lambda network, batch=batch: loss_of(network, batch, config))
        last = state.step == config.steps
        if state.step % config.validate_every == 0 or last:
            settle(state.average, sets)
            found = validate(state.average, sets, config)
            if found["mean_srcc"] >= max([row["mean_srcc"] for row in _logged(log)], default=-1.0):
                _write(best, state.average, sets)
            record(log, {"step": state.step, **parts, **found})
        if state.step % config.checkpoint_every == 0 or last:
            state.save()
        emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    weights = out / f"{config.name}.safetensors"
    finished = load_weights(best).network
    regress(finished, sets, measured(sets, out), config.regressing, config.margin)
    _write(weights, finished, sets)
    plot_metrics(log, out / "metrics.png")
    figures = test(weights, sets, config.threads)
    write_atomic(out / "metrics.json", json.dumps(figures, indent=1))
    emit(StepCompleted(step=config.name, summary=f"{weights} after {state.step} steps"))
    return weights


def _pupil(config: VqaConfig, sets: Sequence[DataSet]) -> Pupil:
    """The network as the seed draws it; with `start: shipped` its extractors are those that ship, its heads new."""
    torch.manual_seed(config.seed)
    network = Pupil(len(sets), Hints(sets).count, config.dropout)
    if config.start == "shipped":
        known = load_weights(shipped_weights()).network.state_dict()
        kept = {
            name: value for name, value in known.items() if not name.startswith(("heads.", "regressions.", "blend"))
        }
        network.load_state_dict(network.state_dict() | kept, strict=True)
    return network


@torch.no_grad()
def settle(network: BilivqaNetwork, sets: Sequence[DataSet]) -> None:
    """Normalisation by what whole pictures look like inside the network, for training saw windows of them."""
    network.eval()
    layers = _norms(network)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    each = max(2, SETTLED_ON // len(sets))
    for part in sets:
        rows = part.rows("train")
        some = [rows[i] for i in np.linspace(0, len(rows) - 1, each).astype(int)]
        for start in range(0, each, 8):
            codes = [(part.data.key(row), part.data.motion(row)) for row in some[start : start + 8]]
            if len(codes) > 1:
                key, motion = (
                    np.stack([network_input(one) for one in all_of]) for all_of in zip(*codes, strict=True)
                )
                network.shared(network.features(torch.from_numpy(key), torch.from_numpy(motion)))
    for layer in layers:
        layer.momentum = 0.1
    network.eval()


def _norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def predict(network: BilivqaNetwork, data: VqaData, rows: Sequence[Row]) -> NDArray[np.float64]:
    """(rows, heads) scores of whole pictures, one clip after the other."""
    network.eval()
    found = []
    for row in rows:
        key, motion = (torch.from_numpy(network_input(part)[None]) for part in (data.key(row), data.motion(row)))
        found.append(network.score(key, motion)[0].double().numpy())
    return np.array(found).reshape(len(rows), -1)


def validate(network: BilivqaNetwork, sets: Sequence[DataSet], config: VqaConfig) -> dict[str, float]:
    """SRCC of each head on some validation clips, and their mean."""
    found: dict[str, float] = {}
    for head, part in enumerate(sets):
        rows = part.rows("validation")
        most = max(2, config.validate_most // len(sets))
        some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
        labels = np.array([row.labels[part.label] for row in some])
        found[f"{part.name}_srcc"] = srcc(predict(network, part.data, some)[:, head], labels)
    return {**found, "mean_srcc": float(np.nan_to_num(np.mean(list(found.values())), nan=-1.0))}


def test(weights: Path, sets: Sequence[DataSet], threads: int = 1) -> dict[str, object]:
    """The report of `training.vqa_report` on the test split of every data set."""
    torch.set_num_threads(threads)
    network = load_weights(weights).network
    answers, known = {}, {}
    for head, part in enumerate(sets):
        everything = part.data.rows("test")
        if id(part.data) not in known:
            known[id(part.data)] = predict(network, part.data, everything)
        at = [index for index, row in enumerate(everything) if part.label in row.labels]
        answers[part.name] = ([everything[i] for i in at], part.label, known[id(part.data)][at], head)
    return report(answers)


def plot_metrics(metrics: Path, picture: Path) -> None:
    """Every SRCC of a metrics.jsonl over the steps."""
    rows = _logged(metrics)
    names = sorted({name for row in rows for name in row if name.endswith("_srcc")})
    lines = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
    plot_lines(lines, "SRCC, validation", picture)


def _write(path: Path, network: BilivqaNetwork, sets: Sequence[DataSet]) -> None:
    kept = {name: value for name, value in network.state_dict().items() if not name.startswith("named.")}
    tensors = {name: value.contiguous() for name, value in kept.items()}
    write_atomic(path, save(tensors, metadata={"heads": json.dumps([part.name for part in sets])}))


def _tired(log: Path, patience: int) -> bool:
    values = [row["mean_srcc"] for row in _logged(log)]
    return len(values) - 1 - int(np.argmax(values)) >= patience if values else False


def _logged(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    return recorded(path)
