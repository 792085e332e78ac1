"""Train the expectation of `analysis.vqa.expectation`: from an SDR picture's tones to its master's, with a spread.

    agent train expectation --config configs/training/expectation.yaml --data PAIRS [--data MORE] --out DIR

Data are pair sets of `agent train itm-data`. Titles are split by `training.data.vqa_sources.split_of`, so what the
judging network is tested on has trained neither. Grade curves that train nothing in this project stay out here too.
Writes expectation.safetensors, metrics.json, metrics.jsonl and learning.png; goes on from learner.pt when run again.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save
from torch import Tensor, nn

from analysis.vqa.expectation import LOG_SPREAD, PU_SCALE, SIGNATURE_SIZE, TONES, source_tones
from analysis.vqa.spec import source_nits
from analysis.vqa.view import SourceView, luminance, to_pu21
from toolchain.errors import InputError
from toolchain.events import Emit, Progress
from toolchain.files import write_atomic
from toolchain.video.facts import ColorInterpretation
from training.data.itm_pairs import PairMeta, load
from training.data.vqa_sources import Split, split_of
from training.learner import Learner
from training.plots import plot_lines
from training.recipe import load_recipe

PEAK_NITS = 1000.0
"""The judge's display: what a master has above it is shown at it."""

STILL = ColorInterpretation(matrix="rgb", primaries="bt709", range="full", chroma_location="center")
LEAST_SCALE = 0.05
"""Inputs that hardly vary in training must not shout when a new picture has them."""

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class ExpectationConfig(BaseModel):
    """One training; `configs/training/expectation.yaml` is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    steps: Annotated[int, Field(ge=1)] = 4000
    batch: Annotated[int, Field(ge=1)] = 128
    learning_rate: Positive = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    average: Share = 0.998
    hidden: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    input_noise: Annotated[float, Field(ge=0)] = 0.2
    alone_share: Share = 0.3
    likelihood_weight: Annotated[float, Field(ge=0)] = 0.3
    log_every: Annotated[int, Field(ge=1)] = 200


def load_config(path: Path) -> ExpectationConfig:
    """The recipe in a YAML file; UsageError says what of it does not fit."""
    return load_recipe(path, ExpectationConfig, "the expectation")


# Data


@dataclass(frozen=True)
class Examples:
    """N pairs: signatures (N, S) of the frame and of its video, tones' shares, rise over the source in PU21 / 100."""

    frame: Tensor
    video: Tensor
    share: Tensor
    rise: Tensor
    weight: Tensor
    """Each title counts as the root of its number of pairs."""

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class _Pair:
    title: str
    split: Split
    unseen: bool
    video: tuple[str, ...]
    signature: NDArray[np.float32]
    share: NDArray[np.float32]
    rise: NDArray[np.float32]


