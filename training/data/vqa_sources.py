"""Moving HDR masters for the judging network: one title a short shot of a drawn scene, a panorama or a photograph.

Every shot cut from one photograph is in the same split: what trained the network never tests it.
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

from analysis.vqa.display import CLIP_FRAMES
from toolchain.color.transfer import bt1886_eotf_inverse
from training.data.itm_sources import LOW_LIGHT_MASTERS, Origin
from training.data.masters import MasterGrade, crop_view, grade_master, perspective_view, read_exr, read_radiance
from training.data.scenes import SCENES, Scene
from training.data.titles import Title, make_title, render_title
from training.data.ultrahdr import read_ultrahdr
from training.data.vqa_media import Clip

SIZE = (480, 270)
"""Width and height of every clip: the judge's working size."""
STILL_SIZE = (640, 360)
"""Pictures that a camera moves over are this large."""
FPS = 24
PHOTO_REDUCTION = 4
Matrix = NDArray[np.float64]
Split = Literal["train", "validation", "test"]
SPLIT_SALT = "vqa-50"
"""Splits follow a hash of this and the picture's name. With this salt photographs and panoramas are in all three."""
SPLIT_SHARES = (0.70, 0.10)
"""Of train and validation; the rest is test."""


@dataclass(frozen=True)
class Shot:
    """One title's light: the HDR master in nits, not anchored, and, where the source has its own, its SDR signal."""

    master: Clip
    sdr: Clip | None = None


@dataclass(frozen=True)
class VqaTitle:
    """A title before grading. `picture` is what its split hangs on."""

    name: str
    picture: str
    origin: Origin
    render: Callable[[], Shot]

    @property
    def split(self) -> Split:
        return split_of(self.picture)


