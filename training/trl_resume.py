"""What TRL's trainers lack for a training that goes on where it was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, Trainer


class Resuming(Trainer):
    """Put before a trainer's class: a checkpoint's weights are read by the names under which they were written.

    transformers 5 writes a multimodal model's weights under the names of the hub (`visual.blocks...`), and its
    Trainer looks for the module's own (`model.visual.blocks...`), finds none and goes on with those it had, with no
    more than a warning.
    """

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        running = self.model if model is None else model
        if self.is_deepspeed_enabled or self.is_fsdp_enabled or not isinstance(running, PreTrainedModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # those, and adapters, name them alike
            return
        kept = type(running).from_pretrained(Path(resume_from_checkpoint), local_files_only=True, dtype=running.dtype)
        running.load_state_dict(kept.state_dict(), strict=True)


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole `checkpoint-<step>` folder; None where there is none."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").exists()]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None
