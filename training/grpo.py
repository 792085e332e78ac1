"""The recipe of GRPO: answers that earn more than their neighbours become likelier; the eye does not change.

Read from top to bottom: the configuration, the trainer, the loop, the record. No reference model (beta 0), no chain
of thought: the answer is all that a model writes. Rewards are standardised one by one within a prompt's answers, then
summed. `train` goes on from its last whole checkpoint.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from accelerate import PartialState
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.grpo_config import GRPOConfig as TrlConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from toolchain.errors import AgentError, InputError, UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import write_atomic
from training.export import export
from training.lora import LoraSettings, lora_config
from training.manifest import same_run, write_manifest
from training.mine import check_weights, hard_samples
from training.mllm_asked import Asked, reward_columns
from training.mllm_checkpoint import (
    fingerprint,
    folder_hashes,
    last_checkpoint,
    load_model,
    load_processor,
    placeholder_tokens,
    quickened,
    restore,
    vision_of,
)
from training.mllm_rows import Rows
from training.plots import plot_lines
from training.recipe import load_recipe
from training.rewards import NAMES
from training.rollouts import Rollouts

METRICS, MANIFEST = "metrics.jsonl", "manifest.json"
NO_SPREAD = 1e-6
"""Standard deviation of a reward below which a prompt's answers teach nothing by it."""

# Configuration


class Vllm(BaseModel):
    """Answers drawn by vLLM: in the training's own process, or by `trl vllm-serve`. Not run on hardware."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["colocate", "server"] = "colocate"
    memory_share: float = Field(default=0.35, gt=0, lt=1)
    tensor_parallel: int = Field(default=1, gt=0)
    context: int = Field(default=8192, gt=0, description="tokens of prompt, pictures and answer")
    server: str | None = Field(default=None, description="base URL, for mode server")


class GrpoConfig(BaseModel):
    """One training. The same configuration, model and data give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="compact-grpo", pattern=r"^[a-z0-9_-]+$")
    family: str = "compact"
    split: str = "train"
    ask: Literal["all", "open"] = Field(default="all", description="all questions, or those that mining left open")
    diagnostics: bool = Field(default=True, description="false: the diagnostic picture is blank, for the ablation")
    steps: int = Field(gt=0)
    prompts: int = Field(default=8, gt=0, description="a step and process")
    generations: int = Field(default=8, gt=1, description="answers to a prompt")
    parts: int = Field(default=1, gt=0, description="into which a step's answers are cut to fit into memory")
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_low: float = Field(default=0.2, gt=0)
    clip_high: float = Field(default=0.28, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    longest: int = Field(default=96, gt=0, description="tokens of an answer")
    weights: dict[str, float] = Field(default={}, description="of rewards; 1 where not given")
    precision: Literal["fp32", "mixed", "bf16"] = Field(
        default="fp32", description="mixed: float32 weights, computing in bfloat16; bf16: both"
    )
    export_bf16: bool = Field(default=False, description="write the weights at half the size")
    lora: LoraSettings | None = None
    vllm: Vllm | None = Field(default=None, description="without it answers are drawn by transformers")
    recompute: bool = Field(default=False, description="activations in the backward pass, to save memory")
    log_every: int = Field(default=1, gt=0)
    checkpoint_every: int = Field(default=50, gt=0)
    seed: int = 0
    threads: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> GrpoConfig:
        check_weights(self.weights)
        if self.prompts * self.generations % self.parts:
            raise ValueError(
                f"{self.prompts} x {self.generations} answers cannot be cut into {self.parts} equal parts"
            )
        return self


def load_config(path: Path) -> GrpoConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, GrpoConfig, "a training by GRPO")


