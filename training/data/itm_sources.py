"""Where the masters of the SDR-to-HDR training set come from: one lazily rendered source a title."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from toolchain.color.arrays import FloatArray
from training.data.masters import MasterGrade, crop_view, grade_master, perspective_view, read_exr, read_radiance
from training.data.titles import Title, make_title, render_title

Image = FloatArray
Origin = Literal["procedural", "polyhaven", "openexr", "ultrahdr"]
CREDITS: dict[Origin, str] = {
    "procedural": "drawn by training.data.titles; Apache-2.0 as this project",
    "polyhaven": "Poly Haven panoramas through pmndrs/drei-assets; CC0",
    "openexr": "AcademySoftwareFoundation/openexr-images; BSD-3-Clause",
    "ultrahdr": "Mishaal Rahman, Ultra_HDR_Samples; CC BY 4.0",
}
LOW_LIGHT_MASTERS = ("dikhololo_night", "candleglass", "stilllife")
_PAN_STEP_DEG = 137.5  # the golden angle: views never repeat, however many are asked


@dataclass(frozen=True)
class Source:
    """One title before degrading. `render` gives (N, H, W, 3) float32 masters in nits, where it is to be graded.

    A gain-map photograph is a pair already: it has a file instead.
    """

    title: str
    split: str
    origin: Origin
    category: str
    peak_nits: float
    render: Callable[[], Image] | None = None
    files: tuple[Path, ...] = ()


def procedural_sources(count: int, seed: int, size: tuple[int, int]) -> Iterator[Source]:
    """`count` procedural titles in splits fold0 to fold4, (width, height) `size`."""
    for index in range(count):
        title: Title = make_title(index, seed)
        render = partial(render_title, title, *size)
        yield Source(
            title.name, f"fold{title.fold}", "procedural", title.setting.category, title.grade.peak_nits, render
        )


def master_sources(folder: Path, seed: int, views: tuple[int, int], size: tuple[int, int]) -> Iterator[Source]:
    """Every panorama and photograph below `folder` (hdr/polyhaven, hdr/openexr), each a title of the split `masters`.

    `views` are how many are cut from each panorama and from each photograph.
    """
    panoramas = sorted((folder / "hdr" / "polyhaven").glob("*.hdr"))
    photographs = sorted((folder / "hdr" / "openexr").glob("*.exr"))
    files: list[tuple[Origin, Path]] = []
    files.extend(("polyhaven", path) for path in panoramas)
    files.extend(("openexr", path) for path in photographs)
    for origin, path in files:
        name = path.stem.removesuffix("_1k").lower()
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
        dark = name in LOW_LIGHT_MASTERS
        cut, count = (_panorama_views, views[0]) if origin == "polyhaven" else (_photo_views, views[1])
        render = partial(cut, path, (seed, key), dark, count, size)
        yield Source(
            name.replace("_", "-"), "masters", origin, "low_light" if dark else "live_action", 1000.0, render
        )


def _sample_grade(rng: np.random.Generator, dark: bool) -> MasterGrade:
    return MasterGrade.sample(rng, (4.0, 16.0) if dark else (16.0, 52.0))


def _panorama_views(path: Path, seed: tuple[int, int], dark: bool, count: int, size: tuple[int, int]) -> Image:
    rng, panorama = np.random.default_rng([*seed, 74]), read_radiance(path)
    start = float(rng.uniform(0.0, 360.0))
    shots = []
    for index in range(count):
        yaw, pitch = start + index * _PAN_STEP_DEG, float(rng.uniform(-12.0, 30.0))
        view = perspective_view(panorama, yaw, pitch, *size, field_of_view_deg=float(rng.uniform(70.0, 100.0)))
        shots.append(grade_master(view, _sample_grade(rng, dark)))
    return np.stack(shots)


def _photo_views(path: Path, seed: tuple[int, int], dark: bool, count: int, size: tuple[int, int]) -> Image:
    rng, photograph = np.random.default_rng([*seed, 75]), read_exr(path)
    shots = []
    for index in range(count):
        centre, scale = ((0.5, 0.5), 1.0) if index == 0 else (tuple(rng.random(2)), float(rng.uniform(0.55, 0.95)))
        view = crop_view(photograph, (float(centre[0]), float(centre[1])), scale, *size)
        shots.append(grade_master(view, _sample_grade(rng, dark)))
    return np.stack(shots)
