"""The recipe of `codec-clean` and `clarity`: learn a correction from pairs of damaged and clean video crops.

Read from top to bottom: the configuration, strengths, one step, the loop. `train` makes its pairs from photographs
where they are missing, and goes on from its last checkpoint.
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
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save
from torch import Tensor

from toolchain.errors import UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from toolchain.models.networks.restore import Clarity, CodecClean, RestoreNetwork
from toolchain.models.restore_strength import compression_strength, sigma_strength, softness_strength
from training.data.restore_pairs import NUMBERS, Pairs, PairsConfig, build_pairs, load_pairs
from training.plots import plot_lines
from training.recipe import load_recipe
from training.restore_losses import psnr_db, restore_loss, ssim

# Configuration

WARM_UP_STEPS = 100


class RestoreConfig(BaseModel):
    """One training. The same configuration and photographs give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: PairsConfig
    steps: int = Field(gt=0)
    cooldown: int = Field(ge=0, description="last steps, over which the learning rate falls")
    batch: int = Field(default=8, gt=0)
    window_px: int = Field(default=128, ge=32, multiple_of=4, description="of each crop, in one step")
    learning_rate: float = Field(default=1e-3, gt=0)
    average: float = Field(default=0.998, ge=0, lt=1, description="decay of the moving average that is kept")
    chroma_share: float = Field(default=0.2, ge=0, le=1, description="of the PSNR in the loss")
    ssim_weight: float = Field(default=3.0, ge=0, description="of ln(1 - SSIM) beside the PSNR in dB")
    precision: Literal["fp32", "bf16"] = Field(default="bf16", description="of the arithmetic; weights are fp32")
    seed: int = 0
    threads: int = Field(default=1, gt=0)
    validate_every: int = Field(default=500, gt=0)
    checkpoint_every: int = Field(default=250, gt=0)


def load_config(path: Path) -> RestoreConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, RestoreConfig, "a restoration training")


def build(config: RestoreConfig) -> RestoreNetwork:
    """The untrained network: it returns its input."""
    torch.manual_seed(config.seed)
    network = CodecClean() if config.pairs.task == "codec-clean" else Clarity()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


# Strengths: what the network is told


def measured_strengths(config: RestoreConfig, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 2) as a user gets them: from what `analysis.signals` measures of the damaged picture."""
    column = {name: numbers[:, index] for index, name in enumerate(NUMBERS)}
    compression = compression_strength(column["blockiness"])
    if config.pairs.task == "clarity":
        return np.stack([softness_strength(column["blur"]), compression], axis=1).astype(np.float32)
    return np.stack([sigma_strength(column["noise_sigma"]), compression], axis=1).astype(np.float32)


def told_strengths(
    config: RestoreConfig, numbers: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(N, 2): half as measured, three tenths the truth, both misread a little, and the rest a mere guess."""
    column = {name: numbers[:, index] for index, name in enumerate(NUMBERS)}
    first = column["softness_px"] / 2 if config.pairs.task == "clarity" else sigma_strength(column["sigma_codes"])
    truth = np.stack([first, column["compression"]], axis=1)
    measured = measured_strengths(config, numbers)
    shape = truth.shape
    spread = np.array([0.06, 0.12])
    choice = rng.random(shape)
    guess = rng.random(shape)
    told = np.where(choice < 0.5, measured, np.where(choice < 0.8, truth, guess))
    misread = np.where(choice < 0.8, rng.normal(size=shape) * spread + told * rng.normal(0, 0.15, shape), 0.0)
    return np.clip(told + misread, 0, 1).astype(np.float32)


# One step


