"""The recipe of `lumen-local`: learn a bilateral grid of gain over a curve that is already there.

Read from top to bottom: the configuration, the picture the grid makes, one step, the loop. `train` goes on from its
last checkpoint.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from toolchain.color.transfer import PQ_C1, PQ_C2, PQ_C3, PQ_M1, PQ_M2, PQ_PEAK_NITS, REFERENCE_WHITE_NITS
from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from toolchain.gain_grid import GUIDE_WEIGHTS
from toolchain.models.lumen import Numbers, shipped_numbers
from toolchain.models.networks.lumen import LumenShotNetwork
from toolchain.models.networks.lumen_local import LumenLocalNetwork
from training.itm import control_vectors
from training.itm_data import PairMeta, read_title, title_files
from training.itm_local_data import CurveOf, LocalBatch, LocalSet, load_set
from training.itm_model import expand, gain_curves
from training.learner import Learner
from training.losses import delta_e_itp, pu21_psnr
from training.metrics_log import record, recorded
from training.plots import plot_lines
from training.recipe import load_recipe

# Configuration


class LocalConfig(BaseModel):
    """One training. Every field has its say in the result; the same configuration and data give the same weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="of the model: its files are named after it")
    base: Literal["lumen-fixed", "lumen-shot"] = Field(description="whose curve the gain lies on")
    base_weights: Path | None = Field(
        default=None, description="if not those shipped: safetensors of lumen-shot, JSON of lumen-fixed"
    )
    first: LocalConfig | None = Field(default=None, description="a training whose result this one starts from")
    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    pixels: int = Field(default=3072, gt=0, description="of each picture, in the loss of one step")
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the moving average that is kept")
    chroma_weight: float = Field(default=0.15, ge=0, description="of dE-ITP beside the PSNR in dB")
    rough_weight: float = Field(default=1.0, ge=0, description="of the mean step in EV between neighbouring nodes")
    gain_weight: float = Field(default=0.5, ge=0, description="of the mean squared gain, where there is none to find")
    photo_share: float = Field(default=0.3, ge=0, le=1, description="of the draws, from gain-map photographs")
    spatial_share: float = Field(default=0.4, ge=0, le=1, description="of the draws, from masters graded locally")
    splits: tuple[str, ...] = Field(default=("fold0", "fold1", "fold2", "fold3", "crops"), min_length=1)
    validation_splits: tuple[str, ...] = ("fold4",)
    hold_out: tuple[str, ...] = Field(default=(), description="titles left out: those that will judge the result")
    fifths: tuple[int, ...] = Field(
        default=(0, 1, 2, 3, 4), min_length=1, description="of the procedural titles by name: those at 5 n + these"
    )
    pairs_a_title: int = Field(default=80, gt=0, description="most of a procedural title")
    real_pairs_a_title: int = Field(default=80, gt=0, description="most of a photographed title")
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=250, gt=0)
    checkpoint_every: int = Field(default=250, gt=0)


def load_config(path: Path) -> LocalConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, LocalConfig, "a local SDR-to-HDR training")


def curve_of(config: LocalConfig) -> CurveOf:
    """The curve under the gain. UsageError where lumen-shot is asked for without its weights."""
    if config.base == "lumen-fixed":
        given = config.base_weights
        fixed = Numbers.model_validate_json(given.read_text(encoding="utf-8")) if given else shipped_numbers()
        numbers = torch.tensor(fixed.vector(), dtype=torch.float32)
        return lambda small, peak_nits: numbers.expand(len(small), -1)
    weights = config.base_weights or Path(str(files("toolchain.models.shipped") / "lumen-shot.safetensors"))
    if not weights.is_file():
        raise UsageError(f"The weights of lumen-shot, {weights}, are not there: name their file.")
    network = LumenShotNetwork().eval()
    network.load_state_dict(load_file(weights), strict=True)
    anchored = torch.zeros(1)
    return lambda small, peak_nits: network.condition(small, control_vectors(peak_nits, anchored))


ANCHORED_EV = 0.1
"""Pairs whose mid-tones lie further from the SDR picture are left out."""

# The picture a grid makes

_LUMA = torch.tensor(GUIDE_WEIGHTS, dtype=torch.float32)


