"""SDR/HDR pairs for training and judging: a folder of manifest.json and `<split>/<title>.npz`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from toolchain.errors import InputError

SIZE = (144, 256)


class PairMeta(BaseModel):
    """One graded picture: where its master is from, and what was done to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str
    source: str
    category: str
    family: str
    unseen: bool = False
    spatial: bool = False
    compressed: bool = False
    mid_gain_ev: float = 0.0
    peak_nits: float = 1000.0

    @property
    def real(self) -> bool:
        return self.source != "procedural"


_METAS = TypeAdapter(list[PairMeta])


@dataclass(frozen=True, eq=False)
class TitlePairs:
    """One title. `sdr`: uint8 (N, 144, 256, 3) full-range BT.709; `hdr`: float16, same shape, BT.2020 nits."""

    sdr: NDArray[np.uint8]
    hdr: NDArray[np.float16]
    metas: list[PairMeta]


def title_files(folder: Path, splits: Sequence[str]) -> list[Path]:
    """The files of these splits, by name. InputError where there are none."""
    found = sorted(path for split in splits for path in (folder / split).glob("*.npz"))
    if not found:
        raise InputError(f"{folder} holds no pairs of split {', '.join(splits)}: make them, or name another folder.")
    return found


def read_title(path: Path) -> TitlePairs:
    """One title's pairs, checked. InputError for a file that is not what `SIZE` and `PairMeta` say."""
    try:
        with np.load(path, allow_pickle=False) as file:
            sdr, hdr, metas = file["sdr"], file["hdr"], _METAS.validate_python(json.loads(str(file["meta"])))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ValidationError) as error:
        raise InputError(f"{path} is not a readable file of pairs: {error}") from error
    shape = (len(metas), *SIZE, 3)
    if sdr.shape != shape or hdr.shape != shape or sdr.dtype != np.uint8 or hdr.dtype != np.float16:
        raise InputError(f"{path} holds {sdr.dtype} {sdr.shape} and {hdr.dtype} {hdr.shape}: {shape} was expected.")
    return TitlePairs(sdr, hdr, metas)


def fold_of(files: Sequence[Path], folds: int) -> dict[str, int]:
    """Title -> fold. Sources alternate over the folds, so that each fold has some of every kind."""
    by_source: dict[str, list[str]] = {}
    for path in files:
        meta = read_title(path).metas[0]
        by_source.setdefault(meta.source, []).append(meta.title)
    return {title: place % folds for titles in by_source.values() for place, title in enumerate(sorted(titles))}


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Pairs as training holds them: half-size pictures for the network, a pool of pixels of each for the loss."""

    half: Tensor
    """uint8 (N, 3, 72, 128)"""
    sdr: Tensor
    """uint8 (N, pool, 3)"""
    hdr: Tensor
    """float16 (N, pool, 3)"""
    metas: list[PairMeta]

    def batches(self, batch: int, pixels: int, real_share: float, seed: int, first: int) -> Iterator[Batch]:
        """Endless batches from step `first` on; each depends on the seed and its step alone.

        A title is drawn first, then one of its pairs: `real_share` of the draws from photographs, where there are
        any and anything else.
        """
        weights = self._weights(real_share)
        for step in range(first, 2**31):
            rng = np.random.default_rng((seed, step))
            chosen = rng.choice(len(self.metas), size=batch, p=weights)
            places = rng.integers(0, self.sdr.shape[1], size=(batch, pixels))
            yield self.take(chosen, places, rng.random(batch) < 0.5)

    def take(self, chosen: NDArray[np.integer], places: NDArray[np.integer], flip: NDArray[np.bool_]) -> Batch:
        index, pick = torch.from_numpy(chosen), torch.from_numpy(places)[..., None].expand(-1, -1, 3)
        half = self.half[index].float() / 255
        half = torch.where(torch.from_numpy(flip)[:, None, None, None], half.flip(3), half)
        peaks = torch.tensor([self.metas[i].peak_nits for i in chosen])
        sdr, hdr = self.sdr[index].gather(1, pick), self.hdr[index].gather(1, pick)
        return Batch(half, sdr.float() / 255, hdr.float(), peaks)

    def _weights(self, real_share: float) -> NDArray[np.float64]:
        titles = [meta.title for meta in self.metas]
        names, counts = np.unique(titles, return_counts=True)
        weights = 1 / np.array([counts[np.searchsorted(names, title)] for title in titles], dtype=np.float64)
        real = np.array([meta.real for meta in self.metas])
        if real.any() and not real.all():
            weights[real] *= real_share / weights[real].sum()
            weights[~real] *= (1 - real_share) / weights[~real].sum()
        return weights / weights.sum()


@dataclass(frozen=True, eq=False)
class Batch:
    """`half` (B, 3, 72, 128) and `sdr` (B, P, 3) signals in [0, 1]; `hdr` (B, P, 3) nits; `peak_nits` (B,)."""

    half: Tensor
    sdr: Tensor
    hdr: Tensor
    peak_nits: Tensor


def load_training(files: Sequence[Path], pool: int, seed: int) -> TrainingSet:
    """The pairs of these files that training may see: families marked unseen are left out."""
    halves, sdr, hdr, metas = [], [], [], []
    for path in files:
        pairs = read_title(path)
        rng = np.random.default_rng((seed, int.from_bytes(path.stem.encode()[-6:], "big")))
        for picture, truth, meta in zip(pairs.sdr, pairs.hdr, pairs.metas, strict=True):
            if meta.unseen:
                continue
            places = rng.choice(SIZE[0] * SIZE[1], size=pool, replace=False)
            half = cv2.resize(picture, (SIZE[1] // 2, SIZE[0] // 2), interpolation=cv2.INTER_AREA)
            halves.append(half.transpose(2, 0, 1))
            sdr.append(picture.reshape(-1, 3)[places])
            hdr.append(truth.reshape(-1, 3)[places])
            metas.append(meta)
    if not metas:
        raise InputError("These titles hold no pair of a family that may be trained on: name other splits.")
    half, sdr_pool, hdr_pool = (torch.from_numpy(np.stack(parts)) for parts in (halves, sdr, hdr))
    return TrainingSet(half, sdr_pool, hdr_pool, metas)
