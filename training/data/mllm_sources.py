"""Where the pictures of the analyser's training set come from: HDR masters, rendered when they are asked for.

All views of one photograph, and all samples of one drawn title, are in one split: what trained never tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from toolchain.color.arrays import FloatArray
from toolchain.color.primaries import conversion_matrix
from toolchain.color.transfer import REFERENCE_WHITE_NITS, bt1886_eotf
from toolchain.errors import InputError
from training.data.itm_sources import LOW_LIGHT_MASTERS
from training.data.masters import MasterGrade, grade_master, read_exr, read_radiance
from training.data.mllm_clips import clip_frames
from training.data.restore_sources import chart
from training.data.scenes import SCENES, Scene
from training.data.titles import Title, make_title, render_title
from training.data.ultrahdr import read_ultrahdr

Image = FloatArray
Split = Literal["train", "validation", "test", "clips"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "clips")
Origin = Literal["titles", "scenes", "charts", "polyhaven", "openexr", "ultrahdr", "images", "clips"]
CREDITS: dict[Origin, str] = {
    "titles": "drawn by training.data.titles; Apache-2.0 as this project",
    "scenes": "drawn by training.data.scenes; Apache-2.0 as this project",
    "charts": "drawn by training.data.restore_sources; Apache-2.0 as this project",
    "polyhaven": "Poly Haven panoramas through pmndrs/drei-assets; CC0",
    "openexr": "AcademySoftwareFoundation/openexr-images; BSD-3-Clause",
    "ultrahdr": "Mishaal Rahman, Ultra_HDR_Samples; CC BY 4.0",
    "images": "the user's own pictures",
    "clips": "androidx/media test assets; Apache-2.0; evaluation only",
}
SALT = "mllm-1"
DRAWN_SHARES = (0.94, 0.02)
"""Of train and validation among drawn pictures; the rest is test."""
PHOTO_SHARES = (0.68, 0.10)
SIZES = (((1024, 576), 0.74), ((1408, 792), 0.21), ((2048, 1152), 0.05))
"""Drawn sources are rendered at these sizes with these shares."""
GREY_MASTERS = ("garden",)
"""Without colour, so neither desaturated nor whole."""
EXR_SHRINK = 1.25
"""Photographs are shrunk by this, which takes their own noise and softness away."""
_TO_BT2020 = (conversion_matrix("bt709", "bt2020").T * REFERENCE_WHITE_NITS).astype(np.float32)


@dataclass(frozen=True)
class Source:
    """`render` gives the (H, W, 3) float32 BT.2020 master in nits. `is_hdr`: it holds light above SDR's."""

    name: str
    picture: str
    origin: Origin
    split: Split
    render: Callable[[], Image]
    is_hdr: bool = True
    frames: Callable[[], list[NDArray[np.uint8]]] | None = None
    """Consecutive frames of a real clip, the last of which is taken, as coders leave it."""


def split_of(picture: str, shares: tuple[float, float] = DRAWN_SHARES) -> Split:
    """Where a picture belongs, for ever: whatever is added moves none."""
    share = unit_hash(picture)
    return "train" if share < shares[0] else "validation" if share < sum(shares) else "test"