def slice_gain(grid: Tensor, batch: LocalBatch) -> Tensor:
    """(B, 8, 9, 16) EV -> (B, P) EV at each pixel's place and luma; `toolchain.gain_grid.slice_grid` in torch."""
    guide = (batch.sdr @ _LUMA).clamp(0, 1)
    at = torch.stack([batch.place[..., 1], batch.place[..., 0], guide], -1) * 2 - 1
    sliced = functional.grid_sample(grid[:, None], at[:, None, None], align_corners=True, padding_mode="border")
    return sliced[:, 0, 0, 0]


def gained(batch: LocalBatch, gain_ev: Tensor) -> Tensor:
    """(B, P, 3) nits of the batch's curves times the gain, rolled off to the peak as the guards do."""
    nits = expand(batch.sdr, batch.curve, batch.peak_nits) * torch.exp2(gain_ev)[..., None]
    white = REFERENCE_WHITE_NITS * torch.exp2(gain_curves(torch.exp2(batch.curve[:, :-6]), batch.peak_nits)[:, -101])
    return _roll_off(nits, white[:, None] * torch.exp2(gain_ev), batch.peak_nits[:, None])


def _roll_off(nits: Tensor, white_nits: Tensor, peak_nits: Tensor) -> Tensor:
    """The Hermite of Report ITU-R BT.2390-8, section 5.4.1, on the largest component, from white to peak."""
    largest = nits.amax(-1).clamp_min(1e-4)
    top = _pq(torch.maximum(white_nits, peak_nits).clamp(max=PQ_PEAK_NITS))
    relative = (_pq(largest) / top).clamp(max=1)
    ceiling = (_pq(peak_nits) / top).clamp(max=1 - 1e-6)
    knee = 1.5 * ceiling - 0.5
    t = (relative - knee).clamp_min(0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * ceiling
    rolled = torch.where(relative < knee, relative, spline) * top
    ratio = torch.where(white_nits > peak_nits, _pq_inverse(rolled) / largest, torch.ones_like(largest))
    return torch.minimum(nits * ratio[..., None], peak_nits[..., None])


def _pq(nits: Tensor) -> Tensor:
    power = (nits / PQ_PEAK_NITS) ** PQ_M1
    return ((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2


def _pq_inverse(signal: Tensor) -> Tensor:
    root = signal.clamp_min(1e-4) ** (1 / PQ_M2)
    return PQ_PEAK_NITS * ((root - PQ_C1).clamp_min(1e-6) / (PQ_C2 - PQ_C3 * root)) ** (1 / PQ_M1)


# One step


def loss_of(network: LumenLocalNetwork, batch: LocalBatch, config: LocalConfig) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and what it is made of."""
    grid = network.condition(batch.small)
    result = gained(batch, slice_gain(grid, batch))
    truth = torch.minimum(batch.hdr, batch.peak_nits[:, None, None])
    psnr, chroma = pu21_psnr(result, truth), delta_e_itp(result, truth)
    rough = sum(grid.diff(dim=axis).abs().mean((1, 2, 3)) for axis in (2, 3))
    loss = -psnr + config.chroma_weight * chroma + config.rough_weight * rough
    loss = loss + config.gain_weight * grid.square().mean((1, 2, 3))
    return loss.mean(), {"psnr_db": float(psnr.detach().mean()), "delta_e_itp": float(chroma.detach().mean())}


# The loop


def train(config: LocalConfig, data: Path, out: Path, emit: Emit = ignore) -> Path:
    """Train on the pairs of `data`; returns the safetensors file in `out` (created).

    Beside it: metrics.jsonl with its plot, metrics.png, and checkpoint.pt, from which a killed training of the same
    configuration goes on to the same result. UsageError when the checkpoint belongs to another configuration.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    start = None if config.first is None else train(config.first, data, out / "first", emit)
    emit(StepStarted(step=config.name))
    training, validation = _load(config, data)
    state = Learner(config, _network(config, start), out / "checkpoint.pt")
    shares = (config.photo_share, config.spatial_share, 1 - config.photo_share - config.spatial_share)
    batches = training.batches(config.batch, config.pixels, shares, config.seed, state.step)
    while state.step < config.steps:
        batch = next(batches)
        parts = state.learn(lambda network, batch=batch: loss_of(network, batch, config))
        last = state.step == config.steps
        if state.step % config.validate_every == 0 or last:
            record(out / "metrics.jsonl", {"step": state.step, **parts, **validate(state.average, validation)})
        if state.step % config.checkpoint_every == 0 or last:
            state.save()
        if state.step % 10 == 0:
            emit(Progress(step=config.name, done=state.step, total=config.steps, unit="steps"))
    weights = out / f"{config.name}.safetensors"
    write_atomic(weights, save({name: value.contiguous() for name, value in state.average.state_dict().items()}))
    plot_metrics(out / "metrics.jsonl", out / "metrics.png")
    emit(StepCompleted(step=config.name, summary=f"{weights} after {config.steps} steps"))
    return weights


def _network(config: LocalConfig, start: Path | None) -> LumenLocalNetwork:
    """The network as the seed draws it, or with the weights of the stage before."""
    torch.manual_seed(config.seed)
    network = LumenLocalNetwork(config.dropout)
    if start is not None:
        network.load_state_dict(load_file(start), strict=True)
    return network


@torch.no_grad()
def score(network: LumenLocalNetwork | None, pairs: LocalSet, pixels: int = 144 * 256) -> list[dict[str, float]]:
    """PU21-PSNR and dE-ITP of each pair over evenly spread pixels; `network` None: the curve alone."""
    places = np.linspace(0, 144 * 256 - 1, pixels).astype(np.int64)
    rows = []
    for chosen in np.array_split(np.arange(len(pairs.metas)), math.ceil(len(pairs.metas) / 8)):
        batch = pairs.take(chosen, np.tile(places, (len(chosen), 1)))
        gain_ev = torch.zeros(batch.sdr.shape[:2])
        if network is not None:
            gain_ev = slice_gain(network.condition(batch.small), batch)
        result = gained(batch, gain_ev)
        psnr, chroma = pu21_psnr(result, batch.hdr), delta_e_itp(result, batch.hdr)
        rows += [
            {"psnr_db": float(a), "delta_e_itp": float(b), "gain_ev": float(c)}
            for a, b, c in zip(psnr, chroma, gain_ev.abs().mean(1), strict=True)
        ]
    return rows


def validate(network: LumenLocalNetwork, pairs: dict[str, LocalSet]) -> dict[str, float]:
    """Mean PU21-PSNR over each kind of validation pairs, and of the curve alone."""
    found = {}
    for kind, of_kind in pairs.items():
        for name, judged in (("", network), ("_curve", None)):
            found[f"{kind}{name}_db"] = float(np.mean([row["psnr_db"] for row in score(judged, of_kind, 4096)]))
    return found


def plot_metrics(metrics: Path, picture: Path) -> None:
    """Every decibel of a metrics.jsonl over the steps."""
    rows = recorded(metrics)
    names = sorted({name for row in rows for name in row if name.endswith("_db")})
    lines = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
    plot_lines(lines, "PU21-PSNR, dB", picture)


def _load(config: LocalConfig, data: Path) -> tuple[LocalSet, dict[str, LocalSet]]:
    curve = curve_of(config)

    def allowed(meta: PairMeta) -> bool:
        return not meta.unseen and meta.title not in config.hold_out and _anchored(meta)

    titles = _titles(config, data)
    training = load_set(titles, curve, allowed, config.pairs_a_title, config.real_pairs_a_title)
    held = [path for split in config.validation_splits for path in sorted((data / split).glob("*.npz"))]
    kinds = {
        "spatial": lambda meta: meta.spatial and _anchored(meta),
        "plain": lambda meta: not meta.spatial and _anchored(meta),
    }
    metas = [meta for path in held for meta in read_title(path).metas]
    validation = {kind: load_set(held, curve, of, 4) for kind, of in kinds.items() if any(map(of, metas))}
    if config.hold_out:
        judges = [path for path in titles if path.stem in config.hold_out]
        validation["held"] = load_set(judges, curve, lambda meta: True, 12)
    return training, validation


def _titles(config: LocalConfig, data: Path) -> list[Path]:
    """The files of the splits, of each `fold` the fifths asked for."""
    found: list[Path] = []
    for split in config.splits:
        of_split = title_files(data, (split,))
        procedural = split.startswith("fold")
        found += [path for place, path in enumerate(of_split) if not procedural or place % 5 in config.fifths]
    return found


def _anchored(meta: PairMeta) -> bool:
    """A grade of another mid-gain is the matter of a control, not of the gain."""
    return abs(meta.mid_gain_ev) < ANCHORED_EV
