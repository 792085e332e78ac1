"""Low-rank adapters for the analyser's trainings: one way to state them, one way to place them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from peft import LoraConfig

LANGUAGE_PARTS = r"(?!.*\b(visual|vision_tower)\b).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""The language model's layers, never the eye's."""


class LoraSettings(BaseModel):
    """Low-rank adapters instead of all weights; they are merged into the model that is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=64, gt=0)
    alpha: int = Field(default=128, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


def lora_config(settings: LoraSettings, eye: bool) -> LoraConfig:
    """The settings in peft's words; `eye`: adapters in the vision tower too."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if eye else LANGUAGE_PARTS,
        exclude_modules=["lm_head"],
        task_type="CAUSAL_LM",
    )
