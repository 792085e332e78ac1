"""Decoding that can only write what a family may answer: llguidance's masks as a logits processor of transformers."""

from __future__ import annotations

import json
import re
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy as masks
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from analysis.mllm.families import Constraint
from toolchain.errors import UsageError

JSON_STYLE: Any = {"whitespace_flexible": False}


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> LLTokenizer:
    """The tokenizer as llguidance knows it; cached by the caller, for a large one takes a second."""
    kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"]
    return (
        LLTokenizer(TokenizerWrapper(_Words(tokenizer)))
        if kind == "WordLevel"
        else llguidance.hf.from_tokenizer(tokenizer)
    )


def compiled(constraint: Constraint) -> str:
    """A constraint in llguidance's own form. UsageError where it is none."""
    if constraint.kind == "grammar":
        made = LLMatcher.grammar_from_lark(constraint.text)
    else:
        made = LLMatcher.grammar_from_json_schema(constraint.text, overrides=JSON_STYLE)
    if problem := LLMatcher.validate_grammar(made):
        raise UsageError(f"the family's {constraint.kind} is not valid: {problem[:300]}")
    return made


class Constrained(LogitsProcessor):
    """Takes away, in each row of a batch, every token that its grammar forbids next. For one `generate` call."""

    def __init__(self, vocabulary: LLTokenizer, grammars: list[str], end: int):
        # A matcher takes some 60 ms to make, a copy none: rows mostly share their grammar.
        made = {grammar: LLMatcher(vocabulary, grammar) for grammar in dict.fromkeys(grammars)}
        self._matchers = [made[grammar].deep_copy() for grammar in grammars]
        self._mask = masks.allocate_token_bitmask(len(grammars), vocabulary.vocab_size)
        self._end, self._started = end, False

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:  # type: ignore[override]
        """(rows, vocabulary) scores, with -inf where a token is not allowed."""
        allowed = np.zeros(scores.shape, np.bool_)
        for row, matcher in enumerate(self._matchers):
            if self._started and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            if matcher.is_stopped():
                allowed[row, self._end] = True
                continue
            masks.fill_next_token_bitmask(matcher, self._mask, row)
            bits = np.unpackbits(self._mask[row].view(np.uint8), bitorder="little")
            allowed[row] = (
                bits[: scores.shape[1]]
                if len(bits) >= scores.shape[1]
                else np.pad(bits, (0, scores.shape[1] - len(bits)))
            )
        self._started = True
        forbidden = torch.from_numpy(~allowed).to(scores.device)
        return scores.masked_fill(forbidden, -torch.inf)


class _Words:
    """A word-level vocabulary for llguidance, which also asks for parts of words: single bytes stand behind it.

    Those have ids past the model's own, so no mask ever shows one to the model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.eos_token_id, self.bos_token_id = tokenizer.eos_token_id, None
        self.special_token_ids = tokenizer.all_special_ids
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        plain = [name.replace("Ġ", " ").replace("Ċ", "\n").encode() for name in names]
        self.tokens = [*plain, *(bytes([value]) for value in range(256))]
        special = set(self.special_token_ids)
        self._ids = {word: index for index, word in enumerate(plain) if index not in special}
        self._bytes_from = len(plain)

    def __call__(self, text: bytes | str) -> list[int]:
        raw = text if isinstance(text, bytes) else text.encode()
        found: list[int] = []
        for word in re.findall(rb"\n| ?[^\s]+|\s", raw):
            known = self._ids.get(word)
            found += [known] if known is not None else [self._bytes_from + value for value in word]
        return found
