"""Stored samples to a model's batch, straight from arrays: no PIL, no resizing, the same numbers as the processor's.

Targets of the cell head come along: what share of each cell every distortion covers, at each severity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from analysis.mllm.code import SEVERITIES, TYPE_WORDS
from analysis.mllm.diagnostic import CELLS, DIAGNOSTIC_SIZE, PICTURE_SIZE, mosaic
from analysis.mllm.frame_report import CONTRASTS, GRADES, FrameReport
from analysis.mllm.processor import MERGE, REPEATS, Qwen2_5_VLProcessor, grid_of, patches
from analysis.schema import Box
from training.boxes import is_local
from training.mllm_model import REGION_WAVES

GRIDS = (grid_of(PICTURE_SIZE[1], PICTURE_SIZE[0]), grid_of(DIAGNOSTIC_SIZE[1], DIAGNOSTIC_SIZE[0]))
"""Patches in time, down and across of the two pictures."""
TOKENS = (GRIDS[0][1] * GRIDS[0][2] // MERGE**2, GRIDS[1][1] * GRIDS[1][2] // MERGE**2)
"""Tokens of the shrunk picture and of the diagnostic one: 40 and 144."""
NO_LOSS = -100
REGION_SHARE = 0.3
"""Of a cell, that must lie in a region for the cell to speak of its edges."""
TYPES = tuple(TYPE_WORDS)


def pixel_values(pictures: NDArray[np.uint8], stored: NDArray[np.uint8], repeats: int = REPEATS) -> Tensor:
    """(n, 140, 224, 3) and (n, 9, 16, 48) codes -> (n x 184, 3 x repeats x 784) float32, each sample's two in turn.

    One repeat is enough for a model that `training.mllm_speed.speed_up` has seen.
    """
    both = np.concatenate([patches(pictures, repeats), patches(mosaic(stored), repeats)], axis=1)
    return torch.from_numpy(both.reshape(-1, both.shape[-1]))


def image_grids(count: int) -> Tensor:
    """(2 x count, 3) int64: what the model wants to know of the pictures' sizes."""
    return torch.tensor(GRIDS * count)


@dataclass(frozen=True)
class TextBatch:
    """Token ids (n, length) with what the model needs beside them, the answers' ends padded."""

    input_ids: Tensor
    mm_token_type_ids: Tensor
    labels: Tensor


def texts_to_batch(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], answers: Sequence[str]) -> TextBatch:
    """Prompts in chat markup, with one placeholder a picture, and their answers (the end mark is added).

    Padded on the right. Nothing before the padding sees it and no loss is put on it, so it needs no attention mask.
    """
    words: Any = tokenizer
    image = words.convert_tokens_to_ids("<|image_pad|>")
    rows, starts = [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        for tokens in TOKENS:
            prompt = prompt.replace("<|image_pad|>", "<|held|>" * tokens, 1)
        head = words(prompt.replace("<|held|>", "<|image_pad|>"), add_special_tokens=False)["input_ids"]
        tail = words(answer, add_special_tokens=False)["input_ids"]
        rows.append([*head, *tail, words.eos_token_id])
        starts.append(len(head))
    ids = torch.full((len(rows), max(map(len, rows))), words.pad_token_id)
    labels = torch.full_like(ids, NO_LOSS)
    for row, (tokens, start) in enumerate(zip(rows, starts, strict=True)):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, start : len(tokens)] = torch.tensor(tokens[start:])
    return TextBatch(ids, torch.eq(ids, image).long(), labels)


# Targets of the cell head


def coverage(box: Box) -> NDArray[np.float32]:
    """(9, 16) share of each cell that lies in a box of 0..1000."""
    x0, y0, x1, y1 = box
    shares = []
    for first, last, count in ((y0, y1, CELLS[0]), (x0, x1, CELLS[1])):
        edges = np.arange(count + 1, dtype=np.float32) * np.float32(1000 / count)
        inside = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
        shares.append(np.clip(inside * np.float32(count / 1000), 0, 1))
    return np.outer(*shares).astype(np.float32)


def cell_targets(report: FrameReport) -> NDArray[np.float32]:
    """(9, 16, types, severities) in [0, 1]: how far each cell is damaged in each way, at least that severely."""
    found = np.zeros((*CELLS, len(TYPES), len(SEVERITIES)), np.float32)
    for item in report.distortions:
        reach = SEVERITIES.index(item.severity) + 1
        kind = found[:, :, TYPES.index(item.type), :reach]
        np.maximum(kind, coverage(item.bbox_1000)[:, :, None], out=kind)
    return found


def picture_targets(report: FrameReport) -> NDArray[np.float32]:
    """(6,) of 0 or 1: dynamic range above each of its first four grades, contrast above low and above medium."""
    ranges = GRADES.index(report.dynamic_range) > np.arange(len(GRADES) - 1)
    contrasts = CONTRASTS.index(report.contrast) > np.arange(len(CONTRASTS) - 1)
    return np.concatenate([ranges, contrasts]).astype(np.float32)


def region_targets(report: FrameReport) -> NDArray[np.float32]:
    """(9, 16, 4, waves) cosines of the edges of the local region that a cell lies in; 0 where it lies in none."""
    found = np.zeros((*CELLS, 4, REGION_WAVES), np.float32)
    for item in report.distortions:
        if is_local(item.bbox_1000):
            found[coverage(item.bbox_1000) >= REGION_SHARE] = edge_waves(item.bbox_1000)
    return found


def edge_waves(box: Sequence[float]) -> NDArray[np.float32]:
    """(4, waves): cos(pi k edge) of a box of 0..1000."""
    return np.cos(np.pi * np.arange(1, REGION_WAVES + 1) * (np.asarray(box, np.float32) / 1000)[:, None])


# The collator of SFT


class FastCollator:
    """Rows of `training.sft.compact_rows` to the compact model's batch.

    A row: `prompt` and `completion` (texts), `images` ({"picture", "statistics"} codes), `report` (FrameReport).
    """

    def __init__(self, processor: Qwen2_5_VLProcessor):
        self._tokenizer = processor.tokenizer

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The model's inputs and labels; `cells`, `grades` and `regions` are for the cell head."""
        texts = texts_to_batch(self._tokenizer, [row["prompt"] for row in rows], [row["completion"] for row in rows])
        reports: list[FrameReport] = [row["report"] for row in rows]
        return {
            "input_ids": texts.input_ids,
            "attention_mask": torch.ones_like(texts.input_ids),
            "mm_token_type_ids": texts.mm_token_type_ids,
            "labels": texts.labels,
            "pixel_values": pixel_values(
                np.stack([row["images"]["picture"] for row in rows]),
                np.stack([row["images"]["statistics"] for row in rows]),
                repeats=1,
            ),
            "image_grid_thw": image_grids(len(rows)),
            "cells": torch.from_numpy(np.stack([cell_targets(report) for report in reports])),
            "grades": torch.from_numpy(np.stack([picture_targets(report) for report in reports])),
            "regions": torch.from_numpy(np.stack([region_targets(report) for report in reports])),
        }
