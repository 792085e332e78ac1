"""The same sums as the stock model's, in fewer steps: for training on a CPU.

Pictures of one size are attended to in one call, and a still picture is multiplied once, not once a repeat. Both
halves attend by plain products: the fused kernel is slow backwards, a step of the language model takes 12 % more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VLVisionAttention,
    apply_rotary_pos_emb_vision,
)


class BatchedAttention(Qwen2_5_VLVisionAttention):
    """Windows of one length are attended to in one call. Same weights, same result."""

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        **_: Any,
    ) -> Tensor:
        """(patches, hidden) -> (patches, hidden), within the runs that `cu_seqlens` (runs + 1) marks."""
        total = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        parts = (query, key, value.to(query.dtype))
        lengths = cu_seqlens[1:] - cu_seqlens[:-1]
        seen = torch.empty_like(query)
        for length in lengths.unique().tolist():
            starts = cu_seqlens[:-1][lengths == length]
            places = (starts[:, None] + torch.arange(length, device=starts.device)).flatten()
            rows = [part[places].unflatten(0, (-1, length)).transpose(1, 2) for part in parts]
            heard = torch.softmax(rows[0] * self.scaling @ rows[1].mT, dim=-1, dtype=torch.float32)
            made = heard.to(rows[2].dtype) @ rows[2]
            seen = seen.index_copy(0, places, made.transpose(1, 2).flatten(0, 1))
        return self.proj(seen.reshape(total, -1))


class StillEmbed(Qwen2_5_VisionPatchEmbed):
    """Takes patches with or without their repeats. Same weights; the result differs by rounding."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(n, 3 x repeats x side x side), or (n, 3 x side x side) of still pictures -> (n, hidden)."""
        weight = self.proj.weight
        if hidden_states.shape[1] == weight[0].numel():
            return super().forward(hidden_states)
        return functional.linear(hidden_states, weight.sum(2).flatten(1))


def speed_up(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Let the model work so, in place. What is saved stays a stock checkpoint."""
    eye: Any = model.model.visual
    eye.patch_embed.__class__ = StillEmbed
    for block in eye.blocks:
        block.attn.__class__ = BatchedAttention
    model.model.language_model.config._attn_implementation = "eager"
