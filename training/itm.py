"""The recipe of `lumen-fixed` and `lumen-shot`: learn a curve, or a network that predicts one, from graded masters.

Read from top to bottom: the configuration, the model, one step, the loop. `train` goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from toolchain.models.lumen import Numbers, control_vector, shipped_numbers, vector_limits
from toolchain.models.networks.lumen import LumenShotNetwork
from toolchain.models.spec import Controls
from training.itm_data import DEFAULT_PEAK_NITS, Batch, TrainingSet, first_meta, fold_of, load_training, title_files
from training.itm_model import expand
from training.learner import Learner
from training.losses import delta_e_itp, pu21_psnr
from training.metrics_log import record, recorded
from training.plots import plot_lines
from training.recipe import load_recipe

# Configuration


class ItmConfig(BaseModel):
    """One training. Every field has its say in the result; the same configuration and data give the same weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="of the model: its files are named after it")
    model: Literal["fixed", "shot"]
    base_numbers: Path | None = Field(default=None, description="`shot`: what it changes; None: the shipped ones")
    steps: int = Field(gt=0)
    batch: int = Field(default=48, gt=0)
    pixels: int = Field(default=320, gt=0, description="of each picture, in the loss of one step")
    pool: int = Field(default=4096, gt=0, le=144 * 256, description="pixels of each picture that are kept at all")
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    vary_share: float = Field(
        default=0.2, ge=0, le=1, description="of the pictures, wanted for another peak than 1000 nits, or brighter"
    )
    pairs_of_a_title: int = Field(default=12, gt=0, description="at most; titles count alike whatever they have")
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the moving average that is kept")
    chroma_weight: float = Field(default=0.15, ge=0, description="of dE-ITP beside the PSNR in dB")
    tail_weight: float = Field(default=0.0, ge=0, description="of the PSNR missing below `tail_db`: weak pictures")
    tail_db: float = Field(default=26.0, gt=0)
    move_weight: float = Field(default=0.0, ge=0, description="of the squared change of `lumen-fixed`'s numbers")
    real_share: float = Field(default=0.4, ge=0, le=1, description="of the draws, from photographs")
    categories: tuple[str, ...] = Field(default=(), description="only masters of these; empty: all")
    profiles: tuple[str, ...] = Field(default=("anchored", "broadcast", "native"), description="of anchoring")
    splits: tuple[str, ...] = ("fold0", "fold1", "fold2", "fold3", "fold4", "masters", "photos")
    folds: int = Field(default=5, ge=2)
    held_folds: tuple[int, ...] = Field(default=(), description="left out of the training, and validated on")
    validation_pairs: int = Field(default=512, gt=0, description="of the titles left out, evenly")
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=250, gt=0)
    checkpoint_every: int = Field(default=250, gt=0)


def load_config(path: Path) -> ItmConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, ItmConfig, "an SDR-to-HDR training")


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

    def answer(self, statistics: Tensor, quarter: Tensor, controls: Tensor) -> Tensor:
        return self.vector.clamp(self.low, self.high).expand(len(quarter), -1)  # type: ignore[arg-type]


Predictor = FixedPredictor | LumenShotNetwork


def build(config: ItmConfig, base: Numbers | None = None) -> Predictor:
    """The untrained model. `base`: the numbers that `shot` changes, otherwise those that the recipe names."""
    torch.manual_seed(config.seed)
    if config.model == "fixed":
        return FixedPredictor()
    network = LumenShotNetwork(config.dropout)
    numbers = base or _base_numbers(config)
    network.base.copy_(torch.tensor(numbers.vector(), dtype=torch.float32))
    return network


