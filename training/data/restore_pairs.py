"""Pairs of damaged and clean video crops for the restoring networks, made with real coders, split by source."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from analysis.signals.blockiness import blockiness
from analysis.signals.blur import blur
from analysis.signals.noise import noise_sigma
from toolchain.errors import InputError
from toolchain.events import Emit, Progress, ignore
from toolchain.files import write_atomic
from training.data.restore_defects import CameraNoise, Coding, Softness, signal_to_codes
from training.data.restore_sources import CleanPictures, Picture, read_photograph

Split = Literal["train", "validation", "test"]
Task = Literal["codec-clean", "clarity"]
Codes = NDArray[np.uint16]
NUMBERS = ("sigma_codes", "compression", "softness_px", "noise_sigma", "blockiness", "blur")
"""Columns of `Pairs.numbers`: what was done (codes, 0..1, pixels), then what `analysis.signals` measures of it."""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(_Config):
    """One photograph below the data folder. `shrink`: by how much at least, so that its own noise is gone."""

    file: str
    shrink: float = Field(default=1.0, ge=1.0, le=8.0)


class SplitConfig(_Config):
    photographs: tuple[SourceConfig, ...]
    scene_seeds: tuple[int, ...]
    sequences: int = Field(ge=1, description="each gives two crops, of two frames")


class PairsConfig(_Config):
    """`shares`: of photographs, procedural scenes, drawn charts."""

    task: Task
    seed: int = 0
    crop_px: int = Field(default=144, ge=32, multiple_of=4)
    frame_px: int = Field(default=192, ge=64, multiple_of=16, description="x265 takes no less than 64")
    frames: int = Field(default=6, ge=2, le=32)
    shard_sequences: int = Field(default=50, ge=1)
    shares: tuple[float, float, float] = (0.65, 0.15, 0.2)
    splits: dict[Split, SplitConfig]


@dataclass(frozen=True)
class Pairs:
    """`damaged`, `clean`: (N, 3 crop / 2, crop) uint16, packed 4:2:0 in 10-bit limited-range codes; `numbers`: (N, 6)
    float32, columns as `NUMBERS`."""

    damaged: Codes
    clean: Codes
    numbers: NDArray[np.float32]


def build_pairs(config: PairsConfig, data: Path, out: Path, emit: Emit = ignore) -> None:
    """Write what is missing of `out`/<split>-<number>.npz; finished shards are kept, so a killed run goes on.

    `data` holds the photographs that the splits name. Raises InputError for one that is absent or unreadable.
    """
    out.mkdir(parents=True, exist_ok=True)
    shards: list[tuple[Split, int]] = [
        (split, index)
        for split, part in config.splits.items()
        for index in range(-(-part.sequences // config.shard_sequences))
    ]
    held: tuple[Split, CleanPictures] | None = None
    for done, (split, index) in enumerate(shards, 1):
        path = out / f"{split}-{index:03d}.npz"
        if not path.exists():
            if held is None or held[0] != split:
                held = (split, clean_pictures(config, split, data))
            write_atomic(path, _shard(config, split, index, held[1]))
        emit(Progress(step="pairs", done=done, total=len(shards), unit="shards"))


def load_pairs(folder: Path, split: Split) -> Pairs:
    """All shards of a split. Raises InputError when there are none."""
    paths = sorted(folder.glob(f"{split}-*.npz"))
    if not paths:
        raise InputError(f"{folder} holds no {split} pairs: build them first.")
    shards = [np.load(path, allow_pickle=False) for path in paths]
    damaged, clean, numbers = (np.concatenate([shard[name] for shard in shards]) for name in _ARRAYS)
    return Pairs(damaged, clean, numbers)


_ARRAYS = ("damaged", "clean", "numbers")


def clean_pictures(config: PairsConfig, split: Split, data: Path) -> CleanPictures:
    """The split's own sources, which no other split has."""
    part = config.splits[split]
    missing = [source.file for source in part.photographs if not (data / source.file).is_file()]
    if missing:
        raise InputError(f"{data} lacks {', '.join(missing)}: point the data folder at the photographs' folder.")
    photographs = [(read_photograph(data / source.file), source.shrink) for source in part.photographs]
    return CleanPictures(photographs, part.scene_seeds, config.shares)


def _shard(config: PairsConfig, split: Split, index: int, pictures: CleanPictures) -> bytes:
    rng = np.random.default_rng([config.seed, {"train": 0, "validation": 1, "test": 2}[split], index])
    rows = [row for _ in range(config.shard_sequences) for row in sequence_pairs(config, pictures, rng)]
    damaged, clean, numbers = (np.stack(column) for column in zip(*rows, strict=True))
    file = io.BytesIO()
    np.savez(file, damaged=damaged, clean=clean, numbers=numbers)
    return file.getvalue()


