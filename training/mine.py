"""The recipe of mining: which samples a model can learn from by trial, being neither sure nor lost there.

Read from top to bottom: the configuration, one batch of samples, the loop, the choice. Every sample is answered
`rollouts` times; kept are those whose mean reward lies between two limits and whose answers differ in what they earn.
Of a kept sample the questions that are always answered right are named, so that GRPO may leave them out.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.mllm.prompts import QUESTIONS, Question
from toolchain.errors import InputError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from training.manifest import same_run, write_manifest
from training.mllm_asked import Asked
from training.mllm_checkpoint import folder_hashes, load_model, load_processor, quickened
from training.mllm_rows import Rows
from training.recipe import load_recipe
from training.rewards import NAMES, read, rewards_of, weighted
from training.rewards.merged import right
from training.rollouts import Rollouts

ROLLOUTS, HARD, MANIFEST = "rollouts.jsonl", "hard.jsonl", "manifest.json"

# Configuration


class MineConfig(BaseModel):
    """One pass over a dataset. The same configuration, model and data give the same choice on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="compact-mine", pattern=r"^[a-z0-9_-]+$")
    family: str = "compact"
    split: str = "train"
    samples: int = Field(default=0, ge=0, description="how many are looked at, evenly spread; 0: all")
    diagnostics: bool = Field(default=True, description="false: the diagnostic picture is blank, for the ablation")
    rollouts: int = Field(default=8, gt=1)
    temperature: float = Field(default=1.0, gt=0)
    longest: int = Field(default=96, gt=0, description="tokens of an answer")
    batch: int = Field(default=16, gt=0, description="samples at a time")
    lowest: float = Field(default=0.15, ge=0, le=1, description="mean reward below which a sample is hopeless")
    highest: float = Field(default=0.85, ge=0, le=1, description="mean reward above which it is known")
    least_spread: float = Field(default=0.05, ge=0, description="standard deviation that it must exceed")
    weights: dict[str, float] = Field(default={}, description="of rewards in a sample's mean; 1 where not given")
    seed: int = 0
    threads: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> MineConfig:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} is not below highest {self.highest}")
        check_weights(self.weights)
        return self


def check_weights(weights: dict[str, float]) -> None:
    """ValueError for the name of no reward, or a negative weight."""
    unknown = sorted(set(weights) - set(NAMES))
    if unknown or any(weight < 0 for weight in weights.values()):
        raise ValueError(f"weights {weights}: none below 0, and of {', '.join(NAMES)} only")


def load_config(path: Path) -> MineConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, MineConfig, "a mining of hard samples")


# One batch


class Mined(BaseModel):
    """What a model earned on one sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    mean: float
    spread: float = Field(description="standard deviation of the answers' rewards")
    valid: float = Field(description="share of answers that can be read")
    rewards: dict[str, float] = Field(description="mean of each that applies")
    right: dict[Question, float] = Field(description="share of answers that have each question exactly right")

    def open_questions(self) -> tuple[Question, ...]:
        """Those not always answered right; all where each is, for then a box or a severity is at fault."""
        found: tuple[Question, ...] = tuple(question for question in QUESTIONS if self.right.get(question, 1.0) < 1.0)
        return found or QUESTIONS


def judge(asked: Asked, place: int, texts: Sequence[str], weights: dict[str, float]) -> Mined:
    """One sample's answers, counted."""
    task = asked.task(place)
    earned = [rewards_of(task, text) for text in texts]
    totals = [weighted(one, weights) for one in earned]
    reports = [read(task, text).report for text in texts]
    return Mined(
        id=asked.id(place),
        mean=statistics.fmean(totals),
        spread=statistics.pstdev(totals),
        valid=sum(report is not None for report in reports) / len(texts),
        rewards={
            name: statistics.fmean(values)
            for name in NAMES
            if (values := [value for one in earned if (value := one[name]) is not None])
        },
        right={
            question: sum(bool(report and right(task.truth, report, question)) for report in reports) / len(texts)
            for question in task.questions
        },
    )


# The loop


