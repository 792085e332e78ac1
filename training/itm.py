"""The recipe of `lumen-fixed` and `lumen-shot`: learn a curve, or a network that predicts one, from graded masters.

Read from top to bottom: the configuration, the model, one step, the loop. `train` goes on from its last checkpoint.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from toolchain.models.lumen import Numbers, control_vector, vector_limits
from toolchain.models.networks.lumen import LumenShotNetwork
from toolchain.models.spec import Controls
from training.itm_data import Batch, TrainingSet, fold_of, load_training, read_title, title_files
from training.itm_model import expand
from training.losses import delta_e_itp, pu21_psnr

# Configuration


class ItmConfig(BaseModel):
    """One training. Every field has its say in the result; the same configuration and data give the same weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="of the model: its files are named after it")
    model: Literal["fixed", "shot"]
    steps: int = Field(gt=0)
    batch: int = Field(default=24, gt=0)
    pixels: int = Field(default=2048, gt=0, description="of each picture, in the loss of one step")
    pool: int = Field(default=8192, gt=0, le=144 * 256, description="pixels of each picture that are kept at all")
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    control_dropout: float = Field(
        default=0.25, ge=0, le=1, description="share of the peaks the network is not told: it reads 1000 nits"
    )
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the moving average that is kept")
    chroma_weight: float = Field(default=0.15, ge=0, description="of dE-ITP beside the PSNR in dB")
    tail_weight: float = Field(default=0.0, ge=0, description="of the PSNR missing below `tail_db`: weak pictures")
    tail_db: float = Field(default=26.0, gt=0)
    move_weight: float = Field(default=0.0, ge=0, description="of the squared change of `lumen-fixed`'s numbers")
    real_share: float = Field(default=0.4, ge=0, le=1, description="of the draws, from photographs")
    categories: tuple[str, ...] = Field(default=(), description="only masters of these; empty: all")
    splits: tuple[str, ...] = Field(default=("train",), min_length=1)
    validation_splits: tuple[str, ...] = ("val",)
    folds: int = Field(default=1, ge=1, description="1: train on all titles of the splits")
    fold: int = Field(default=0, ge=0, description="left out of the training, where there are folds")
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=250, gt=0)
    checkpoint_every: int = Field(default=250, gt=0)


def load_config(path: Path) -> ItmConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    try:
        return ItmConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UsageError(f"{path} is no recipe of an SDR-to-HDR training: {error}") from error


# The model: numbers for each picture


class FixedPredictor(nn.Module):
    """The same numbers for every picture: what `lumen-fixed` fits. Starts as the SDR picture at 203-nit white."""

    def __init__(self) -> None:
        super().__init__()
        low, high = (torch.tensor(limit, dtype=torch.float32) for limit in vector_limits())
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        start = torch.zeros_like(low)
        start[-2] = 0.5
        self.vector = nn.Parameter(start)

    def from_half(self, half: Tensor, controls: Tensor) -> Tensor:
        return self.vector.clamp(self.low, self.high).expand(len(half), -1)  # type: ignore[arg-type]


Predictor = FixedPredictor | LumenShotNetwork


def build(config: ItmConfig, base: Numbers | None) -> Predictor:
    """The untrained model. `base`: the numbers of `lumen-fixed`, needed by `shot` (UsageError without)."""
    torch.manual_seed(config.seed)
    if config.model == "fixed":
        return FixedPredictor()
    if base is None:
        raise UsageError(f"{config.name} is trained as a change of lumen-fixed: give the numbers of that one.")
    network = LumenShotNetwork(config.dropout)
    network.base.copy_(torch.tensor(base.vector(), dtype=torch.float32))
    return network


# One step