def sequence_pairs(
    config: PairsConfig, pictures: CleanPictures, rng: np.random.Generator
) -> list[tuple[Codes, Codes, NDArray[np.float32]]]:
    """Two (damaged, clean, numbers) crops of two frames of one short moving sequence."""
    clean = _moving(pictures, config, rng)
    defects = draw_defects(config.task, rng)
    damaged = [codes.astype(np.float32) for codes in defects.apply(clean, rng)]
    rows = []
    for frame in rng.choice(config.frames, 2, replace=False):
        luma = damaged[frame][: config.frame_px] / 4
        measured = (noise_sigma(luma), blockiness(luma), blur(luma))
        numbers = np.array([*defects.truth(), *measured], dtype=np.float32)
        truth = np.clip(np.rint(signal_to_codes(clean[frame])), 0, 1023).astype(np.uint16)
        corner = rng.integers((config.frame_px - config.crop_px) // 2 + 1, size=2) * 2
        both = (_crop(codes, corner, config) for codes in (damaged[frame].astype(np.uint16), truth))
        rows.append((*both, numbers))
    return rows


def _moving(pictures: CleanPictures, config: PairsConfig, rng: np.random.Generator) -> list[Picture]:
    """A window panning over a still picture by whole pixels, so that no frame is softer than another."""
    speed = rng.integers(-3, 4, 2) * int(rng.random() < 0.75)
    reach = 3 * config.frames
    patch = pictures.patch(rng, config.frame_px + 2 * reach)
    corners = [reach + speed * frame for frame in range(config.frames)]
    size = config.frame_px
    return [patch[top : top + size, left : left + size] for top, left in corners]


def _crop(codes: Codes, corner: NDArray[np.int64], config: PairsConfig) -> Codes:
    """The crop at an even (top, left) corner of packed 4:2:0, packed again."""
    (top, left), size, crop = corner, config.frame_px, config.crop_px
    luma = codes[:size][top : top + crop, left : left + crop]
    chroma = codes[size:].reshape(2, size // 2, size // 2)
    chroma = chroma[:, top // 2 : (top + crop) // 2, left // 2 : (left + crop) // 2]
    return np.concatenate([luma.ravel(), chroma.ravel()]).reshape(crop * 3 // 2, crop)


@dataclass(frozen=True)
class Defects:
    """What happens to one sequence, in this order: softness, noise, coding; then 8 or 10 bits."""

    softness: Softness | None = None
    noise: CameraNoise | None = None
    codings: tuple[Coding, ...] = ()
    ten_bits: bool = False

    def truth(self) -> tuple[float, float, float]:
        """sigma_codes, compression, softness_px; 0 for what did not happen."""
        return (
            self.noise.sigma_codes if self.noise else 0.0,
            max((coding.compression for coding in self.codings), default=0.0),
            self.softness.sigma_px if self.softness else 0.0,
        )

    def apply(self, frames: list[Picture], rng: np.random.Generator) -> list[Codes]:
        """Clean signals -> packed 4:2:0 in 10-bit codes."""
        if self.softness:
            frames = [self.softness.apply(frame) for frame in frames]
        if self.noise:
            frames = [self.noise.apply(frame, rng) for frame in frames]
        exact = [signal_to_codes(frame) for frame in frames]
        if self.ten_bits and not self.codings:
            return [np.clip(np.rint(codes), 0, 1023).astype(np.uint16) for codes in exact]
        coded = [np.clip(np.rint(codes / 4), 0, 255).astype(np.uint8) for codes in exact]
        for coding in self.codings:
            coded = coding.apply(coded)
        return [codes.astype(np.uint16) * 4 for codes in coded]


def draw_defects(task: Task, rng: np.random.Generator) -> Defects:
    """One sequence's defects; 12 in 100 have none (clarity: 25 are sharp)."""
    ten_bits = bool(rng.random() < 0.3)
    if task == "clarity":
        soft = _draw_softness(rng) if rng.random() < 0.75 else None
        codings = (_draw_coding(rng, crf_range=(14, 26)),) if rng.random() < 0.45 else ()
        noise = _draw_noise(rng, 0.3, 1.5) if rng.random() < 0.25 else None
        return Defects(softness=soft, noise=noise, codings=codings, ten_bits=ten_bits)
    kind = rng.choice(4, p=(0.12, 0.43, 0.25, 0.2))
    noise = _draw_noise(rng, 0.6, 9.0) if kind >= 2 else None
    codings: tuple[Coding, ...] = ()
    if kind in (1, 3):
        codings = tuple(_draw_coding(rng, crf_range=(19, 40)) for _ in range(2 if rng.random() < 0.12 else 1))
    return Defects(noise=noise, codings=codings, ten_bits=ten_bits)


def _draw_softness(rng: np.random.Generator) -> Softness:
    kinds = ("gauss", "gauss", "disc", "box", "scaled", "scaled")
    return Softness(sigma_px=float(rng.uniform(0.5, 1.8)), kind=kinds[rng.integers(len(kinds))])


def _draw_noise(rng: np.random.Generator, least: float, most: float) -> CameraNoise:
    grain = rng.choice(("bayer", "film", "white"), p=(0.55, 0.25, 0.2))
    sigma_codes = float(np.exp(rng.uniform(np.log(least), np.log(most))))
    return CameraNoise(sigma_codes=sigma_codes, shot_share=float(rng.uniform(0.2, 0.95)), grain=grain)


def _draw_coding(rng: np.random.Generator, crf_range: tuple[float, float]) -> Coding:
    coder = rng.choice(("libx264", "libx265", "mpeg4", "mpeg2video"), p=(0.5, 0.34, 0.08, 0.08))
    crf = float(rng.uniform(*crf_range))
    if coder in ("mpeg4", "mpeg2video"):
        return Coding(coder, quality=float(np.clip(round(2 * 2 ** ((crf - 18) / 6)), 2, 24)))
    presets = ("veryfast", "medium", "medium") if coder == "libx264" else ("ultrafast", "fast", "medium")
    return Coding(coder, quality=crf, preset=presets[rng.integers(3)])
