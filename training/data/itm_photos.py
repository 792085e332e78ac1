"""Gain-map photographs as SDR/HDR pairs: crops of each, as published (split `photos`) or anchored (`crops`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from toolchain.color.transfer import PQ_PEAK_NITS, bt1886_eotf_inverse
from training.data.compress import Compression
from training.data.itm_grades import Pairs, anchor_master, mid_gain_ev, storable, to_codes
from training.data.itm_shards import PairMeta, Shard
from training.data.itm_sources import Source
from training.data.masters import crop_view
from training.data.ultrahdr import read_ultrahdr

Image = FloatArray
WORKING_REDUCTION = 4
"""The photographs have 12 million pixels; the crops need a sixteenth of them."""
CROP_REDUCTION = 2
CROPS = "crops"
"""Split of the anchored crops, which `agent train itm` learns local gains from."""


def photo_titles(folder: Path) -> Iterator[Source]:
    """Every Ultra HDR JPEG below pairs/ultrahdr, each a title of the split `photos`."""
    for path in sorted((folder / "pairs" / "ultrahdr").glob("*.jpg")):
        yield Source(f"photo-{path.stem.lower()}", "photos", "ultrahdr", "live_action", 0.0, files=(path,))


def photo_pairs(
    path: Path, rng: np.random.Generator, compressions: list[Compression | None], size: tuple[int, int]
) -> Pairs:
    """One crop an entry of `compressions`, the HDR picture as published: not anchored, its mid-gain measured.

    Half of the crops are mirrored. The first shows the whole width.
    """
    sdr_light, hdr_nits = read_ultrahdr(path, WORKING_REDUCTION)
    codes, lights, gains = [], [], []
    for index, how in enumerate(compressions):
        centre = rng.random(2)
        scale = 1.0 if index == 0 else float(rng.uniform(0.4, 1.0))
        crops = [
            crop_view(image, (float(centre[0]), float(centre[1])), scale, *size) for image in (sdr_light, hdr_nits)
        ]
        if rng.random() < 0.5:
            crops = [image[:, ::-1] for image in crops]
        signal = bt1886_eotf_inverse(np.clip(crops[0], 0.0, 1.0)).astype(np.float32)
        codes.append(to_codes(signal[None], how)[0])
        lights.append(storable(crops[1]))
        gains.append(mid_gain_ev(signal, crops[1]))
    return Pairs(np.stack(codes), np.stack(lights), gains, [0.0] * len(gains))


def photo_crops(source: Source, count: int, size: tuple[int, int]) -> Shard:
    """`count` anchored pairs of one photograph, (width, height) `size`, the same ones every time.

    Windows of 35 to 100 % of the picture, mirrored, stretched and exposed differently. Exposure multiplies SDR and
    HDR alike, so that what relates them stays; where it takes SDR over white, it clips, as a camera does.
    """
    light, nits = read_ultrahdr(source.files[0], CROP_REDUCTION)
    rng = np.random.default_rng(sum(source.title.encode()))
    crops = [_crop(light, nits, rng, size) for _ in range(count)]
    sdr = np.stack([codes for codes, _ in crops])
    hdr = np.stack([truth for _, truth in crops]).astype(np.float16)
    meta = [
        PairMeta(
            title=source.title,
            source=source.origin,
            category=source.category,
            family="gainmap",
            unseen=False,
            spatial=True,
            local="gainmap",
            profile="anchored",
            compressed=None,
            mid_gain_ev=0.0,
            anchor_ev=0.0,
            peak_nits=round(float(truth.max()), 1),
            frame=index,
        )
        for index, truth in enumerate(hdr)
    ]
    return Shard(source.title, CROPS, sdr, hdr, meta)


def _crop(
    light: Image, nits: Image, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Image]:
    """SDR codes and anchored HDR nits of one window."""
    height, width = light.shape[:2]
    rows = round(rng.uniform(0.35, 1.0) * min(height, width * size[1] / size[0]))
    columns = min(width, round(rows * size[0] / size[1] * np.exp(rng.uniform(-0.15, 0.15))))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    exposure = np.float32(2 ** rng.uniform(-0.7, 0.3))
    window = (slice(top, top + rows), slice(left, left + columns))
    small_light, small_nits = (
        cv2.resize(picture[window], size, interpolation=cv2.INTER_AREA) * exposure for picture in (light, nits)
    )
    if rng.random() < 0.5:
        small_light, small_nits = small_light[:, ::-1], small_nits[:, ::-1]
    signal = bt1886_eotf_inverse(np.clip(small_light, 0, 1)).astype(np.float32)
    codes = np.round(signal * 255).astype(np.uint8)
    return codes, np.clip(anchor_master(signal, small_nits), 0, PQ_PEAK_NITS)