def _base_numbers(config: ItmConfig) -> Numbers:
    if config.base_numbers is None:
        return shipped_numbers()
    try:
        return Numbers.model_validate_json(config.base_numbers.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{config.base_numbers} does not hold the numbers of lumen-fixed: {error}") from error


# One step


def loss_of(model: Predictor, batch: Batch, config: ItmConfig) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and what it is made of."""
    vectors = model.answer(batch.statistics, batch.quarter, control_vectors(batch.peak_nits, batch.mid_gain_ev))
    result = expand(batch.sdr, vectors, batch.peak_nits, batch.mid_gain_ev)
    psnr, chroma = pu21_psnr(result, batch.hdr), delta_e_itp(result, batch.hdr)
    loss = -psnr + config.chroma_weight * chroma + config.tail_weight * (config.tail_db - psnr).clamp_min(0)
    if isinstance(model, LumenShotNetwork):
        loss = loss + config.move_weight * ((vectors - model.base) / model.reach).square().mean(1)
    return loss.mean(), {"psnr_db": float(psnr.detach().mean()), "delta_e_itp": float(chroma.detach().mean())}


def control_vectors(peak_nits: Tensor, mid_gain_ev: Tensor) -> Tensor:
    """(B,) peaks and (B,) or (1,) mid-gains -> (B, 2) of `lumen.control_vector`."""
    rows = [
        control_vector(Controls(peak_nits=max(peak, 203.0), mid_gain_ev=max(-2.0, min(2.0, gain))))
        for peak, gain in zip(peak_nits.tolist(), mid_gain_ev.expand(len(peak_nits)).tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(rows))


# The loop


def train(config: ItmConfig, data: Path, out: Path, base: Numbers | None = None, emit: Emit = ignore) -> Path:
    """Train on the pairs of `data`; returns the weights file in `out` (created): JSON for `fixed`, else safetensors.

    Beside it: metrics.jsonl, and checkpoint.pt, from which a killed training of the same configuration goes on to
    the same result. UsageError when the checkpoint belongs to another configuration.
    """
    emit(StepStarted(step=config.name))
    training, validation = _load(config, data)
    return fit(config, training, validation, out, base, emit)


def fit(
    config: ItmConfig,
    training: TrainingSet,
    validation: TrainingSet | None,
    out: Path,
    base: Numbers | None = None,
    emit: Emit = ignore,
) -> Path:
    """`train` on pairs that are in memory."""
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    model = build(config, base)
    state = Learner(config, model, out / "checkpoint.pt")
    batches = training.batches(
        config.batch, config.pixels, config.real_share, config.vary_share, config.seed, state.step
    )
    while state.step < config.steps:
        parts = _step(config, state, next(batches))
        if state.step % config.validate_every == 0 or state.step == config.steps:
            record(
                out / "metrics.jsonl", {"step": state.step, **parts, **validate(state.average, validation, config)}
            )
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            state.save()
        if state.step % 25 == 0:
            emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    weights = save_weights(state.average, out / config.name)
    plot(out / "metrics.jsonl", out / "metrics.png")
    emit(StepCompleted(step=config.name, summary=f"{weights} after {config.steps} steps"))
    return weights


def _step(config: ItmConfig, state: Learner[Predictor], batch: Batch) -> dict[str, float]:
    return state.learn(lambda model: loss_of(model, batch, config))


@torch.no_grad()
def validate(model: Predictor, pairs: TrainingSet | None, config: ItmConfig) -> dict[str, float]:
    """Mean and 5th percentile over the validation pairs, at 1000 nits; empty without such pairs."""
    if pairs is None:
        return {}
    psnr, chroma = [], []
    some = np.linspace(0, len(pairs.metas) - 1, min(len(pairs.metas), config.validation_pairs)).astype(int)
    for chosen in np.array_split(some, math.ceil(len(some) / 64)):
        places = np.tile(np.arange(min(config.pixels, pairs.sdr.shape[1])), (len(chosen), 1))
        plain = np.zeros(len(chosen))
        batch = pairs.take(chosen, places, plain.astype(bool), plain + DEFAULT_PEAK_NITS, plain)
        vectors = model.answer(batch.statistics, batch.quarter, control_vectors(batch.peak_nits, batch.mid_gain_ev))
        result = expand(batch.sdr, vectors, batch.peak_nits, batch.mid_gain_ev)
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


def plot(metrics: Path, picture: Path) -> None:
    """Training and validation PSNR over the steps."""
    rows = recorded(metrics)
    names = ("train_psnr_db", "val_psnr_db", "val_psnr_p5_db")
    lines = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
    plot_lines(lines, "PU21-PSNR, dB", picture)


def _rounded(values: object) -> object:
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_rounded(value) for value in values]
    return round(values, 5) if isinstance(values, float) else values


def _load(config: ItmConfig, data: Path) -> tuple[TrainingSet, TrainingSet | None]:
    files = list(_of_categories(config, title_files(data, config.splits)))
    folds = fold_of(files, config.folds)
    held = [path for path in files if folds[path] in config.held_folds]
    kept = [path for path in files if folds[path] not in config.held_folds]

    def load(paths: list[Path]) -> TrainingSet:
        return load_training(paths, config.pool, config.seed, config.pairs_of_a_title, config.profiles)

    return load(kept), load(held) if held else None


def _of_categories(config: ItmConfig, files: list[Path]) -> Iterator[Path]:
    for path in files:
        if not config.categories or first_meta(path).category in config.categories:
            yield path
