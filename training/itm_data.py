"""SDR/HDR pairs (see training.data.itm_pairs) as the trainings of our own SDR-to-HDR models hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional

from toolchain.errors import InputError
from toolchain.models.networks.lumen import LumenShotNetwork
from training.data.itm_shards import read_shard

SIZE = (144, 256)
DEFAULT_PEAK_NITS = 1000.0
LOG_PEAKS = (math.log(400.0), math.log(2500.0))
VARIED_EXPOSURES_EV = (-0.3, 1.0)
"""How else than by default a picture may be wanted; up to the brightness of a broadcast master."""


class PairMeta(BaseModel):
    """One graded picture: where its master is from, and what was done to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str
    source: str
    category: str
    family: str
    unseen: bool = False
    spatial: bool = False
    local: str = "none"
    compressed: str | None = None
    profile: str = "anchored"
    mid_gain_ev: float = 0.0
    peak_nits: float = 1000.0
    frame: int = 0

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
    shard = read_shard(path, path.parent.name)
    try:
        metas = _METAS.validate_python(shard.meta)
    except ValidationError as error:
        raise InputError(f"{path} does not describe its pairs: {error}") from error
    sdr, hdr = shard.sdr, shard.hdr
    shape = (len(metas), *SIZE, 3)
    if sdr.shape != shape or hdr.shape != shape or sdr.dtype != np.uint8 or hdr.dtype != np.float16:
        raise InputError(f"{path} holds {sdr.dtype} {sdr.shape} and {hdr.dtype} {hdr.shape}: {shape} was expected.")
    return TitlePairs(sdr, hdr, metas)


def first_meta(path: Path) -> PairMeta:
    """What a title's first pair says of it, read without the pictures."""
    return _METAS.validate_python(read_shard(path, path.parent.name, arrays=False).meta)[0]


