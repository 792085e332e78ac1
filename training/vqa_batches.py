"""What a judging model's training sees: windows of clips, their labels, and hints, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.data.vqa_shards import FULL, Row, VqaData

STRENGTH_SHARES = {"light": 0.4, "medium": 0.7, "severe": 1.0}


class Windows(BaseModel):
    """What of a clip's pictures a step sees: small windows teach fast, whole pictures teach the last things."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_step: int = Field(ge=0)
    key: tuple[int, int] = Field(description="height and width cut from the key picture of 256x448")
    frames: int = Field(ge=8, le=32, description="consecutive pictures of the 32")
    motion: tuple[int, int] = Field(description="height and width cut from each of them, of 72x128")


@dataclass(frozen=True)
class DataSet:
    """One label source: its head's name, where its clips are, and which label of a row it is."""

    name: str
    data: VqaData
    label: str

    def rows(self, split: str) -> list[Row]:
        return self.data.rows(split, self.label)


@dataclass(frozen=True)
class Batch:
    """Pictures and labels. `labels`: (N, heads), NaN where a clip has none of that source; `hints`: see `Hints`."""

    key: Tensor
    motion: Tensor
    labels: Tensor
    hints: Tensor


class Hints:
    """What else is known of a version, in [0, 1]: the strength of each kind of damage, and where each metric ranks
    among all clips. An answer to them is asked for in training alone: who can name the damage judges it better."""

    def __init__(self, sets: Sequence[DataSet]):
        rows = [row for part in sets for row in part.rows("train") if row.kind != "opinion"]
        damaged = [row for row in rows if row.strength in STRENGTH_SHARES]
        self._kinds = sorted({kind for row in damaged for kind in row.kind.split("+")})
        names = sorted({name for row in rows for name in row.raw})
        self._levels = {name: np.sort([row.raw[name] for row in rows if name in row.raw]) for name in names}

    @property
    def count(self) -> int:
        return len(self._kinds) + len(self._levels)

    def of(self, row: Row) -> list[float]:
        """NaN where nothing is known, as of videos with opinion scores."""
        if row.kind == "opinion":
            return [np.nan] * self.count
        kinds = row.kind.split("+")
        strength = STRENGTH_SHARES.get(row.strength, 0.0)
        ranks = [
            np.searchsorted(known, row.raw[name]) / len(known) if name in row.raw else np.nan
            for name, known in self._levels.items()
        ]
        return [strength * (kind in kinds) for kind in self._kinds] + [float(rank) for rank in ranks]


class Draws:
    """Batches of one training, each decided by seed and step alone."""

    def __init__(self, sets: Sequence[DataSet], windows: Sequence[Windows], batch: int, group: int, seed: int):
        self._sets, self._hints, self._windows = sets, Hints(sets), windows
        self._part_size, self._group, self._seed = batch // len(sets), group, seed
        self._titles = [_by_title(part.rows("train")) for part in sets]

    def batch(self, step: int) -> Batch:
        """The batch of a step: titles at random, of each some versions at random, windows cut from all alike."""
        rng = np.random.default_rng([self._seed, step])
        chosen = [
            (part, row)
            for part, titles in zip(self._sets, self._titles, strict=True)
            for row in _drawn(titles, self._part_size, self._group, rng)
        ]
        windows = next(w for w in reversed(self._windows) if step >= w.from_step)
        pictures = [_windowed(part.data, row, windows, rng) for part, row in chosen]
        key, motion = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pictures, strict=True))
        hints = torch.tensor([self._hints.of(row) for _, row in chosen], dtype=torch.float32)
        return Batch(key, motion, labels_of(self._sets, chosen), hints)


def _by_title(rows: Sequence[Row]) -> list[list[Row]]:
    titles: dict[str, list[Row]] = {}
    for row in rows:
        titles.setdefault(row.title, []).append(row)
    return list(titles.values())


def _drawn(titles: list[list[Row]], count: int, group: int, rng: np.random.Generator) -> list[Row]:
    """`count` rows: up to `group` of a title, title after title."""
    rows: list[Row] = []
    while len(rows) < count:
        versions = titles[int(rng.integers(len(titles)))]
        most = min(group, count - len(rows), len(versions))
        rows += [versions[index] for index in rng.choice(len(versions), most, replace=False)]
    return rows


def _windowed(
    data: VqaData, row: Row, windows: Windows, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3, h, w) and (3, t, h, w): a window of either, mirrored at random, both alike."""
    key, motion = data.key(row), data.motion(row)
    top, left = (int(rng.integers(have - want + 1)) for have, want in zip(key.shape, windows.key, strict=False))
    key = key[top : top + windows.key[0], left : left + windows.key[1]]
    sizes = (windows.frames, *windows.motion)
    start, top, left = (int(rng.integers(have - want + 1)) for have, want in zip(motion.shape, sizes, strict=False))
    motion = motion[start : start + sizes[0], top : top + sizes[1], left : left + sizes[2]]
    if rng.random() < 0.5:
        key, motion = key[:, ::-1], motion[:, :, ::-1]
    return network_input(key), network_input(motion)


def network_input(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Stored (..., 3) codes -> (3, ...) perceived light in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(codes, -1, 0), np.float32) / np.float32(FULL)


def labels_of(sets: Sequence[DataSet], chosen: Sequence[tuple[DataSet, Row]]) -> Tensor:
    """(N, heads): a clip that several sources have labelled teaches all their heads."""
    values = [
        [row.labels.get(head.label, np.nan) if head.data is part.data else np.nan for head in sets]
        for part, row in chosen
    ]
    return torch.tensor(values, dtype=torch.float32)