def trl_config(config: GrpoConfig, out: Path, processor: Any) -> TrlConfig:
    """The recipe in TRL's words."""
    kept_out = placeholder_tokens(processor)
    vllm: dict[str, Any] = {"generation_kwargs": {"suppress_tokens": kept_out}}
    if config.vllm is not None:
        vllm = {
            "use_vllm": True,
            "vllm_mode": config.vllm.mode,
            "vllm_gpu_memory_utilization": config.vllm.memory_share,
            "vllm_tensor_parallel_size": config.vllm.tensor_parallel,
            "vllm_max_model_length": config.vllm.context,
            "vllm_server_base_url": config.vllm.server,
            # vLLM knows no suppress_tokens; a bad word that is one special token is that token.
            "generation_kwargs": {"bad_words": processor.tokenizer.convert_ids_to_tokens(kept_out)},
        }
    return TrlConfig(
        output_dir=str(out),
        shuffle_dataset=False,  # its own order would not be the same again in a resumed run's later rounds
        max_steps=config.steps,
        per_device_train_batch_size=config.prompts * config.generations // config.parts,
        gradient_accumulation_steps=config.parts,
        num_generations=config.generations,
        max_completion_length=config.longest,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        beta=0.0,
        loss_type="dapo",
        epsilon=config.clip_low,
        epsilon_high=config.clip_high,
        temperature=config.temperature,
        reward_weights=[config.weights.get(name, 1.0) for name in NAMES],
        multi_objective_aggregation="normalize_then_sum",
        bf16=config.precision != "fp32",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=config.recompute,
        logging_steps=config.log_every,
        save_steps=config.checkpoint_every,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
        **vllm,
    )


# The trainer


