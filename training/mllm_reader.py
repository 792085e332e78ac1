"""The reader alone: the language model learns to write reports of simulated cell maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from analysis.mllm.code import encode
from analysis.mllm.families import family
from analysis.mllm.processor import Qwen2_5_VLProcessor
from analysis.mllm.prompts import QUESTIONS, Question
from training.learner import Loss
from training.mllm_collate import NO_LOSS, TOKENS, image_grids, texts_to_batch
from training.mllm_maps import draw_maps
from training.mllm_model import CellHead, processor

HELD_OUT_SEED = 1 << 40
"""Added to the seed of frames that no step draws."""
TOKEN_NOISE = 0.08
"""Of simulated tokens in every component: what an eye says beside the head's directions means nothing yet."""


class ReaderBatch(NamedTuple):
    """Simulated frames: token ids, their kinds and labels (n, length), logits of cells and grades, regions' edges."""

    ids: Tensor
    kinds: Tensor
    labels: Tensor
    cells: Tensor
    grades: Tensor
    regions: Tensor


class ReaderData:
    """Batches of simulated frames."""

    def __init__(self, batch: int, seed: int, validate_most: int):
        made = processor([family("compact").prompt().user])
        self._tokenizer, self._prompt = made.tokenizer, compact_prompt_text(made)
        self._batch, self._seed, self._validate_most = batch, seed, validate_most

    def batch(self, step: int, held_out: bool = False) -> ReaderBatch:
        """The step's frames, drawn anew; the same for the same step."""
        rng = np.random.default_rng([self._seed + HELD_OUT_SEED * held_out, step])
        maps = [draw_maps(rng) for _ in range(self._batch)]
        answers = [encode(one.report) for one in maps]
        texts = texts_to_batch(self._tokenizer, [self._prompt] * len(maps), answers)
        said = zip(*((one.cells, one.grades, one.regions) for one in maps), strict=True)
        told = [torch.from_numpy(np.stack(part)) for part in said]
        return ReaderBatch(texts.input_ids, texts.mm_token_type_ids, texts.labels, *told)

    def held_out(self) -> list[ReaderBatch]:
        """Frames that no step draws, in batches."""
        return [self.batch(index, held_out=True) for index in range(max(1, self._validate_most // self._batch))]


def compact_prompt_text(made: Qwen2_5_VLProcessor, questions: tuple[Question, ...] = QUESTIONS) -> str:
    """The compact family's prompt in chat markup, one placeholder a picture."""
    asked = family("compact").prompt(questions).user
    content: Any = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": asked}]
    told: Any = [{"role": "user", "content": content}]
    return str(made.apply_chat_template(told, add_generation_prompt=True, tokenize=False))


def reader_logits(
    model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batch: ReaderBatch
) -> tuple[Tensor, Tensor]:
    """Logits (n, answer, vocabulary) of the answers' tokens, and those tokens (n, answer), NO_LOSS where none is."""
    grades = head.picture_tokens(batch.grades)[:, None]
    diagnostic = head.cell_tokens(batch.cells.flatten(1, 2)) + head.region_tokens(batch.regions.flatten(1, 2))
    tokens = torch.cat([grades.expand(-1, TOKENS[0], -1), grades + diagnostic], dim=1)
    tokens = tokens + TOKEN_NOISE * torch.randn_like(tokens)
    embedded = model.get_input_embeddings()(batch.ids)
    embedded = embedded.masked_scatter((batch.kinds == 1)[..., None], tokens.to(embedded.dtype))
    one: dict[str, Any] = {"input_ids": batch.ids[:1], "mm_token_type_ids": batch.kinds[:1]}
    places, _ = model.model.get_rope_index(**one, image_grid_thw=image_grids(1))  # type: ignore[arg-type]
    hidden = model.model.language_model(
        inputs_embeds=embedded, position_ids=places.expand(-1, len(batch.ids), -1), use_cache=False
    )[0]
    first = int((batch.labels[0] != NO_LOSS).nonzero()[0])
    return model.lm_head(hidden[:, first - 1 : -1]), batch.labels[:, first:]


def reader_loss(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batch: ReaderBatch) -> Loss:
    """Cross-entropy of the answers' tokens."""
    logits, due = reader_logits(model, head, batch)
    loss = functional.cross_entropy(logits.float().flatten(0, 1), due.flatten(), ignore_index=NO_LOSS)
    return loss, {"answer": float(loss.detach())}


@torch.no_grad()
def judge(model: Qwen2_5_VLForConditionalGeneration, head: CellHead, batches: list[ReaderBatch]) -> dict[str, float]:
    """Loss on frames that no step draws, and the share of the answers' tokens that would be written right."""
    torch.manual_seed(0)
    losses, right = [], []
    for batch in batches:
        logits, due = reader_logits(model, head, batch)
        asked = due != NO_LOSS
        losses.append(float(functional.cross_entropy(logits[asked].float(), due[asked])))
        right.append((logits.argmax(-1) == due)[asked])
    return {"loss": float(np.mean(losses)), "tokens_right": float(torch.cat(right).double().mean())}