def planes_of(codes: NDArray[np.uint16]) -> Tensor:
    """(N, 3 H / 2, W) packed 4:2:0 10-bit codes -> (N, 6, H / 2, W / 2) shares of the code range, channels last."""
    width = codes.shape[2]
    height = codes.shape[1] * 2 // 3
    luma = codes[:, :height].reshape(-1, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
    chroma = codes[:, height:].reshape(-1, 2, height // 2, width // 2)
    planes = np.concatenate([luma.reshape(-1, 4, height // 2, width // 2), chroma], axis=1)
    shares = torch.from_numpy(planes.astype(np.float32) / np.float32(1020.0))
    return shares.contiguous(memory_format=torch.channels_last)


def draw_batch(config: RestoreConfig, pairs: Pairs, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Damaged planes, clean planes and told strengths of one step, wholly determined by seed and step."""
    rng = np.random.default_rng([config.seed, step])
    chosen = np.sort(rng.choice(len(pairs.damaged), min(config.batch, len(pairs.damaged)), replace=False))
    told = torch.from_numpy(told_strengths(config, pairs.numbers[chosen], rng))
    half = config.window_px // 2
    room = config.pairs.crop_px // 2 - half
    top, left = rng.integers(room + 1, size=2) if room > 0 else (0, 0)
    flips = [axis for axis in (2, 3) if rng.random() < 0.5]
    damaged, clean = (
        _flipped(planes_of(codes[chosen])[:, :, top : top + half, left : left + half], flips)
        for codes in (pairs.damaged, pairs.clean)
    )
    return damaged, clean, told


def _flipped(planes: Tensor, axes: list[int]) -> Tensor:
    """Mirrored as a picture is: the four luma planes change places too."""
    luma, chroma = planes[:, :4], planes[:, 4:]
    for axis in axes:
        order = [2, 3, 0, 1] if axis == 2 else [1, 0, 3, 2]
        luma, chroma = luma[:, order].flip(axis), chroma.flip(axis)
    return torch.cat([luma, chroma], dim=1)


def _forward(config: RestoreConfig, network: RestoreNetwork, damaged: Tensor, told: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
        return network.restore(damaged, told).float()


def _rate(config: RestoreConfig, step: int) -> float:
    """Warm-up, a level stretch, and half a cosine down to a hundredth over the last `cooldown` steps."""
    left = config.steps - step
    falling = 0.01 + 0.99 * 0.5 * (1 - math.cos(math.pi * min(1.0, left / max(1, config.cooldown))))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * falling


@torch.no_grad()
def evaluate(config: RestoreConfig, network: RestoreNetwork, pairs: Pairs) -> dict[str, dict[str, float]]:
    """Mean luma PSNR in dB and SSIM of input and output by kind of damage, at the measured strengths."""
    told = torch.from_numpy(measured_strengths(config, pairs.numbers))
    rows = []
    for start in range(0, len(pairs.damaged), config.batch):
        part = slice(start, start + config.batch)
        damaged, clean = planes_of(pairs.damaged[part]), planes_of(pairs.clean[part])
        output = network.restore(damaged, told[part])
        scores = [f(picture, clean) for picture in (damaged, output) for f in (psnr_db, ssim)]
        rows.append(torch.stack(scores, dim=1).numpy())
    scores = np.concatenate(rows)
    table = {}
    for kind in sorted(set(kinds := _kinds(pairs.numbers))):
        mean = scores[np.array(kinds) == kind].mean(axis=0)
        table[kind] = {
            "pairs": float(kinds.count(kind)),
            "psnr_in_db": float(mean[0]),
            "psnr_out_db": float(mean[2]),
            "ssim_in": float(mean[1]),
            "ssim_out": float(mean[3]),
        }
    return table


def _kinds(numbers: NDArray[np.float32]) -> list[str]:
    names = []
    for sigma_codes, compression, softness_px in numbers[:, :3]:
        done = [("noise", sigma_codes > 0), ("soft", softness_px > 0), (_coding_name(compression), compression > 0)]
        names.append("+".join(name for name, is_so in done if is_so) or "clean")
    return names


def _coding_name(compression: float) -> str:
    return "light" if compression < 0.42 else "medium" if compression < 0.68 else "strong"


# The loop


def train(config: RestoreConfig, data: Path, out: Path, emit: Emit = ignore, pairs: Path | None = None) -> Path:
    """Train on the photographs below `data`; returns the weights file in `out` (created).

    Beside it: metrics.jsonl, metrics.png, test.json (the held-out split, read once at the end), the pairs (in
    `pairs`, if given), and checkpoint.pt, from which a killed training of the same configuration goes on to the same
    result. Raises UsageError when the checkpoint belongs to another configuration.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    folder = pairs or out / "pairs"
    build_pairs(config.pairs, data, folder, emit)
    training, validation = load_pairs(folder, "train"), load_pairs(folder, "validation")
    trainer = _Trainer(config, out)
    emit(StepStarted(step="train"))
    for step in trainer.steps():
        trainer.learn(draw_batch(config, training, step), step)
        if (step + 1) % config.validate_every == 0 or step + 1 == config.steps:
            trainer.note(step, evaluate(config, trainer.averaged, validation))
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            trainer.keep(step)
            emit(Progress(step="train", done=step + 1, total=config.steps, unit="steps"))
    weights = out / f"{config.pairs.task}.safetensors"
    write_atomic(weights, trainer.weights())
    table = evaluate(config, trainer.averaged, load_pairs(folder, "test"))
    write_atomic(out / "test.json", json.dumps(table, indent=1))
    plot(out)
    emit(StepCompleted(step="train", summary=f"{config.pairs.task}: {config.steps} steps"))
    return weights


class _Trainer:
    """What a checkpoint holds: network, its moving average, optimiser and the step."""

    def __init__(self, config: RestoreConfig, out: Path):
        self._config = config
        self._out = out
        self._network = build(config).train()
        self.averaged = copy.deepcopy(self._network).eval()
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)
        self._losses: list[float] = []
        self._done = self._restored()

    def steps(self) -> Iterator[int]:
        yield from range(self._done, self._config.steps)

    def learn(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> None:
        damaged, clean, told = batch
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * _rate(self._config, step)
        output = _forward(self._config, self._network, damaged, told)
        loss = restore_loss(output, clean, self._config.chroma_share, self._config.ssim_weight)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimiser.step()
        self._losses.append(float(loss.detach()))
        decay = min(self._config.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for average, now in zip(self.averaged.parameters(), self._network.parameters(), strict=True):
                average.lerp_(now, 1 - decay)

    def note(self, step: int, table: dict[str, dict[str, float]]) -> None:
        """One line of metrics.jsonl."""
        line = {"step": step + 1, "loss": float(np.mean(self._losses[-500:])), "validation": table}
        with (self._out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def keep(self, step: int) -> None:
        state = {
            "config": self._config.model_dump_json(),
            "done": step + 1,
            "network": self._network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        temporary = self._out / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self._out / "checkpoint.pt")

    def weights(self) -> bytes:
        return save({name: value.contiguous() for name, value in self.averaged.state_dict().items()})

    def _restored(self) -> int:
        path = self._out / "checkpoint.pt"
        if not path.exists():
            (self._out / "metrics.jsonl").unlink(missing_ok=True)
            return 0
        state = torch.load(path, weights_only=True)
        if not _continues(self._config, RestoreConfig.model_validate_json(state["config"]), state["done"]):
            raise UsageError(f"{path} belongs to another recipe: give another folder, or remove it to begin anew.")
        self._network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._forget_after(state["done"])
        return state["done"]

    def _forget_after(self, done: int) -> None:
        """Drop what metrics.jsonl says of steps that will be done again."""
        path = self._out / "metrics.jsonl"
        if path.exists():
            lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= done]
            write_atomic(path, "".join(f"{line}\n" for line in lines))


def _continues(config: RestoreConfig, earlier: RestoreConfig, done: int) -> bool:
    """Whether `done` steps of the earlier recipe are also the first steps of this one: all the same but the length,
    and neither had begun to cool down."""
    same = config == earlier.model_copy(update={"steps": config.steps, "cooldown": config.cooldown})
    level = all(done <= recipe.steps - recipe.cooldown for recipe in (config, earlier))
    return config == earlier or (same and level)


def plot(out: Path) -> None:
    """metrics.png: the gain in PSNR by kind of damage over the steps of metrics.jsonl."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = {
        kind: [
            (row["step"], row["validation"][kind]["psnr_out_db"] - row["validation"][kind]["psnr_in_db"])
            for row in rows
        ]
        for kind in rows[-1]["validation"]
        if kind != "clean"
    }
    plot_lines(lines, "validation: gain in luma PSNR, dB", out / "metrics.png")
