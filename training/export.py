"""From a trained model to the folder that stock transformers and vLLM load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from toolchain.errors import AgentError
from toolchain.files import write_atomic
from training.mllm_checkpoint import fingerprint, folder_hashes, load_model

HASHES = "hashes.json"
BESIDE = ("cell_head.tensors",)
"""Files of ours beside a model's weights, which no loader asks for: they are carried along."""


def export(
    model: Any, processor: Any, out: Path, start: Path | None = None, dtype: torch.dtype | None = None
) -> dict[str, str]:
    """Write `model` (adapters merged, cast to `dtype` if given) and its processor as the folder `out`; its hashes.

    What stands in `out` is replaced once the new folder is whole. `start` is the checkpoint that training began
    with: its files beside the weights come along. hashes.json holds the SHA-256 of every other file. Raises
    AgentError when the folder, loaded again, does not hold the same weights to the last bit.
    """
    merged: Any = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    if dtype is not None:
        merged = merged.to(dtype)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    merged.save_pretrained(partial)
    processor.save_pretrained(partial)
    for name in BESIDE:
        if start is not None and (start / name).exists():
            shutil.copyfile(start / name, partial / name)
    if fingerprint(load_model(partial, merged.dtype)) != fingerprint(merged):
        raise AgentError(f"{partial} does not hold the weights that were written to it: report this")
    hashes = folder_hashes(partial)
    write_atomic(partial / HASHES, json.dumps(hashes, indent=1))
    shutil.rmtree(out, ignore_errors=True)
    partial.replace(out)
    return hashes
