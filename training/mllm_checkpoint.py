"""Checkpoint folders of multimodal models: reading them, what of them never learns, and where a training goes on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.processing_utils import ProcessorMixin

from analysis.mllm.processor import Qwen2_5_VLProcessor
from toolchain.errors import InputError
from toolchain.files import sha256_file
from training.mllm_speed import speed_up

STATE = "trainer_state.json"
"""The last file that a checkpoint of transformers' Trainer gets: without it the checkpoint is torn."""
VISION_NAMES = ("visual", "vision_tower")
"""What the families call their eye: Qwen-VL, InternVL."""


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The network of a checkpoint folder, as stock transformers loads it. InputError where it is none."""
    try:
        return AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        problem = " ".join(str(error).split())[:300]
        raise InputError(
            f"{folder} holds no multimodal model that can be loaded ({problem}): name another"
        ) from error


def quickened(model: PreTrainedModel, family: str) -> PreTrainedModel:
    """The compact model with its eye working in batches, in place; any other as it is. Saved, it is a stock model."""
    if family == "compact":
        speed_up(cast(Qwen2_5_VLForConditionalGeneration, model))
    return model


def load_processor(folder: Path, family: str) -> ProcessorMixin:
    """The folder's processor, padding on the left. The compact model's does without the stock one's video half."""
    if family == "compact":
        processor = Qwen2_5_VLProcessor.from_pretrained(folder)
    else:
        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            problem = " ".join(str(error).split())[:300]
            raise InputError(f"{folder} holds no processor that can be loaded ({problem}): name another") from error
    processor.tokenizer.padding_side = "left"
    return processor


def vision_of(model: nn.Module) -> nn.Module:
    """The vision tower, with what it projects by where that is part of it."""
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in VISION_NAMES:
            return module
    raise InputError(f"{type(model).__name__} has no part called {' or '.join(VISION_NAMES)}: it cannot be frozen")


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, shapes, types and bits of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def placeholder_tokens(processor: Any) -> list[int]:
    """Special tokens that an answer must not contain: all but those that end it."""
    tokenizer = processor.tokenizer
    ending = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    return sorted(set(tokenizer.all_special_ids) - ending)


def restore(model: nn.Module, checkpoint: Path) -> None:
    """Give `model` the weights of a checkpoint of its own training, every one of them.

    transformers' Trainer (5.23) cannot: it compares the file's names, which are those of published checkpoints, with
    the network's own, finds none of them, warns, and goes on from the weights that training began with.
    """
    saved = load_model(checkpoint, next(model.parameters()).dtype)
    model.load_state_dict(saved.state_dict(), strict=True)


def folder_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file right in a folder, by name."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint of a training; torn ones, which a kill left, are removed."""
    found = [path for path in out.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    for path in sorted(found, key=lambda path: -int(path.name.rsplit("-", 1)[-1])):
        try:
            json.loads((path / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return path
    return None
