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
from training.vqa_worsen import Pictures, worsened

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
    """Pictures and labels. `labels`: (N, heads), NaN where a clip has none of that source; `hints`: see `Hints`.

    The last clips may be others of the batch made worse: `origins` says which, `shares` how much, in (0, 1].
    """

    key: Tensor
    motion: Tensor
    labels: Tensor
    hints: Tensor
    origins: Tensor
    shares: Tensor


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

    def worsened(self, row: Row, kind: str, share: float) -> list[float]:
        """Those of a row with one more damage; where it ranks then is not known."""
        named = self.of(row)[: len(self._kinds)]
        if kind in self._kinds:
            named[self._kinds.index(kind)] = share
        return named + [np.nan] * len(self._levels)


@dataclass(frozen=True)
class BatchPlan:
    """How batches are made: clips, those of one title, those made worse besides, windows, and the seed of it all."""

    batch: int
    group: int
    worsened: int
    windows: Sequence[Windows]
    seed: int


class Draws:
    """Batches of one training, each decided by seed and step alone."""

    def __init__(self, sets: Sequence[DataSet], plan: BatchPlan):
        self._sets, self._hints, self._plan = sets, Hints(sets), plan
        self._titles = [_by_title(part.rows("train")) for part in sets]

    def batch(self, step: int) -> Batch:
        """The batch of a step: titles at random, of each some versions at random, one window for all of a title."""
        plan = self._plan
        rng = np.random.default_rng([plan.seed, step])
        chosen = [
            (part, row)
            for part, titles in zip(self._sets, self._titles, strict=True)
            for row in _drawn(titles, plan.batch // len(self._sets), plan.group, rng)
        ]
        windows = next(w for w in reversed(plan.windows) if step >= w.from_step)
        pictures = [_windowed(part.data, row, windows, [plan.seed, step]) for part, row in chosen]
        labels = [labels_of(self._sets, part, row) for part, row in chosen]
        hints = [self._hints.of(row) for _, row in chosen]
        origins = rng.choice(len(chosen), min(plan.worsened, len(chosen)), replace=False)
        shares = []
        for origin in origins:
            before = pictures[origin]
            key, motion, kind, share = worsened(before[0], before[1], rng)
            pictures.append((key, motion))
            labels.append([np.nan] * len(self._sets))
            hints.append(self._hints.worsened(chosen[origin][1], kind, share))
            shares.append(share)
        key, motion = (
            torch.from_numpy(np.stack([*map(_colours_first, part)])) for part in zip(*pictures, strict=True)
        )
        numbers = (torch.tensor(part, dtype=torch.float32) for part in (labels, hints, shares))
        known, named, amounts = numbers
        return Batch(key, motion, known, named, torch.from_numpy(origins), amounts)


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


def _windowed(data: VqaData, row: Row, windows: Windows, seed: list[int]) -> tuple[Pictures, Pictures]:
    """(h, w, 3) and (t, h, w, 3) in [0, 1]: a window of either, mirrored at random; a title's versions alike."""
    key, motion = data.key(row), data.motion(row)
    rng = np.random.default_rng([*seed, *row.title.encode()])
    top, left = (int(rng.integers(have - want + 1)) for have, want in zip(key.shape, windows.key, strict=False))
    key = key[top : top + windows.key[0], left : left + windows.key[1]]
    sizes = (windows.frames, *windows.motion)
    start, top, left = (int(rng.integers(have - want + 1)) for have, want in zip(motion.shape, sizes, strict=False))
    motion = motion[start : start + sizes[0], top : top + sizes[1], left : left + sizes[2]]
    if rng.random() < 0.5:
        key, motion = key[:, ::-1], motion[:, :, ::-1]
    return shown(key), shown(motion)


def shown(codes: NDArray[np.uint16]) -> Pictures:
    """Stored codes -> perceived light in [0, 1], C-contiguous."""
    return np.ascontiguousarray(codes, np.float32) / np.float32(FULL)


def _colours_first(pictures: Pictures) -> Pictures:
    return np.ascontiguousarray(np.moveaxis(pictures, -1, 0))


def network_input(codes: NDArray[np.uint16]) -> Pictures:
    """Stored (..., 3) codes -> (3, ...) perceived light in [0, 1]."""
    return _colours_first(shown(codes))


def labels_of(sets: Sequence[DataSet], part: DataSet, row: Row) -> list[float]:
    """One a head: a clip that several sources have labelled teaches all their heads; NaN for the rest."""
    return [row.labels.get(head.label, np.nan) if head.data is part.data else np.nan for head in sets]
