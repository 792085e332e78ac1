"""Supervised fine-tuning of the analyser on TRL: the compact model on a CPU, a 7B on GPUs, one YAML each.

Read from top to bottom: the configuration, the trainer, the run. A row is a prompt, the answer that a
perfect model would give, and the pictures; losses lie on answers alone. Run again after a kill with the same
arguments, it goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
import trl
from datasets import Dataset
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from analysis.mllm.families import family
from analysis.mllm.processor import Qwen2_5_VLProcessor
from toolchain.errors import InputError, UsageError
from toolchain.events import Emit, Progress, StepCompleted, StepStarted, ignore
from toolchain.files import sha256_file, write_atomic
from training.lora import LoraSettings, lora_config
from training.mllm_checkpoint import last_checkpoint, load_model, restore, vision_of
from training.mllm_collate import FastCollator
from training.mllm_eye import Due, head_loss
from training.mllm_model import HEAD_FILE, CellHead, CompactConfig, compact_model, processor
from training.mllm_rows import Rows
from training.mllm_speed import speed_up
from training.plots import plot_lines
from training.recipe import load_recipe
from training.sft_rows import dataset, rounds, row_maker, train_places

# Configuration


class SftConfig(BaseModel):
    """One fine-tuning. The same configuration and data give the same weights on the same machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="sft", pattern=r"^[a-z0-9-]+$")
    family: str = "compact"
    start: str | None = Field(default=None, description="checkpoint folder or hub name; none: compact, new")
    model: CompactConfig = CompactConfig()
    merged: bool = Field(default=True, description="all questions of a picture in one prompt, else one each")
    mirror: bool = Field(default=True, description="every sample a second time, mirrored left to right")
    pasted: int = Field(default=0, ge=0, description="rounds of samples with regions of others; compact model only")
    diagnostics: bool = Field(default=True, description="false: the diagnostic picture is blank, for the ablation")
    wordings: int = Field(default=1, gt=0, description="ways of asking that are drawn from")
    freeze_eye: bool = False
    lora: LoraSettings | None = None
    cell_weight: float = Field(default=0.3, ge=0, description="of the cell head's loss; compact model only")
    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    accumulate: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=5e-4, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.02, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"
    bf16: bool = True
    gradient_checkpointing: bool = False
    threads: int = Field(default=1, gt=0)
    seed: int = 0
    log_every: int = Field(default=20, gt=0)
    validate_every: int = Field(default=500, gt=0)
    validate_most: int = Field(default=256, gt=0)
    checkpoint_every: int = Field(default=100, gt=0)


def load_config(path: Path) -> SftConfig:
    """A recipe file against its class. UsageError says what does not fit."""
    return load_recipe(path, SftConfig, "a fine-tuning of the analyser")


# The trainer