def mine(config: MineConfig, data: Path, model: Path, out: Path, emit: Emit = ignore) -> Path:
    """Look at `data`'s samples with the checkpoint in `model`; returns `out`/hard.jsonl, the samples worth learning.

    Beside it: rollouts.jsonl, a line a sample, from which a killed run goes on; manifest.json with the figures.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    asked = _asked(config, data)
    log, made_by = out / ROLLOUTS, {"config": config.model_dump(), "model": folder_hashes(model)}
    same_run(out / "run.json", made_by)
    done = _kept_lines(log, config.batch, len(asked))
    network = quickened(load_model(model), config.family)
    if torch.cuda.is_available():
        cast(torch.nn.Module, network).cuda()
    drawing = Rollouts(
        network,
        load_processor(model, config.family),
        config.longest,
        config.temperature,
    )
    for start in range(done, len(asked), config.batch):
        batch = range(start, min(start + config.batch, len(asked)))
        torch.manual_seed(config.seed * 1_000_003 + start)  # by the place alone: a resumed run draws the same
        texts = drawing.texts([asked.shown(place) for place in batch], config.rollouts)
        found = [judge(asked, place, own, config.weights) for place, own in zip(batch, texts, strict=True)]
        with log.open("a", encoding="utf-8") as file:
            file.write("".join(f"{mined.model_dump_json()}\n" for mined in found))
        emit(Progress(step=config.name, done=batch[-1] + 1, total=len(asked), unit="samples"))
    figures = _choose(config, log, out / HARD)
    write_manifest(out / MANIFEST, {**made_by, "data": str(data.name), "figures": figures})
    emit(StepCompleted(step=config.name, summary=f"{figures['kept']} of {figures['samples']} samples are worth it"))
    return out / HARD


def _asked(config: MineConfig, data: Path) -> Asked:
    rows = Rows(data, config.split, config.samples or None)
    return Asked(rows, config.family, range(len(rows)), {}, config.diagnostics)


def _kept_lines(log: Path, batch: int, total: int) -> int:
    """Samples already looked at: whole batches; what a kill left of one is cut off."""
    if not log.exists():
        return 0
    lines = log.read_text(encoding="utf-8").split("\n")[:-1]
    whole = len(lines) if len(lines) == total else len(lines) // batch * batch
    write_atomic(log, "".join(f"{line}\n" for line in lines[:whole]))
    return whole


# The choice


def worth(config: MineConfig, mined: Mined) -> bool:
    """Whether a model can learn from a sample by trial."""
    return config.lowest <= mined.mean <= config.highest and mined.spread > config.least_spread


def _choose(config: MineConfig, log: Path, hard: Path) -> dict[str, Any]:
    """Write the samples worth learning from, and say what was found."""
    found = [Mined.model_validate_json(line) for line in log.read_text(encoding="utf-8").splitlines()]
    kept = [mined for mined in found if worth(config, mined)]
    lines = [{"questions": mined.open_questions(), **mined.model_dump()} for mined in kept]
    write_atomic(hard, "".join(f"{json.dumps(line)}\n" for line in lines))
    between = [mined for mined in found if config.lowest <= mined.mean <= config.highest]
    return {
        "samples": len(found),
        "kept": len(kept),
        "too_hard": sum(mined.mean < config.lowest for mined in found),
        "known": sum(mined.mean > config.highest for mined in found),
        "always_the_same": len(between) - len(kept),
        "mean_reward": statistics.fmean(mined.mean for mined in found),
        "valid_share": statistics.fmean(mined.valid for mined in found),
        "rewards": {
            name: statistics.fmean(values)
            for name in NAMES
            if (values := [mined.rewards[name] for mined in found if name in mined.rewards])
        },
        "samples_by_tenth_of_mean_reward": np.histogram(
            [mined.mean for mined in found], bins=10, range=(0, 1)
        )[0].tolist(),
    }  # fmt: skip


def hard_samples(path: Path) -> dict[str, tuple[Question, ...]]:
    """Ids and open questions of a hard.jsonl. InputError where it is none or empty."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found: dict[str, tuple[Question, ...]] = {
            line["id"]: tuple(name for name in QUESTIONS if name in line["questions"]) for line in lines
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} is no list of hard samples ({problem}): give one of `agent train mine`") from error
    if not found:
        raise InputError(f"{path} names no sample: mine with wider limits, or train without it")
    return found