def fold_of(files: Sequence[Path], folds: int) -> dict[Path, int]:
    """The fold of each title. Folders fold0, fold1 ... say it; other titles of a source alternate over the folds."""
    by_source: dict[str, list[Path]] = {}
    found: dict[Path, int] = {}
    for path in sorted(files):
        if path.parent.name.removeprefix("fold").isdigit():
            found[path] = int(path.parent.name.removeprefix("fold")) % folds
        else:
            by_source.setdefault(first_meta(path).source, []).append(path)
    return found | {path: place % folds for paths in by_source.values() for place, path in enumerate(paths)}


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Pairs as training holds them: what the network computes of each once, and a pool of pixels for the loss."""

    statistics: Tensor
    """float32 (N, 147), of `LumenShotNetwork.statistics`; a mirrored picture has the same."""
    quarter: Tensor
    """uint8 (N, 3, 36, 64)"""
    sdr: Tensor
    """uint8 (N, pool, 3)"""
    hdr: Tensor
    """float16 (N, pool, 3)"""
    metas: list[PairMeta]

    def batches(
        self, batch: int, pixels: int, real_share: float, vary_share: float, seed: int, first: int
    ) -> Iterator[Batch]:
        """Endless batches from step `first` on; each depends on the seed and its step alone.

        A title is drawn first, then one of its pairs: `real_share` of the draws from photographs, where there are
        any and anything else. `vary_share` of the pictures are wanted for another peak or a little brighter.
        """
        weights = self._weights(real_share)
        for step in range(first, 2**31):
            rng = np.random.default_rng((seed, step))
            chosen = rng.choice(len(self.metas), size=batch, p=weights)
            places = rng.integers(0, self.sdr.shape[1], size=(batch, pixels))
            other_peak, other_exposure = rng.random((2, batch)) < vary_share
            peaks = np.where(other_peak, np.exp(rng.uniform(*LOG_PEAKS, batch)), DEFAULT_PEAK_NITS)
            exposure_ev = np.where(other_exposure, rng.uniform(*VARIED_EXPOSURES_EV, batch), 0.0)
            yield self.take(chosen, places, rng.random(batch) < 0.5, peaks, exposure_ev)

    def take(
        self,
        chosen: NDArray[np.integer],
        places: NDArray[np.integer],
        flip: NDArray[np.bool_],
        peaks: NDArray[np.floating],
        exposure_ev: NDArray[np.floating],
    ) -> Batch:
        """These pairs at these places of their pools; the masters brighter by `exposure_ev`, within their peaks."""
        index, pick = torch.from_numpy(chosen), torch.from_numpy(places)[..., None].expand(-1, -1, 3)
        quarter = self.quarter[index].float() / 255
        quarter = torch.where(torch.from_numpy(flip)[:, None, None, None], quarter.flip(3), quarter)
        sdr, hdr = self.sdr[index].gather(1, pick), self.hdr[index].gather(1, pick)
        peak_nits = torch.tensor(peaks, dtype=torch.float32)
        mid_gain_ev = (
            torch.tensor([self.metas[i].mid_gain_ev for i in chosen]) + torch.from_numpy(exposure_ev).float()
        )
        brighter = hdr.float() * torch.exp2(torch.from_numpy(exposure_ev).float())[:, None, None]
        truth = within_peak(brighter, peak_nits)
        return Batch(self.statistics[index], quarter, sdr.float() / 255, truth, peak_nits, mid_gain_ev)

    def subset(self, keep: Callable[[PairMeta], bool]) -> TrainingSet:
        """The pairs that `keep` takes."""
        chosen = [i for i, meta in enumerate(self.metas) if keep(meta)]
        index = torch.tensor(chosen, dtype=torch.long)
        held = [self.metas[i] for i in chosen]
        return TrainingSet(self.statistics[index], self.quarter[index], self.sdr[index], self.hdr[index], held)

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
    """`quarter` (B, 3, 36, 64) and `sdr` (B, P, 3) signals in [0, 1]; `hdr` (B, P, 3) nits; the controls (B,)."""

    statistics: Tensor
    quarter: Tensor
    sdr: Tensor
    hdr: Tensor
    peak_nits: Tensor
    mid_gain_ev: Tensor


def within_peak(nits: Tensor, peak_nits: Tensor) -> Tensor:
    """(B, P, 3) with each pixel's largest component rolled off, from 0.8 of the peak (B,) on, to below it."""
    largest = nits.amax(-1, keepdim=True).clamp_min(1e-6)
    knee, room = 0.8 * peak_nits[:, None, None], 0.2 * peak_nits[:, None, None]
    rolled = knee + room * (1 - torch.exp(-(largest - knee).clamp_min(0) / room))
    return nits * torch.where(largest > knee, rolled / largest, 1.0)


def load_training(
    files: Sequence[Path], pool: int, seed: int, most: int = 10**6, profiles: Collection[str] = ("anchored",)
) -> TrainingSet:
    """The pairs of these files that training may see, at most `most` of a title: never families marked unseen.

    `profiles`: the ways of anchoring that are taken.
    """
    network = LumenShotNetwork()
    statistics, quarters, sdr, hdr, metas = [], [], [], [], []
    for path in files:
        pairs = read_title(path)
        rng = np.random.default_rng((seed, int.from_bytes(path.stem.encode()[-6:], "big")))
        allowed = [i for i, meta in enumerate(pairs.metas) if not meta.unseen and meta.profile in profiles]
        for i in sorted(rng.permutation(allowed)[:most]):
            places = rng.choice(SIZE[0] * SIZE[1], size=pool, replace=False)
            picture = torch.from_numpy(pairs.sdr[i]).permute(2, 0, 1)[None].float() / 255
            half = functional.avg_pool2d(picture, 2)
            statistics.append(network.statistics(half)[0])
            quarters.append((255 * functional.avg_pool2d(half, 2)[0]).round().byte())
            sdr.append(torch.from_numpy(pairs.sdr[i].reshape(-1, 3)[places]))
            hdr.append(torch.from_numpy(pairs.hdr[i].reshape(-1, 3)[places]))
            metas.append(pairs.metas[i])
    if not metas:
        raise InputError("These titles hold no pair of a family that may be trained on: name other splits.")
    return TrainingSet(torch.stack(statistics), torch.stack(quarters), torch.stack(sdr), torch.stack(hdr), metas)