class Trainer(GRPOTrainer):
    """TRL's, and one number more: the share of prompts whose answers no reward tells apart, `frac_groups_zero_std`.

    Under `normalize_then_sum` TRL's own frac_reward_zero_std looks at the spread of the whole batch: never 0.
    """

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        network = self.accelerator.unwrap_model(model if model is not None else self.model)
        if hasattr(network, "get_base_model"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore(network, Path(resume_from_checkpoint))

    def _calculate_rewards(self, *given: Any, **named: Any) -> Tensor:
        rewards, told = super()._calculate_rewards(*given, **named), cast(TrlConfig, self.args)
        groups = torch.nan_to_num(rewards).view(-1, told.num_generations or 1, rewards.shape[1])
        silent = (groups.std(dim=1) < NO_SPREAD).all(dim=1)
        self._metrics["train"]["frac_groups_zero_std"].append(silent.float().mean().item())
        return rewards


class Record(TrainerCallback):
    """metrics.jsonl, a line a log, and progress events."""

    def __init__(self, path: Path, config: GrpoConfig, emit: Emit, begun: int):
        self._path, self._config, self._emit = path, config, emit
        if not PartialState().is_main_process:
            return
        kept = [row for row in logged(path) if row["step"] <= begun]
        write_atomic(path, "".join(f"{json.dumps(row)}\n" for row in kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "reward" in logs and state.is_world_process_zero:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._emit(Progress(step=self._config.name, done=state.global_step, total=self._config.steps, unit="steps"))


def shared_rollouts(prompts: Sequence[Any], trainer: GRPOTrainer) -> dict[str, Any]:
    """TRL's rollout_func: a prompt, which TRL repeats for each of its answers, is read once for all of them."""
    told = cast(TrlConfig, trainer.args)
    count, longest = told.num_generations or 1, told.max_completion_length or 1
    model = trainer.accelerator.unwrap_model(trainer.model)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    drawing = Rollouts(base, trainer.processing_class, longest, trainer.temperature)
    asked, drawn = drawing.tokens(prompts[::count], count)
    return {"prompt_ids": [ids for ids in asked for _ in range(count)], "completion_ids": drawn, "logprobs": None}


def make_trainer(
    config: GrpoConfig, asked: Asked, model: Path, out: Path, emit: Emit, begun: int = 0
) -> tuple[Trainer, str]:
    """The trainer with the eye frozen, and the eye's fingerprint."""
    network = load_model(model, torch.bfloat16 if config.precision == "bf16" else torch.float32)
    eye = vision_of(quickened(network, config.family))
    eye.requires_grad_(False)
    processor = load_processor(model, config.family)
    looked_at = config.steps * config.prompts * PartialState().num_processes
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rollout_func.*experimental")
        trainer = Trainer(
            model=network,
            reward_funcs=list(reward_columns()),
            args=trl_config(config, out, processor),
            train_dataset=asked.dataset(asked.order(looked_at, config.seed)),
            processing_class=processor,
            callbacks=[Record(out / METRICS, config, emit, begun)],
            peft_config=lora_config(config.lora, eye=False) if config.lora else None,
            rollout_func=None if config.vllm else shared_rollouts,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer, fingerprint(eye)


# The loop


def train(
    config: GrpoConfig, data: Path, model: Path, out: Path, hard: Path | None = None, emit: Emit = ignore
) -> Path:
    """Train the checkpoint in `model` on `data`, on the samples in `hard` if given; returns the folder `out`/model.

    Beside it: metrics.jsonl with its plots, manifest.json, and checkpoint-* folders from which a killed training goes
    on. Raises AgentError if a bit of the vision tower has changed.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    emit(StepStarted(step=config.name))
    made_by = {"config": config.model_dump(), "start": folder_hashes(model), "hard": hard.name if hard else None}
    processes = PartialState()
    with processes.main_process_first():
        same_run(out / "run.json", made_by)
        checkpoint = last_checkpoint(out)
    begun = int(checkpoint.name.rsplit("-", 1)[-1]) if checkpoint else 0
    trainer, before = make_trainer(config, chosen(config, data, hard), model, out, emit, begun)
    if checkpoint and begun == config.steps:  # transformers would make one step more
        trainer._load_from_checkpoint(str(checkpoint))
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    after = fingerprint(vision_of(trainer.accelerator.unwrap_model(trainer.model)))
    if after != before:
        raise AgentError(f"the frozen vision tower has changed ({before[:12]} to {after[:12]}): report this")
    if processes.is_main_process:
        _finish(config, trainer, model, out, {**made_by, "data": data.name, "vision_sha256": before})
    processes.wait_for_everyone()
    emit(StepCompleted(step=config.name, summary=f"{out / 'model'} after {config.steps} steps, its eye unchanged"))
    return out / "model"


def _finish(config: GrpoConfig, trainer: Trainer, model: Path, out: Path, told: dict[str, Any]) -> None:
    """Export, plots, manifest."""
    processor = load_processor(model, config.family)  # as it was: using one leaves marks in it
    kind = torch.bfloat16 if config.export_bf16 else None
    made = export(trainer.accelerator.unwrap_model(trainer.model), processor, out / "model", model, kind)
    plot_metrics(out)
    rows = logged(out / METRICS)
    write_manifest(out / MANIFEST, {**told, "model": made, "last": rows[-1] if rows else None})


def chosen(config: GrpoConfig, data: Path, hard: Path | None) -> Asked:
    """The split's samples, or those of them that `hard` names, with their questions."""
    rows = Rows(data, config.split)
    kept = hard_samples(hard) if hard else None
    if config.ask == "open" and kept is None:
        raise UsageError("asking the open questions alone needs the samples of `agent train mine`: give --hard")
    places = [row for row in range(len(rows)) if kept is None or rows.line(row).id in kept]
    if not places:
        raise InputError(f"split {config.split!r} of {data} has none of the samples asked for: give the data mined")
    return Asked(rows, config.family, places, (kept or {}) if config.ask == "open" else {}, config.diagnostics)


# The record


def logged(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a line that a kill tore is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def plot_metrics(out: Path) -> None:
    """rewards.png: the mean of each reward; health.png: entropy, silent groups, answers cut off."""
    rows = logged(out / METRICS)

    def line(key: str) -> list[tuple[float, float]]:
        return [(row["step"], row[key]) for row in rows if row.get(key) is not None]

    plot_lines({name: line(f"rewards/{name}/mean") for name in NAMES}, "mean reward", out / "rewards.png")
    health = ("entropy", "frac_groups_zero_std", "completions/clipped_ratio")
    plot_lines({name: line(name) for name in health}, "share; entropy in nats", out / "health.png")
