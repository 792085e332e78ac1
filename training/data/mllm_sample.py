"""One sample: a window of a master, its SDR grade, damage, crop, flip and delivery, and the truth about all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.mllm.diagnostic import picture, quantised, statistics
from analysis.mllm.frame_report import FrameReport
from toolchain.color.arrays import FloatArray
from training.data.distortions import visible
from training.data.distortions_coding import coded, coded_clip, jpeg, video_coding
from training.data.distortions_detail import Picture
from training.data.distortions_layout import LAYOUTS, Damage, damaged, solid_strength
from training.data.distortions_regions import WHOLE, cropped, flipped
from training.data.distortions_score import report
from training.data.grading import CURVES, UNSEEN_CURVES, Curve, GradeRecipe, grade
from training.data.mllm_camera import through_camera
from training.data.mllm_labels import grades, master_stops
from training.data.mllm_sources import Source, Split, sdr_light
from training.data.mllm_trim import bent, muted, trimmed
from training.data.restore_defects import Coding

SIZES = ((1920, 1080), (1280, 720), (960, 540), (640, 360), (480, 270))
_TRAIN_CURVES: tuple[Curve, ...] = tuple(curve for curve in CURVES if curve not in UNSEEN_CURVES)
_TRIES = 5
CROP_SHARE, FLIP_SHARE, DELIVERED_SHARE = 0.15, 0.5, 0.4
"""How often a damaged frame is cropped, mirrored, and coded as lightly as good deliveries are."""

CLEAN_CLIP_SHARE = 0.3
LEAST_CHROMA, LEAST_MUTED_CHROMA = 4.0, 1.5
"""Mean difference of the largest and the least channel, in codes; below lies grey."""


@dataclass(frozen=True)
class Variety:
    """How often a training sample's sound picture is seen through a camera, its grade trimmed, its colour muted."""

    camera_share: float = 0.0
    trim_share: float = 0.0
    muted_share: float = 0.0


AS_IT_IS = Variety()


@dataclass(frozen=True)
class Sample:
    """What is stored: picture (140, 224, 3), statistics (9, 16, 48), both uint8; the truth; how it was made."""

    picture: NDArray[np.uint8]
    statistics: NDArray[np.uint8]
    report: FrameReport
    extra: dict[str, Any]
    frame: Picture
    """The native frame; not stored."""


def make_sample(
    source: Source,
    master: FloatArray,
    shares: Sequence[float],
    rng: np.random.Generator,
    variety: Variety = AS_IT_IS,
) -> Sample | None:
    """A sample of the source's rendered `master`; None where none of a few windows and grades gives a sound picture.

    `shares` are the odds of pristine, global and local.
    """
    found = _clean(source, master, rng, variety)
    if found is None:
        return None
    clean, stops, spread, look = found
    filmed = through_camera(clean, rng) if _happens(variety.camera_share, rng) else None
    is_filmed = filmed is not None and _is_sound(filmed, look.least_chroma)
    if filmed is not None and is_filmed:
        clean = filmed
    layout = LAYOUTS[int(rng.choice(3, p=np.array(shares) / sum(shares)))]
    frame, damages = damaged(clean, layout, rng)
    frame, damages, is_cropped = _maybe_cropped(frame, damages, rng)
    is_flipped = rng.random() < FLIP_SHARE
    if is_flipped:
        frame = np.ascontiguousarray(frame[:, ::-1])
        damages = [replace(item, box=flipped(item.box)) for item in damages]
    frame, delivery = _delivered(frame, rng)
    how = {"curve": look.curve, "cropped": is_cropped, "flipped": bool(is_flipped), "delivery": delivery}
    how |= {"camera": True} if is_filmed else {}
    how |= {"trimmed": True} if look.is_trimmed else {}
    how |= {"muted": True} if look.is_muted else {}
    return _sample(source, frame, damages, (stops, spread), how)


def make_coded_sample(source: Source, frames: Sequence[Picture], rng: np.random.Generator) -> Sample:
    """The last of consecutive frames of a real clip, clean (3 in 10) or as a real coder leaves it."""
    clean, damages = frames[-1], []
    out, delivery = clean, "uncoded"
    if rng.random() >= CLEAN_CLIP_SHARE:
        strength = int(rng.integers(1, 6))
        how = video_coding(strength, rng)
        out, delivery = coded_clip(frames, how), f"{how.coder}-{how.quality:g}"
        if visible(clean, out, "blocking_artifacts", strength):
            damages = [Damage("blocking_artifacts", strength, WHOLE)]
    light = sdr_light(clean.astype(np.float32) / 255)
    return _sample(source, out, damages, master_stops(light), {"delivery": delivery})


def _sample(
    source: Source, frame: Picture, damages: list[Damage], spans: tuple[float, float], how: dict[str, Any]
) -> Sample:
    """`spans`: the master's stops and spread."""
    dynamic_range, contrast = grades(*spans)
    extra = {
        "origin": source.origin,
        "picture": source.picture,
        "layout": ("pristine" if not damages else "global" if all(d.box == WHOLE for d in damages) else "local"),
        "size": [frame.shape[1], frame.shape[0]],
        "strengths": {f"{item.kind}@{','.join(map(str, item.box))}": item.strength for item in damages},
        "stops": round(spans[0], 2),
        "spread_stops": round(spans[1], 2),
        "luminance_truth": "hdr master" if source.is_hdr else "sdr picture",
        **how,
    }
    truth = report(damages, dynamic_range, contrast)
    return Sample(picture(frame), quantised(statistics(frame)), truth, extra, frame)


