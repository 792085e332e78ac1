"""The model in this process: transformers on the CPU or a GPU, held to the family's answers by llguidance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.mllm.engine import FrameQuestion
from analysis.mllm.families import Family
from toolchain.errors import InputError
from toolchain.files import sha256_file

LONGEST_ANSWER = {"compact": 96}
LONGEST_JSON = 1024
"""Tokens after which an answer is cut off, and then does not validate."""
OTHER_ANSWER_TEMPERATURE = 0.7
"""Of the draw when the most likely answer did not validate."""


class LocalEngine:
    """A checkpoint folder asked in batches. Greedy at the first attempt; later ones draw, the same draw every time.

    Raises InputError for a folder without such a model.
    """

    def __init__(self, folder: Path, family: Family, batch: int = 8, device: str = "cpu"):
        # Seconds to import: only jobs that ask pay for it.
        import torch
        from transformers import Qwen2_5_VLForConditionalGeneration

        from analysis.mllm.constrain import vocabulary_of
        from analysis.mllm.processor import Qwen2_5_VLProcessor

        self._family, self._batch = family, batch
        self._processor: Any = Qwen2_5_VLProcessor.from_pretrained(folder)
        kind = torch.float32 if device == "cpu" else "auto"
        try:
            model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=kind
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            problem = " ".join(str(error).split())[:300]
            raise InputError(f"{folder} holds no Qwen2.5-VL model ({problem}): name another folder") from error
        self._model = model.to(device).eval()
        self._vocabulary = vocabulary_of(self._processor.tokenizer)
        self._grammars: dict[str, str] = {}
        weights = [sha256_file(path) for path in sorted(folder.glob("*.safetensors"))]
        self._name = f"local:{folder.name}-{hashlib.sha256(''.join(weights).encode()).hexdigest()[:12]}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def family(self) -> Family:
        return self._family

    def ask(self, questions: Sequence[FrameQuestion]) -> list[str]:
        """One answer a question, in order; questions of one attempt go together."""
        answers: dict[int, str] = {}
        for attempt in sorted({question.attempt for question in questions}):
            places = [place for place, question in enumerate(questions) if question.attempt == attempt]
            for first in range(0, len(places), self._batch):
                some = places[first : first + self._batch]
                answers |= dict(zip(some, self._answers([questions[place] for place in some], attempt), strict=True))
        return [answers[place] for place in range(len(questions))]

    def _answers(self, questions: Sequence[FrameQuestion], attempt: int) -> list[str]:
        import torch

        from analysis.mllm.constrain import Constrained

        inputs = self._inputs(questions).to(self._model.device)
        end = self._processor.tokenizer.eos_token_id
        grammars = [self._grammar(question) for question in questions]
        torch.manual_seed(attempt)
        drawing = {"do_sample": True, "temperature": OTHER_ANSWER_TEMPERATURE} if attempt else {"do_sample": False}
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                **drawing,
                max_new_tokens=LONGEST_ANSWER.get(self._family.name, LONGEST_JSON),
                logits_processor=[Constrained(self._vocabulary, grammars, end)],
                pad_token_id=self._processor.tokenizer.pad_token_id,
            )
        written = made[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.tokenizer.batch_decode(written, skip_special_tokens=True)]

    def _inputs(self, questions: Sequence[FrameQuestion]):
        prompt = self._family.prompt()
        texts = []
        for question in questions:
            told: list[Any] = [{"role": "system", "content": prompt.system}] if prompt.system else []
            shown = [{"type": "image"} for _ in question.images]
            told.append({"role": "user", "content": [*shown, {"type": "text", "text": prompt.user}]})
            texts.append(self._processor.apply_chat_template(told, add_generation_prompt=True, tokenize=False))
        images = [list(question.images) for question in questions]
        return self._processor(text=texts, images=images, padding=True, return_tensors="pt")

    def _grammar(self, question: FrameQuestion) -> str:
        from analysis.mllm.constrain import compiled

        constraint = self._family.constraint(question.size)
        if constraint.text not in self._grammars:
            self._grammars[constraint.text] = compiled(constraint)
        return self._grammars[constraint.text]