def loss_of(model: Predictor, batch: Batch, config: ItmConfig, told: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and what it is made of. `told` (B,): whether the network hears the master's peak."""
    vectors = model.from_half(batch.half, control_vectors(batch.peak_nits, told))
    result = expand(batch.sdr, vectors, batch.peak_nits)
    truth = torch.minimum(batch.hdr, batch.peak_nits[:, None, None])
    psnr, chroma = pu21_psnr(result, truth), delta_e_itp(result, truth)
    loss = -psnr + config.chroma_weight * chroma + config.tail_weight * (config.tail_db - psnr).clamp_min(0)
    if isinstance(model, LumenShotNetwork):
        loss = loss + config.move_weight * ((vectors - model.base) / model.reach).square().mean(1)
    return loss.mean(), {"psnr_db": float(psnr.detach().mean()), "delta_e_itp": float(chroma.detach().mean())}


def control_vectors(peak_nits: Tensor, told: Tensor) -> Tensor:
    """(B, 2) of `lumen.control_vector`, at 1000 nits where the network is not told."""
    rows = [
        control_vector(Controls(peak_nits=max(float(peak), 203.0) if tell else 1000.0))
        for peak, tell in zip(peak_nits, told, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))


def _rate(config: ItmConfig, step: int) -> float:
    """Linear warm-up over a twentieth, then half a cosine down to a hundredth."""
    warm = max(1, config.steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


# The loop


def train(config: ItmConfig, data: Path, out: Path, base: Numbers | None = None, emit: Emit = ignore) -> Path:
    """Train on the pairs of `data`; returns the weights file in `out` (created): JSON for `fixed`, else safetensors.

    Beside it: metrics.jsonl, and checkpoint.pt, from which a killed training of the same configuration goes on to
    the same result. UsageError when the checkpoint belongs to another configuration.
    """
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    training, validation = _load(config, data)
    model = build(config, base)
    state = _State(config, model, out / "checkpoint.pt")
    batches = training.batches(config.batch, config.pixels, config.real_share, config.seed, state.step)
    while state.step < config.steps:
        parts = _step(config, state, next(batches))
        if state.step % config.validate_every == 0 or state.step == config.steps:
            _record(
                out / "metrics.jsonl", {"step": state.step, **parts, **validate(state.average, validation, config)}
            )
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            state.save()
        if state.step % 25 == 0:
            emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    weights = save_weights(state.average, out / config.name)
    emit(StepCompleted(step=config.name, summary=f"{weights} after {config.steps} steps", elapsed_s=0.0))
    return weights


class _State:
    """All that changes from step to step, and its file."""

    def __init__(self, config: ItmConfig, model: Predictor, path: Path):
        self.step = 0
        self.model, self.average, self.path = model, copy.deepcopy(model).eval(), path
        self._fingerprint = config.model_dump_json()
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        if path.exists():
            self._load()

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        parts = (self.model, self.average, self.optimizer)
        states = [part.state_dict() for part in parts]
        torch.save({"config": self._fingerprint, "step": self.step, "states": states}, partial)
        partial.replace(self.path)

    def _load(self) -> None:
        saved = torch.load(self.path, weights_only=True)
        if saved["config"] != self._fingerprint:
            raise UsageError(f"{self.path} is of another configuration: name another output folder, or remove it.")
        self.step = saved["step"]
        for part, state in zip((self.model, self.average, self.optimizer), saved["states"], strict=True):
            part.load_state_dict(state)


def _step(config: ItmConfig, state: _State, batch: Batch) -> dict[str, float]:
    torch.manual_seed(config.seed * 1_000_003 + state.step)  # dropout depends on the step alone: runs can resume
    for group in state.optimizer.param_groups:
        group["lr"] = config.learning_rate * _rate(config, state.step)
    state.model.train()
    told = torch.rand(len(batch.half)) >= config.control_dropout
    loss, parts = loss_of(state.model, batch, config, told)
    state.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), 5.0)
    state.optimizer.step()
    state.step += 1
    # A young average would remember the start: its memory grows with the steps made.
    decay = min(config.average, state.step / (state.step + 10))
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), state.model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    return {"loss": float(loss.detach()), **{f"train_{name}": value for name, value in parts.items()}}


@torch.no_grad()
def validate(model: Predictor, pairs: TrainingSet | None, config: ItmConfig) -> dict[str, float]:
    """Mean and 5th percentile over the validation pairs, with their peaks told; empty without such pairs."""
    if pairs is None:
        return {}
    psnr, chroma = [], []
    for chosen in np.array_split(np.arange(len(pairs.metas)), math.ceil(len(pairs.metas) / 64)):
        places = np.tile(np.arange(min(config.pixels, pairs.sdr.shape[1])), (len(chosen), 1))
        batch = pairs.take(chosen, places, np.zeros(len(chosen), dtype=bool))
        vectors = model.from_half(batch.half, control_vectors(batch.peak_nits, torch.ones(len(chosen))))
        result = expand(batch.sdr, vectors, batch.peak_nits)
        psnr.append(pu21_psnr(result, batch.hdr))
        chroma.append(delta_e_itp(result, batch.hdr))
    db = torch.cat(psnr)
    return {
        "val_psnr_db": float(db.mean()),
        "val_psnr_p5_db": float(db.quantile(0.05)),
        "val_delta_e_itp": float(torch.cat(chroma).mean()),
    }


def save_weights(model: Predictor, stem: Path) -> Path:
    """The finished model as it ships: `<stem>.json` of `Numbers`, or `<stem>.safetensors` in float32."""
    if isinstance(model, FixedPredictor):
        numbers = Numbers.from_vector(model.vector.detach().double().numpy())
        path = stem.with_suffix(".json")
        write_atomic(path, json.dumps(_rounded(numbers.model_dump()), indent=1) + "\n")
        return path
    path = stem.with_suffix(".safetensors")
    write_atomic(path, save({name: value.contiguous() for name, value in model.state_dict().items()}))
    return path


def _rounded(values: object) -> object:
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_rounded(value) for value in values]
    return round(values, 5) if isinstance(values, float) else values


def _load(config: ItmConfig, data: Path) -> tuple[TrainingSet, TrainingSet | None]:
    files = list(_of_categories(config, title_files(data, config.splits)))
    if config.folds > 1:
        folds = fold_of(files, config.folds)
        files = [path for path in files if folds[read_title(path).metas[0].title] != config.fold]
    held = [path for split in config.validation_splits for path in sorted((data / split).glob("*.npz"))]
    held = list(_of_categories(config, held))
    validation = load_training(held, config.pool, config.seed) if held else None
    return load_training(files, config.pool, config.seed), validation


def _of_categories(config: ItmConfig, files: list[Path]) -> Iterator[Path]:
    for path in files:
        if not config.categories or read_title(path).metas[0].category in config.categories:
            yield path


def _record(path: Path, values: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
