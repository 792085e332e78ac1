"""Gain-map photographs as SDR/HDR pairs: several crops of each, nothing graded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from toolchain.color.arrays import FloatArray
from toolchain.color.transfer import bt1886_eotf_inverse
from training.data.compress import Compression
from training.data.itm_grades import Pairs, mid_gain_ev, storable, to_codes
from training.data.itm_sources import Source
from training.data.masters import crop_view
from training.data.ultrahdr import read_ultrahdr

Image = FloatArray
WORKING_REDUCTION = 4
"""The photographs have 12 million pixels; the crops need a sixteenth of them."""


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
