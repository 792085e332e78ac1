"""What the training of `lumen-local` sees: whole small pictures, their HDR, and the curve each already has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.errors import InputError
from training.itm_data import DEFAULT_PEAK_NITS, SIZE, PairMeta, read_title

CurveOf = Callable[[Tensor, Tensor], Tensor]
"""((N, 3, 144, 256) signal, (N,) peaks) -> (N, 22) numbers of toolchain.models.lumen: the curve under the gain."""


@dataclass(frozen=True, eq=False)
class LocalBatch:
    """`small` (B, 3, 144, 256) and `sdr` (B, P, 3) signals in [0, 1]; `hdr` (B, P, 3) nits; `place` (B, P, 2) row and
    column in [0, 1]; `curve` (B, 22); `peak_nits` (B,)."""

    small: Tensor
    sdr: Tensor
    hdr: Tensor
    place: Tensor
    curve: Tensor
    peak_nits: Tensor


@dataclass(frozen=True, eq=False)
class LocalSet:
    """`sdr` uint8 (N, 144, 256, 3), `hdr` float16 (N, 144, 256, 3) nits, `curve` (N, 22)."""

    sdr: Tensor
    hdr: Tensor
    curve: Tensor
    metas: list[PairMeta]

    def batches(
        self, batch: int, pixels: int, shares: Sequence[float], seed: int, first: int
    ) -> Iterator[LocalBatch]:
        """Endless batches from step `first` on; each depends on the seed and its step alone.

        `shares`: of the draws from photographs with gain maps, from spatial grades, from the rest. A title is drawn
        first, then one of its pairs.
        """
        weights = self._weights(shares)
        for step in range(first, 2**31):
            rng = np.random.default_rng((seed, step))
            chosen = rng.choice(len(self.metas), size=batch, p=weights)
            places = rng.integers(0, SIZE[0] * SIZE[1], size=(batch, pixels))
            yield self.take(chosen, places, rng.random(batch) < 0.5)

    def take(
        self, chosen: NDArray[np.integer], places: NDArray[np.integer], flip: NDArray[np.bool_] | None = None
    ) -> LocalBatch:
        """These pictures at these pixels (N, P), mirrored where `flip` says so."""
        index, pick = torch.from_numpy(chosen), torch.from_numpy(places)
        mirrored = torch.zeros(len(index), dtype=torch.bool) if flip is None else torch.from_numpy(flip)
        whole = self.sdr[index]
        small = whole.permute(0, 3, 1, 2).float() / 255
        small = torch.where(mirrored[:, None, None, None], small.flip(3), small)
        row, column = pick // SIZE[1], pick % SIZE[1]
        column = torch.where(mirrored[:, None], SIZE[1] - 1 - column, column)
        place = torch.stack([row / (SIZE[0] - 1), column / (SIZE[1] - 1)], -1)
        at = pick[..., None].expand(-1, -1, 3)
        sdr, hdr = whole.flatten(1, 2).gather(1, at), self.hdr[index].flatten(1, 2).gather(1, at)
        # Never the pair's own peak: it is measured on the truth, and nobody has it when a picture is expanded.
        peaks = torch.full((len(index),), DEFAULT_PEAK_NITS)
        return LocalBatch(small, sdr.float() / 255, hdr.float(), place, self.curve[index], peaks)

    def _weights(self, shares: Sequence[float]) -> NDArray[np.float64]:
        names, counts = np.unique([meta.title for meta in self.metas], return_counts=True)
        count = dict(zip(names, counts, strict=True))
        weights = np.array([1 / count[meta.title] for meta in self.metas])
        kinds = np.array([_kind(meta) for meta in self.metas])
        for kind, share in enumerate(shares):
            if (kinds == kind).any():
                weights[kinds == kind] *= share / weights[kinds == kind].sum()
        return weights / weights.sum()


def _kind(meta: PairMeta) -> int:
    if meta.source == "ultrahdr":
        return 0
    return 1 if meta.spatial else 2


def load_set(
    files: Sequence[Path],
    curve_of: CurveOf,
    keep: Callable[[PairMeta], bool],
    most: int,
    most_real: int | None = None,
) -> LocalSet:
    """The pairs of these titles that `keep` takes, at most `most` of a title, evenly. InputError where none is.

    `most_real`: for titles that are photographs, by default as for others.
    """
    sdr, hdr, metas = [], [], []
    for path in files:
        pairs = read_title(path)
        kept = [i for i, meta in enumerate(pairs.metas) if keep(meta)]
        limit = most if most_real is None or not pairs.metas[0].real else most_real
        if len(kept) > limit:
            kept = [kept[i] for i in np.linspace(0, len(kept) - 1, limit).round().astype(int)]
        sdr.append(pairs.sdr[kept])
        hdr.append(pairs.hdr[kept])
        metas += [pairs.metas[i] for i in kept]
    if not metas:
        raise InputError(f"None of {len(files)} titles holds a pair that this training may see: name other splits.")
    pictures, truth = (torch.from_numpy(np.concatenate(parts)) for parts in (sdr, hdr))
    with torch.no_grad():
        curves = [
            curve_of(part.permute(0, 3, 1, 2).float() / 255, torch.full((len(part),), DEFAULT_PEAK_NITS))
            for part in pictures.split(32)
        ]
    return LocalSet(pictures, truth, torch.cat(curves), metas)