def unit_hash(text: str) -> float:
    """[0, 1) from a text, the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{SALT}:{text}".encode()).digest()[:8]) / 2**64


def _size(name: str) -> tuple[int, int]:
    place = unit_hash(f"size:{name}")
    for size, share in SIZES:
        if place < share:
            return size
        place -= share
    return SIZES[0][0]


def drawn_sources(titles: int, scenes: int, charts: int, seed: int) -> list[Source]:
    """`titles` procedural titles, `scenes` layouts of each scene, `charts` of figures, lines and lettering."""
    found = []
    for index in range(titles):
        title = replace(make_title(index, seed), frames=1)
        found.append(_drawn(f"title-{title.name}", "titles", partial(_title, title)))
    for kind in SCENES:
        for index in range(scenes):
            name = f"scene-{kind.name.replace('_', '-')}-{index:04d}"
            found.append(_drawn(name, "scenes", partial(_scene, kind, seed * 1000 + index)))
    for index in range(charts):
        found.append(_drawn(f"chart-{index:04d}", "charts", partial(_chart, (seed, index)), is_hdr=False))
    return found


def _drawn(name: str, origin: Origin, render: Callable[[tuple[int, int]], Image], is_hdr: bool = True) -> Source:
    return Source(name, name, origin, split_of(name), partial(render, _size(name)), is_hdr)


def photo_sources(folder: Path, views: int, held_out_views: int, seed: int) -> list[Source]:
    """`views` gradings of each photograph below `folder` (hdr/polyhaven, hdr/openexr, pairs/ultrahdr)."""
    places: tuple[tuple[Origin, str, Callable[[Path, int], Image]], ...] = (
        ("polyhaven", "hdr/polyhaven/*.hdr", _panorama),
        ("openexr", "hdr/openexr/*.exr", _photograph),
        ("ultrahdr", "pairs/ultrahdr/*.jpg", _gain_map),
    )
    found = []
    for origin, pattern, draw in places:
        for path in sorted(folder.glob(pattern)):
            stem = path.stem.removesuffix("_1k").lower().replace("_", "-")
            picture, split = f"{origin}-{stem}", split_of(f"{origin}-{stem}", PHOTO_SHARES)
            if stem in GREY_MASTERS:
                continue
            for view in range(views if split == "train" else held_out_views):
                name = f"{picture}-{view:02d}"
                found.append(Source(name, picture, origin, split, partial(draw, path, _key(name, seed))))
    return found


def image_sources(folder: Path) -> list[Source]:
    """Every picture file below the user's folder, taken as clean SDR."""
    kinds = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds)
    names = [f"image-{hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()[:12]}" for path in paths]
    return [
        Source(name, name, "images", split_of(name), partial(_image, path), is_hdr=False)
        for name, path in zip(names, paths, strict=True)
    ]


def clip_sources(folder: Path, frames: int) -> list[Source]:
    """`frames` of each real SDR clip below `folder`/clips, for the evaluation set `clips` alone.

    Every second one has its frames: real movement through real coders. The others take every kind of damage.
    """
    return [
        Source(
            f"clip-{name}-{index:02d}",
            f"clip-{name}",
            "clips",
            "clips",
            partial(_shown, read),
            is_hdr=False,
            frames=read if index % 2 else None,
        )
        for name, index, read in clip_frames(folder / "clips", frames)
    ]


def sdr_light(signal: Image) -> Image:
    """BT.709 R'G'B' in [0, 1] -> BT.2020 nits on a BT.1886 display with white at 203 nits."""
    return np.maximum(bt1886_eotf(signal).astype(np.float32) @ _TO_BT2020, 0.0)


def _shown(read: Callable[[], list[NDArray[np.uint8]]]) -> Image:
    return sdr_light(read()[-1].astype(np.float32) / 255)


def _key(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8])


def _title(title: Title, size: tuple[int, int]) -> Image:
    return render_title(replace(title, grain=min(title.grain, 0.01)), *size)[0]


def _scene(kind: type[Scene], seed: int, size: tuple[int, int]) -> Image:
    return kind(seed).render(float(np.random.default_rng([seed, 86]).uniform(0.0, 8.0)), *size)


def _chart(key: tuple[int, int], size: tuple[int, int]) -> Image:
    rng = np.random.default_rng([*key, 87])
    square = chart(rng, min(size[0], 1024))
    return sdr_light(square[: square.shape[0] * 9 // 16])


def _panorama(path: Path, key: int) -> Image:
    """The panorama's own pixels without the poles, where the projection smears."""
    light = read_radiance(path)
    rows = len(light)
    strip = light[rows // 6 : rows - rows // 4]
    turned = np.roll(strip, key % light.shape[1], axis=1)
    return grade_master(turned, _grade(key, path))


def _photograph(path: Path, key: int) -> Image:
    light = read_exr(path)
    size = (round(light.shape[1] / EXR_SHRINK), round(light.shape[0] / EXR_SHRINK))
    return grade_master(
        np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.float32), _grade(key, path)
    )


def _gain_map(path: Path, key: int) -> Image:
    """The phone's HDR picture as published, exposed a little differently in each view."""
    nits = read_ultrahdr(path, 2)[1]
    return nits * np.float32(2.0 ** np.random.default_rng([key, 88]).uniform(-0.8, 0.4))


def _grade(key: int, path: Path) -> MasterGrade:
    dark = path.stem.removesuffix("_1k").lower() in LOW_LIGHT_MASTERS
    return MasterGrade.sample(np.random.default_rng([key, 89]), (4.0, 16.0) if dark else (16.0, 52.0))


def _image(path: Path) -> Image:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"{path} cannot be read as a picture: remove it from the folder or give an intact one.")
    return sdr_light(np.ascontiguousarray(pixels[..., ::-1]).astype(np.float32) / 255)