@dataclass(frozen=True)
class _Look:
    curve: str
    is_trimmed: bool = False
    is_muted: bool = False

    @property
    def least_chroma(self) -> float:
        return LEAST_MUTED_CHROMA if self.is_muted else LEAST_CHROMA


def _clean(
    source: Source, master: FloatArray, rng: np.random.Generator, variety: Variety
) -> tuple[Picture, float, float, _Look] | None:
    """An SDR picture without damage, its master's stops and spread, and how it was graded."""
    for _ in range(_TRIES):
        window = _window(master, rng)
        if source.is_hdr:
            recipe = _recipe(source.split, rng)
        else:
            recipe = GradeRecipe(curve="clip", exposure_ev=float(rng.uniform(-0.3, 0.0)))
        is_trimmed = source.is_hdr and _happens(variety.trim_share, rng)
        is_muted = _happens(variety.muted_share, rng)
        recipe = bent(recipe, rng) if is_trimmed else recipe
        recipe = muted(recipe, rng) if is_muted else recipe
        signal = grade(window, recipe)
        codes = np.rint((trimmed(signal, rng) if is_trimmed else signal) * 255).astype(np.uint8)
        look = _Look(recipe.curve, is_trimmed, is_muted)
        if _is_sound(codes, look.least_chroma):
            return codes, *master_stops(window), look
    return None


def _happens(share: float, rng: np.random.Generator) -> bool:
    """Nothing is drawn for what never happens: a set without it stays the same to the bit."""
    return bool(share) and bool(rng.random() < share)


def _window(master: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A 16:9 part shrunk to the largest usual size that needs no enlarging, or (3 in 10) the next."""
    rows, columns = master.shape[:2]
    widest = min(columns, rows * 16 / 9)
    fits = [size for size in SIZES if size[0] <= widest] or [SIZES[-1]]
    size = fits[1] if len(fits) > 1 and rng.random() < 0.3 else fits[0]
    width = float(rng.uniform(min(size[0], widest), widest))
    height = width * 9 / 16
    left, top = float(rng.uniform(0, columns - width)), float(rng.uniform(0, rows - height))
    part = master[int(top) : int(top) + max(1, int(height)), int(left) : int(left) + max(1, int(width))]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.float32)


def _recipe(split: Split, rng: np.random.Generator) -> GradeRecipe:
    """Curves that no training has seen are used for the test alone."""
    curves = CURVES if split == "test" else _TRAIN_CURVES
    return GradeRecipe(
        curve=curves[int(rng.integers(len(curves)))],
        exposure_ev=float(rng.normal(0.0, 0.35)),
        saturation=float(rng.uniform(0.85, 1.15)),
        peak_nits=float(rng.choice((600.0, 1000.0, 1000.0, 2000.0))),
        knee=float(rng.uniform(0.4, 0.8)),
        applied_to="channels" if rng.random() < 0.7 else "luminance",
    )


def _is_sound(codes: Picture, least_chroma: float) -> bool:
    """No defect of its own: hardly clipped, not dark as a whole, neither grey nor garish, not empty."""
    few = codes[::3, ::3].astype(np.int16)
    most, least = few.max(axis=-1), few.min(axis=-1)
    bright, chroma = float(np.quantile(most, 0.9)), float((most - least).mean())
    return bool(
        (most >= 252).mean() < 0.03
        and bright >= 70
        and least_chroma <= chroma <= 110.0
        and few.std() >= 12
        and most.max() > 110
    )


def _maybe_cropped(
    frame: Picture, damages: list[Damage], rng: np.random.Generator
) -> tuple[Picture, list[Damage], bool]:
    """The frame cut by up to a quarter. Not where a region would be cut so far that what is left has no label."""
    scale = float(rng.uniform(0.75, 0.95))
    x0, y0 = (float(rng.uniform(0.0, 1.0 - scale)) for _ in range(2))
    if rng.random() >= CROP_SHARE:
        return frame, damages, False
    kept = [(item, cropped(item.box, (x0, y0, x0 + scale, y0 + scale))) for item in damages]
    if any(box is None for _, box in kept):
        return frame, damages, False
    height, width = frame.shape[:2]
    size = (round(height * scale / 2) * 2, round(width * scale / 2) * 2)
    top, left = round(y0 * height), round(x0 * width)
    part = np.ascontiguousarray(frame[top : top + size[0], left : left + size[1]])
    part = part[: part.shape[0] // 2 * 2, : part.shape[1] // 2 * 2]
    moved = [replace(item, box=box) for item, box in kept if box is not None]
    return part, [replace(item, strength=solid_strength(item)) for item in moved], True


def _delivered(frame: Picture, rng: np.random.Generator) -> tuple[Picture, str]:
    """As it comes, or lightly coded: real video is never uncoded, and good coding is no defect."""
    way = rng.random()
    if way >= DELIVERED_SHARE:
        return frame, "uncoded"
    if way < 0.1:
        quality = int(rng.integers(90, 97))
        return jpeg(frame, quality), f"jpeg-q{quality}"
    crf = int(rng.integers(14, 21))
    how = Coding("libx264", float(crf), "veryfast")
    return coded(frame, how, moving=False, rng=rng), f"libx264-crf{crf}"
