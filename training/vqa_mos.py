"""A CSV of mean opinion scores (KoNViD-1k, LSVQ and their like) beside its videos -> clips to train on.

Each video becomes a title of its own, its clips the title's rows, with the one label `mos`. Videos are decoded once;
a stopped import goes on with those that are missing.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.vqa.bilivqa import clip_pictures, preprocessing_hash
from analysis.vqa.bilivqa_clips import open_clips
from toolchain.errors import InputError
from toolchain.events import Emit, Progress, Warned
from toolchain.files import disk_errors, write_atomic
from training.data.vqa_shards import MANIFEST, Row, VqaData, load, read_rows, stored, write_title

NAME_COLUMNS = ("flickr_id", "name", "filename", "file_name", "video", "video_name")
SCORE_COLUMNS = ("mos",)
SPREAD_COLUMNS = ("std", "mos_std", "sd")
SPLIT_COLUMNS = ("split", "set")
SUFFIXES = ("", ".mp4", ".mkv", ".webm", ".mov", ".avi", ".y4m")
_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"validation": "validation", "test": "test", "testing": "test"}


class MosConfig(BaseModel):
    """How opinion scores are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: int = Field(default=3, ge=1, le=16, description="of each video")
    least_videos: int = Field(default=20, ge=3, description="fewer teach nothing")
    scale: tuple[float, float] | None = Field(default=None, description="worst and best MOS; None: those of the CSV")
    validation_share: float = Field(default=0.15, gt=0, lt=0.5, description="of the videos, where no split is given")
    test_share: float = Field(default=0.2, gt=0, lt=0.5)


@dataclass(frozen=True)
class Opinion:
    """One line: the video's file, its mean opinion score, its spread where known, and its split."""

    video: Path
    mos: float
    std: float | None
    split: str


def import_mos(table: Path, videos: Path | None, out: Path, config: MosConfig, emit: Emit) -> VqaData:
    """The clips of a CSV's videos as shards in `out`; light is SDR at 203-nit white, or PQ or HLG as it is.

    `videos` None: the CSV's own folder. A video that cannot be decoded is left out and told. InputError for a CSV
    that cannot be read (which line, which column) or with fewer than `least_videos` usable videos.
    """
    opinions = read_opinions(table, videos or table.parent, config)
    worst, best = config.scale or (min(o.mos for o in opinions), max(o.mos for o in opinions))
    outside = [opinion for opinion in opinions if not worst <= opinion.mos <= best]
    if worst >= best or outside:
        raise InputError(f"{table}: scores from {worst:g} to {best:g} do not fit the CSV: set `mos.scale` right")
    titles: dict[str, str] = {}
    for done, opinion in enumerate(opinions, 1):
        title = _title(opinion, config)
        try:
            _import_video(opinion, title, (opinion.mos - worst) / (best - worst), out, config.clips)
            titles[title] = opinion.split
        except InputError as error:
            emit(Warned(message=f"left out: {error}"))
        emit(Progress(step="decode videos", done=done, total=len(opinions), unit="videos"))
    if len(titles) < config.least_videos:
        raise InputError(
            f"{table} has {len(titles)} usable videos: at least {config.least_videos} are needed (mos.least_videos)"
        )
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / MANIFEST, json.dumps({"titles": titles, "mos_scale": [worst, best]}, indent=1))
    return load(out)


def read_opinions(table: Path, videos: Path, config: MosConfig) -> list[Opinion]:
    """The CSV's lines. InputError names the line and what of it is wrong."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as a CSV ({error}): give one with a header line") from error
    name, mos = _column(table, columns, NAME_COLUMNS), _column(table, columns, SCORE_COLUMNS)
    std, split = _maybe(columns, SPREAD_COLUMNS), _maybe(columns, SPLIT_COLUMNS)
    if len(lines) < config.least_videos:
        raise InputError(f"{table} names {len(lines)} videos: at least {config.least_videos} are needed")
    found = []
    for number, line in enumerate(lines, 2):
        where = f"{table}, line {number}"
        video = _video(where, videos, line[name])
        given = (line[split] or "").strip().lower() if split else ""
        if given and given not in _SPLIT_NAMES:
            raise InputError(f"{where}: split {given!r} is none of {', '.join(sorted(_SPLIT_NAMES))}")
        spread = _number(where, std, line[std]) if std and line[std] else None
        chosen = _SPLIT_NAMES[given] if given else _split(video.name, config)
        found.append(Opinion(video, _number(where, mos, line[mos]), spread, chosen))
    return _with_validation(found, config)


def _with_validation(opinions: list[Opinion], config: MosConfig) -> list[Opinion]:
    """Published splits often have no validation: a share of the training videos becomes it."""
    if any(opinion.split == "validation" for opinion in opinions):
        return opinions
    share = config.validation_share
    return [
        Opinion(o.video, o.mos, o.std, "validation") if o.split == "train" and _place(o.video.name) < share else o
        for o in opinions
    ]


def _split(name: str, config: MosConfig) -> str:
    """By a hash of the name, so that adding videos moves none."""
    place = _place(name)
    if place < config.validation_share:
        return "validation"
    return "test" if place >= 1 - config.test_share else "train"


def _place(name: str) -> float:
    """A number in [0, 1) that belongs to the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _column(table: Path, columns: dict[str, str], names: Sequence[str]) -> str:
    found = _maybe(columns, names)
    if found is None:
        have = ", ".join(columns) or "none"
        raise InputError(f"{table} has the columns {have}: one named {' or '.join(names)} is needed")
    return found


def _maybe(columns: dict[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _number(where: str, column: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {text!r}, a number is needed")
    return value


def _video(where: str, videos: Path, name: str | None) -> Path:
    """The file of a name, with or without its suffix. A name stays below the folder."""
    name = (name or "").strip()
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{where}: {name!r} is no name of a file below {videos}")
    for suffix in SUFFIXES:
        path = videos / f"{name}{suffix}"
        if path.is_file():
            return path
    raise InputError(f"{where}: there is no video {name!r} in {videos}: put it there or name its folder (--videos)")


def _title(opinion: Opinion, config: MosConfig) -> str:
    """Unlike for other contents, clips or renderings, so that nothing outdated is ever used."""
    stat = opinion.video.stat()
    facts = [str(opinion.video.resolve()), stat.st_size, stat.st_mtime_ns, config.clips, preprocessing_hash()]
    return f"mos-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}"


def _import_video(opinion: Opinion, title: str, quality: float, out: Path, clips: int) -> None:
    if (out / opinion.split / f"{title}.json").exists():
        known = read_rows(out, opinion.split, title)
        if all(abs(row.labels["mos"] - quality) < 1e-9 for row in known):
            return
    reader = open_clips(opinion.video)
    parts = [clip_pictures(reader.frames(start)) for start in reader.starts(clips)]
    raw = {"mos": opinion.mos, **({"std": opinion.std} if opinion.std is not None else {})}
    rows = [
        Row(title, opinion.split, opinion.video.name, index, "opinion", "none", {"mos": quality}, raw, 0)
        for index in range(len(parts))
    ]
    key, motion = (stored(np.stack(pictures)) for pictures in zip(*parts, strict=True))
    write_title(out, rows, key, motion)
