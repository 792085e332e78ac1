"""Several answers to each prompt, drawn as they come: what mining counts and GRPO learns from.

The prompt is read once for all its answers, which is most of the work when answers are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel

from training.mllm_asked import Messages
from training.mllm_checkpoint import placeholder_tokens


class Rollouts:
    """Draws from a model. `temperature` 0 takes the likeliest word each time."""

    def __init__(self, model: PreTrainedModel, processor: Any, longest: int, temperature: float = 1.0):
        self.model, self.processor = model, processor
        self.longest, self.temperature = longest, temperature
        self._tokenizer = processor.tokenizer
        self._kept_out = placeholder_tokens(processor)

    def texts(self, prompts: Sequence[Messages], count: int) -> list[list[str]]:
        """`count` answers to each prompt, without their end marks."""
        _, tokens = self.tokens(prompts, count)
        found = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [found[start : start + count] for start in range(0, len(found), count)]

    @torch.no_grad()
    def tokens(self, prompts: Sequence[Messages], count: int) -> tuple[list[list[int]], list[list[int]]]:
        """Each prompt's tokens, and those of `count` answers to each, prompt by prompt, with the end mark."""
        inputs = self.processor.apply_chat_template(
            list(prompts),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        ).to(self.model.device)
        was_training = self.model.training
        self.model.eval()
        drawn = self._shared(inputs, count) if _counts_in_three(self.model) else self._stock(inputs, count)
        self.model.train(was_training)
        ids, mask = inputs["input_ids"].tolist(), inputs["attention_mask"].bool().tolist()
        asked = [[token for token, shown in zip(*row, strict=True) if shown] for row in zip(ids, mask, strict=True)]
        return asked, [self._ended(row) for row in drawn.tolist()]

    def _shared(self, inputs: BatchFeature, count: int) -> Tensor:
        """The Qwen-VL families: read the prompts, copy what was read `count` times, go on from there."""
        seen = self.model(**inputs, use_cache=True, logits_to_keep=1)
        cache = seen.past_key_values
        cache.batch_repeat_interleave(count)
        mask = inputs["attention_mask"].repeat_interleave(count, dim=0)
        shift = self.model.model.rope_deltas.repeat_interleave(count, dim=0)
        logits = seen.logits[:, -1].repeat_interleave(count, dim=0)
        end, drawn = self._tokenizer.eos_token_id, []
        done = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        while True:
            token = torch.where(done, self._tokenizer.pad_token_id, self._draw(logits))
            drawn.append(token)
            done |= token == end
            if done.all() or len(drawn) == self.longest:
                return torch.stack(drawn, dim=1)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            place = (mask.sum(dim=1, keepdim=True) - 1 + shift).expand(3, -1, -1)
            step = self.model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=place,
                past_key_values=cache,
                use_cache=True,
            )
            logits = step.logits[:, -1]

    def _draw(self, logits: Tensor) -> Tensor:
        logits = logits.float()
        logits[:, self._kept_out] = -torch.inf
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        return torch.multinomial(torch.softmax(logits / self.temperature, dim=-1), 1)[:, 0]

    def _stock(self, inputs: BatchFeature, count: int) -> Tensor:
        """Every other family."""
        drawing = {"do_sample": True, "temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        generate: Any = self.model.generate
        made = generate(
            **inputs,
            max_new_tokens=self.longest,
            num_return_sequences=count if self.temperature else 1,
            suppress_tokens=self._kept_out,
            pad_token_id=self._tokenizer.pad_token_id,
            **(drawing if self.temperature else {"do_sample": False}),
        )
        return made[:, inputs["input_ids"].shape[1] :].repeat_interleave(1 if self.temperature else count, dim=0)

    def _ended(self, row: list[int]) -> list[int]:
        end = self._tokenizer.eos_token_id
        return row[: row.index(end) + 1] if end in row else row


def _counts_in_three(model: PreTrainedModel) -> bool:
    """Whether positions are time, row and column, shifted after the pictures, as in the Qwen-VL families."""
    return hasattr(model.model, "rope_deltas")