def examples(folders: Sequence[Path], emit: Emit) -> dict[str, Examples]:
    """Pairs by split: train, validation, test, and `unseen`: test titles under curves that never train."""
    pairs = [pair for folder in folders for pair in _pairs(folder, emit)]
    chosen: dict[str, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        if not pair.unseen:
            chosen[pair.split].append(pair)
        elif pair.split == "test":
            chosen["unseen"].append(pair)
    for split in ("train", "validation", "test"):
        if not chosen[split]:
            raise InputError(f"{', '.join(map(str, folders))} hold no pairs for {split}: make a larger set of pairs")
    return {split: _tensors(listed) for split, listed in chosen.items()}


def _pairs(folder: Path, emit: Emit) -> Iterator[_Pair]:
    for number, shard in enumerate(load(folder, keep=lambda meta: meta["profile"] != "broadcast")):
        emit(Progress(step="read pairs", done=number, total=None, unit="titles"))
        for sdr, hdr, meta in zip(shard.sdr, shard.hdr, shard.meta, strict=True):
            yield _pair(sdr, hdr, meta, folder.name)


def _pair(sdr: NDArray[np.uint8], hdr: NDArray[np.float16], meta: PairMeta, of: str) -> _Pair:
    source = SourceView(source_nits(sdr.astype(np.float32) / 255, STILL))
    tones = source_tones(source)
    master = SourceView(np.minimum(hdr.astype(np.float32), PEAK_NITS))
    rise = tones.mean(to_pu21(luminance(master.half))) - tones.mean(source.half_pu)
    drawn = meta["source"] == "procedural"
    title = meta["title"] if drawn else f"{meta['source']}-{meta['title']}"
    return _Pair(
        title=title,
        split=split_of(title),
        unseen=meta["unseen"],
        video=(of, title, meta["family"], meta["local"], meta["profile"]),
        signature=tones.signature,
        share=tones.share.astype(np.float32),
        rise=(rise / PU_SCALE).astype(np.float32),
    )


def _tensors(pairs: list[_Pair]) -> Examples:
    videos: dict[tuple[str, ...], list[NDArray[np.float32]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for pair in pairs:
        videos[pair.video].append(pair.signature)
        counts[pair.title] += 1
    means = {key: np.mean(signatures, axis=0) for key, signatures in videos.items()}
    weight = np.array([counts[pair.title] ** -0.5 for pair in pairs], np.float32)
    return Examples(
        frame=torch.from_numpy(np.stack([pair.signature for pair in pairs])),
        video=torch.from_numpy(np.stack([means[pair.video] for pair in pairs])),
        share=torch.from_numpy(np.stack([pair.share for pair in pairs])),
        rise=torch.from_numpy(np.stack([pair.rise for pair in pairs])),
        weight=torch.from_numpy(weight / weight.mean()),
    )


# Network and loss


class ExpectationNetwork(nn.Module):
    """As `analysis.vqa.expectation.TrainedExpectation` runs it, with dropout and noise for training."""

    centre: Tensor
    scale: Tensor
    together: Tensor

    def __init__(self, config: ExpectationConfig, data: Examples | None = None):
        super().__init__()
        first, second = config.hidden
        self.layers = nn.ModuleList(
            [nn.Linear(2 * SIGNATURE_SIZE, first), nn.Linear(first, second), nn.Linear(second, 2 * TONES)]
        )
        self.drop, self.noise = config.dropout, config.input_noise
        inputs = torch.zeros(2, 2 * SIGNATURE_SIZE) if data is None else torch.cat([data.frame, data.video], 1)
        self.register_buffer("centre", inputs.mean(0))
        self.register_buffer("scale", inputs.std(0) + LEAST_SCALE)
        self.register_buffer("together", torch.eye(TONES))

    def forward(self, frame: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log spread of the rise, (N, TONES) each, in PU21 / 100."""
        x = (torch.cat([frame, video], 1) - self.centre) / self.scale
        if self.training:
            x = x + self.noise * torch.randn_like(x)
        for number, layer in enumerate(self.layers):
            x = nn.functional.dropout(x, self.drop * (0.3, 1.0, 0.5)[number], self.training)
            x = layer(x)
            if number < 2:
                x = nn.functional.silu(x)
        return x[:, :TONES], x[:, TONES:].clamp(*LOG_SPREAD)


def loss_of(network: ExpectationNetwork, data: Examples, rows: Tensor, config: ExpectationConfig) -> Tensor:
    """Squared error as pixels count it, and the likelihood of each tone under the spread told."""
    alone = torch.rand(len(rows), 1) < config.alone_share
    video = torch.where(alone, data.frame[rows], data.video[rows])
    mean, log_spread = network(data.frame[rows], video)
    share, weight = data.share[rows], data.weight[rows, None]
    squared = (data.rise[rows] - mean) ** 2
    counted = share.sqrt() * weight
    likelihood = (counted * (squared * torch.exp(-2 * log_spread) / 2 + log_spread)).sum() / counted.sum()
    return 0.4 * (share * squared * weight).sum() / len(rows) + config.likelihood_weight * likelihood


# Training


def train(config: ExpectationConfig, folders: Sequence[Path], out: Path, emit: Emit) -> Path:
    """Train to the end, or on from where an earlier run stopped; returns the weights' path."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    data = examples(folders, emit)
    learner = Learner(config, ExpectationNetwork(config, data["train"]), out / "learner.pt")
    lines = _read_lines(out / "metrics.jsonl", learner.step)
    while learner.step < config.steps:
        rows = torch.from_numpy(
            np.random.default_rng([config.seed, learner.step]).integers(0, len(data["train"]), config.batch)
        )
        learner.learn(lambda network, rows=rows: (loss_of(network, data["train"], rows, config), {}))
        if learner.step % config.log_every == 0 or learner.step == config.steps:
            scores = {split: scored(learner.average, data[split])["mse_pu"] for split in ("train", "validation")}
            lines.append({"step": learner.step, **scores})
            write_atomic(out / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
            learner.save()
            emit(Progress(step="train", done=learner.step, total=config.steps, unit="steps"))
    curves = {split: [(line["step"], line[split]) for line in lines] for split in ("train", "validation")}
    plot_lines(curves, "mean squared error, PU21 units squared", out / "learning.png")
    _make_honest(learner.average, data["validation"])
    learner.average.together.copy_(errors_together(learner.average, data["validation"]))
    figures = {split: scored(learner.average, part) for split, part in data.items()}
    write_atomic(out / "metrics.json", (json.dumps(figures, indent=1) + "\n").encode())
    weights = out / "expectation.safetensors"
    write_atomic(weights, _weights(learner.average))
    return weights


def scored(network: ExpectationNetwork, data: Examples) -> dict[str, float]:
    """Squared error against the master, pixels and pairs counting alike, of doing nothing and of the expectation.

    `error_over_spread`: root mean square of error over the spread told; 1 where the spread is honest.
    """
    network.eval()
    with torch.no_grad():
        mean, log_spread = network(data.frame, data.video)
    nothing = (data.share * data.rise**2).sum(1) * PU_SCALE**2
    left = (data.share * (data.rise - mean) ** 2).sum(1) * PU_SCALE**2
    told = (data.share * ((data.rise - mean) / log_spread.exp()) ** 2).sum(1)
    return {
        "pairs": len(data),
        "mse_nothing_pu": round(float(nothing.mean()), 2),
        "mse_pu": round(float(left.mean()), 2),
        "nearer_share": round(float((left < nothing).float().mean()), 4),
        "error_over_spread": round(float(told.mean().sqrt()), 4),
    }


def _make_honest(network: ExpectationNetwork, held_out: Examples) -> None:
    """Widen the spreads by what they fall short of on titles that did not train."""
    short = scored(network, held_out)["error_over_spread"]
    last = network.layers[2]
    assert isinstance(last, nn.Linear)  # noqa: S101 - __init__ makes no other
    with torch.no_grad():
        last.bias[TONES:] += math.log(short)


def errors_together(network: ExpectationNetwork, held_out: Examples) -> Tensor:
    """Correlation of two tones' errors, (TONES, TONES), over pairs that have both; positive definite."""
    network.eval()
    with torch.no_grad():
        mean, log_spread = network(held_out.frame, held_out.video)
    counted = (held_out.share * held_out.weight[:, None]).sqrt().double()
    error = (held_out.rise - mean) / log_spread.exp() * counted
    moments = error.T @ error / (counted.T @ counted).clamp_min(1e-9)
    values, vectors = torch.linalg.eigh(_as_correlation(moments))
    return _as_correlation((vectors * values.clamp_min(1e-3)) @ vectors.T).float()


def _as_correlation(moments: Tensor) -> Tensor:
    """Moments over the roots of their own diagonal; a tone that no picture has stands alone."""
    absent = torch.diag((moments.diagonal() <= 0).to(moments))
    moments = moments + absent
    roots = moments.diagonal().sqrt()
    return moments / roots[:, None] / roots


def _weights(network: ExpectationNetwork) -> bytes:
    tensors = {"centre": network.centre, "scale": network.scale, "together": network.together}
    for number, layer in enumerate(network.layers):
        assert isinstance(layer, nn.Linear)  # noqa: S101 - __init__ makes no other
        tensors |= {f"weight{number}": layer.weight.detach(), f"bias{number}": layer.bias.detach()}
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _read_lines(path: Path, step: int) -> list[dict[str, float]]:
    """What was logged up to the checkpoint."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["step"] <= step]