class AnalyserTrainer(SFTTrainer):
    """TRL's trainer; where the batch has targets of the cell head, its loss is added and the eye runs but once."""

    cell_head: CellHead | None = None
    cell_weight: float = 0.0

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        running = self.model if model is None else model
        if isinstance(running, PreTrainedModel) and not self.is_deepspeed_enabled and not self.is_fsdp_enabled:
            restore(running, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The answers' loss, plus `cell_weight` times the cell head's."""
        due = Due(*(inputs.pop(name, None) for name in Due._fields))
        if self.cell_head is None or due.cells is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        pixels = inputs.pop("pixel_values")
        with self.compute_loss_context_manager():
            seen = model.get_image_features(pixels, inputs["image_grid_thw"], return_dict=True)
        tokens = torch.cat(seen.pooler_output).unflatten(0, (len(due.cells), -1))
        extra, parts = head_loss(self.cell_head, tokens, due)
        mode = "train" if model.training else "eval"
        for name, value in parts.items():
            self._metrics[mode][name].append(value)
        inputs["mm_encoder_outputs"] = {"image": seen}
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        added: Tensor = self.cell_weight * extra / self.args.gradient_accumulation_steps
        return (loss[0] + added, loss[1]) if return_outputs else loss + added


class _Reporting(TrainerCallback):
    """Progress as events, metrics as lines of a file."""

    def __init__(self, name: str, log: Path, emit: Emit):
        self._name, self._log, self._emit = name, log, emit

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._emit(Progress(step=self._name, done=state.global_step, total=state.max_steps, unit="steps"))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **numbers}) + "\n")


# The run


def train(config: SftConfig, data: Path, out: Path, emit: Emit = ignore) -> Path:
    """Fine-tune on a set of `agent train data`; returns the checkpoint folder in `out` (created).

    Beside it: metrics.jsonl with its plot, metrics.png; manifest.json with configuration, data and weights by digest;
    checkpoint-<step> folders, from the last of which a killed training goes on. UsageError for an output folder of
    another configuration.
    """
    _claim(out, config)
    torch.set_num_threads(config.threads)
    emit(StepStarted(step=config.name))
    model, made = _begin(config)
    rows = {split: Rows(data, split, most) for split, most in (("train", None), ("validation", config.validate_most))}
    places = {"train": train_places(rows["train"], config), "validation": rounds(config) * len(rows["validation"])}
    sets = {split: dataset(places[split], row_maker(part, config, made)) for split, part in rows.items()}
    log = out / "metrics.jsonl"
    trainer = _trainer(config, model, made, sets, out)
    trainer.remove_callback(PrinterCallback)  # stdout is for results
    trainer.add_callback(_Reporting(config.name, log, emit))
    checkpoint = last_checkpoint(out)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    folder = _write(trainer, made, config, out / "model")
    plot_metrics(log, out / "metrics.png")
    write_atomic(out / "manifest.json", json.dumps(_manifest(config, data, folder, len(rows["train"])), indent=1))
    emit(StepCompleted(step=config.name, summary=f"{folder} after {config.steps} steps"))
    return folder


def _begin(config: SftConfig) -> tuple[Any, Any]:
    """Model and processor to begin with. InputError for a folder that holds none."""
    if config.family == "compact":
        if config.start is None:
            return compact_model(config.model), processor([family("compact").prompt().user])
        return load_model(Path(config.start)), Qwen2_5_VLProcessor.from_pretrained(config.start)
    if config.start is None:
        raise UsageError(f"a model of the family {config.family} is not made anew: name one with `start`")
    try:
        kind = torch.bfloat16 if config.bf16 else torch.float32
        loaded = transformers.AutoModelForImageTextToText.from_pretrained(config.start, dtype=kind)
        return loaded, transformers.AutoProcessor.from_pretrained(config.start)
    except (OSError, ValueError, ImportError) as error:
        problem = " ".join(str(error).split())[:300]
        raise InputError(f"{config.start} holds no model of images and text ({problem})") from error


def _trainer(config: SftConfig, model: Any, made: Any, sets: dict[str, Dataset], out: Path) -> AnalyserTrainer:
    compact = config.family == "compact"
    if config.freeze_eye:
        vision_of(model).requires_grad_(False)
    if compact:
        speed_up(model)
    trainer = AnalyserTrainer(
        model=model,
        args=_arguments(config, out),
        train_dataset=sets["train"],
        eval_dataset=sets["validation"],
        processing_class=made,
        data_collator=FastCollator(made) if compact else None,
        peft_config=lora_config(config.lora, eye=not config.freeze_eye) if config.lora else None,
    )
    if compact and config.cell_weight:
        trainer.cell_head, trainer.cell_weight = CellHead(model.config.text_config.hidden_size), config.cell_weight
    return trainer


def _arguments(config: SftConfig, out: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(out),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch,
        per_device_eval_batch_size=config.batch,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup * config.steps),
        weight_decay=config.weight_decay,
        max_grad_norm=1.0,
        max_length=None,
        completion_only_loss=True,
        bf16=config.bf16,
        use_cpu=config.device == "cpu",
        gradient_checkpointing=config.gradient_checkpointing,
        remove_unused_columns=False,
        dataloader_pin_memory=config.device == "cuda",
        logging_steps=config.log_every,
        eval_strategy="steps",
        eval_steps=config.validate_every,
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        save_total_limit=2,
        seed=config.seed,
        data_seed=config.seed,
        report_to="none",
        disable_tqdm=True,
    )


def _write(trainer: AnalyserTrainer, made: Any, config: SftConfig, folder: Path) -> Path:
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if config.lora is not None:
        model = model.merge_and_unload()
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    if trainer.cell_head is not None:
        trainer.cell_head.save(folder)
    return folder


def _claim(out: Path, config: SftConfig) -> None:
    """The folder is this configuration's from now on."""
    out.mkdir(parents=True, exist_ok=True)
    mark, ours = out / "config.json", config.model_dump_json(indent=1)
    if mark.exists() and mark.read_text(encoding="utf-8") != ours:
        raise UsageError(f"{out} is of another configuration: name another output folder, or remove it")
    write_atomic(mark, ours)


def _manifest(config: SftConfig, data: Path, folder: Path, samples: int) -> dict[str, Any]:
    described = data / "manifest.json"
    return {
        "config": config.model_dump(mode="json"),
        "config_sha256": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
        "data_manifest_sha256": sha256_file(described) if described.exists() else None,
        "samples": samples,
        "weights": {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))},
        "cell_head": (folder / HEAD_FILE).exists(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
    }


def plot_metrics(metrics: Path, picture: Path) -> None:
    """Losses of a metrics.jsonl over the steps."""
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    names = ("loss", "eval_loss", "cell", "grade")
    plot_lines({name: [(row["step"], row[name]) for row in rows if name in row] for name in names}, "loss", picture)