def split_of(picture: str) -> Split:
    """Where a picture belongs, for ever: whatever is added moves none."""
    digest = hashlib.sha256(f"{SPLIT_SALT}:{picture}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    return "train" if share < SPLIT_SHARES[0] else "validation" if share < sum(SPLIT_SHARES) else "test"


def drawn_titles(count: int, seed: int) -> list[VqaTitle]:
    """`count` procedural titles under a moving camera."""
    titles = [make_title(index, seed) for index in range(count)]
    return [VqaTitle(t.name, t.name, "procedural", partial(_drawn, t)) for t in titles]


def scene_titles(count: int, seed: int) -> list[VqaTitle]:
    """`count` layouts of each procedural scene; they truly move."""
    return [
        VqaTitle(name, name, "procedural", partial(_scene, kind, seed * 1000 + index))
        for kind in SCENES
        for index in range(count)
        for name in [f"scene-{kind.name.replace('_', '-')}-{index:04d}"]
    ]


def photo_titles(folder: Path, shots: int, seed: int) -> list[VqaTitle]:
    """`shots` of every panorama and photograph below `folder` (hdr/polyhaven, hdr/openexr, pairs/ultrahdr)."""
    places: tuple[tuple[Origin, str, Callable[[Path, int], Shot]], ...] = (
        ("polyhaven", "hdr/polyhaven/*.hdr", _panorama),
        ("openexr", "hdr/openexr/*.exr", _photograph),
        ("ultrahdr", "pairs/ultrahdr/*.jpg", _gain_map),
    )
    return [
        VqaTitle(f"{name}-{shot:02d}", name, origin, partial(draw, path, _key(name, shot, seed)))
        for origin, pattern, draw in places
        for path in sorted(folder.glob(pattern))
        for name in [f"{origin}-{path.stem.removesuffix('_1k').lower().replace('_', '-')}"]
        for shot in range(shots)
    ]


def _key(name: str, shot: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}:{shot}".encode()).digest()[:8])


# Shots


def _drawn(title: Title) -> Shot:
    """Pans over one of the title's pictures, or two with a cut between; its grain is new in each frame."""
    rng = np.random.default_rng([title.seed, 81])
    stills = render_title(replace(title, grain=0.0, frames=2), *STILL_SIZE)
    cut = int(rng.integers(6, CLIP_FRAMES - 6)) if rng.random() < 0.15 else CLIP_FRAMES
    clip = _along(_path(rng, cut), stills[0])
    if cut < CLIP_FRAMES:
        clip = np.concatenate([clip, _along(_path(rng, CLIP_FRAMES - cut), stills[1])])
    elif rng.random() < 0.5:
        clip = _passing(clip, stills[1], rng)
    return Shot(_grainy(clip, title.grain, rng))


def _scene(kind: type[Scene], seed: int) -> Shot:
    rng = np.random.default_rng([seed, 82])
    scene, start_s = kind(seed), float(rng.uniform(0.0, 8.0))
    return Shot(np.stack([scene.render(start_s + index / FPS, *SIZE) for index in range(CLIP_FRAMES)]))


def _panorama(path: Path, key: int) -> Shot:
    """A camera that turns inside the panorama; the grade is the whole panorama's, so nothing drifts."""
    rng = np.random.default_rng([key, 83])
    graded = grade_master(read_radiance(path), _grade(rng, path))
    yaw, pitch = float(rng.uniform(0.0, 360.0)), float(rng.uniform(-15.0, 30.0))
    speed, tilt = rng.normal(0.0, 0.35), rng.normal(0.0, 0.1)
    view_deg = float(rng.uniform(85.0, 110.0))
    frames = [
        perspective_view(graded, yaw + speed * index, pitch + tilt * index, *SIZE, field_of_view_deg=view_deg)
        for index in range(CLIP_FRAMES)
    ]
    return Shot(_grainy(np.stack(frames), float(rng.choice([0.005, 0.01, 0.02])), rng))


def _photograph(path: Path, key: int) -> Shot:
    rng = np.random.default_rng([key, 84])
    centre = (float(rng.random()), float(rng.random()))
    still = crop_view(read_exr(path), centre, float(rng.uniform(0.55, 1.0)), *STILL_SIZE)
    clip = _along(_path(rng, CLIP_FRAMES), grade_master(still, _grade(rng, path)))
    return Shot(_grainy(clip, float(rng.choice([0.0, 0.01, 0.02])), rng))


def _gain_map(path: Path, key: int) -> Shot:
    """A phone's own SDR picture and what its gain map makes of it, under the same camera."""
    rng = np.random.default_rng([key, 85])
    light, nits = read_ultrahdr(path, PHOTO_REDUCTION)
    centre, scale = (float(rng.random()), float(rng.random())), float(rng.uniform(0.5, 1.0))
    path_over = _path(rng, CLIP_FRAMES)
    sdr, master = (_along(path_over, crop_view(picture, centre, scale, *STILL_SIZE)) for picture in (light, nits))
    return Shot(master, bt1886_eotf_inverse(np.clip(sdr, 0.0, 1.0)).astype(np.float32))


def _grade(rng: np.random.Generator, path: Path) -> MasterGrade:
    dark = path.stem.removesuffix("_1k").lower() in LOW_LIGHT_MASTERS
    return MasterGrade.sample(rng, (4.0, 16.0) if dark else (16.0, 52.0))


# Movement


def _path(rng: np.random.Generator, frames: int) -> list[Matrix]:
    """A camera's pan, zoom and shake over a picture of STILL_SIZE: where each frame's pixels lie in it."""
    speed = float(rng.choice((0.0, 0.6, 1.5, 3.0))) * rng.uniform(0.6, 1.4)
    angle, shake = rng.uniform(0.0, 2 * np.pi), float(rng.choice((0.0, 0.0, 0.5, 1.5)))
    time = np.arange(frames)[:, None] - frames / 2
    wander = speed * time * (np.cos(angle), 0.5 * np.sin(angle)) + shake * rng.standard_normal((frames, 2))
    zoom = 1.16 + float(rng.choice((0.0, 0.0, 1.0))) * rng.uniform(-0.004, 0.004) * time[:, 0]
    room = (np.array(STILL_SIZE) - np.outer(zoom, SIZE)) / 2
    corners = room + np.clip(wander, -room, room)
    return [np.array([[scale, 0.0, x], [0.0, scale, y]]) for scale, (x, y) in zip(zoom, corners, strict=True)]


def _along(path: list[Matrix], still: Clip) -> Clip:
    """What the camera sees on its way: (frames, 270, 480, 3)."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    views = [cv2.warpAffine(still, step, SIZE, flags=flags, borderMode=cv2.BORDER_REPLICATE) for step in path]
    return np.maximum(np.asarray(views, np.float32), 0.0)


def _passing(clip: Clip, other: Clip, rng: np.random.Generator) -> Clip:
    """Something from another picture passes before the camera, so that not all moves as one."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    width, height = rng.uniform(25, 80), rng.uniform(35, 110)
    start, speed, row = rng.uniform(60, 420), rng.uniform(1.0, 5.0) * rng.choice((-1, 1)), rng.uniform(90, 230)
    out = []
    for index, picture in enumerate(clip):
        column = start + speed * (index - CLIP_FRAMES / 2)
        mask = np.clip(6 * (1 - np.hypot((x - column) / width, (y - row) / height)), 0.0, 1.0)[..., None]
        body = np.roll(other[: SIZE[1], : SIZE[0]], round(column - SIZE[0] / 2), 1)
        out.append(picture + mask * (body - picture))
    return np.stack(out)


def _grainy(clip: Clip, amount: float, rng: np.random.Generator) -> Clip:
    """Shot noise as `training.data.titles` draws it, new in each frame."""
    if not amount:
        return clip
    bank = rng.standard_normal(clip.shape[1:], np.float32)
    for picture in clip:
        shift = (int(rng.integers(SIZE[1])), int(rng.integers(SIZE[0])))
        picture += np.float32(amount) * np.sqrt(picture * 60.0 + 1.0) * np.roll(bank, shift, (0, 1))
    return np.maximum(clip, 0.0)
