"""The analyser's training set: frames with damage that is known, and what a model should say of each.

One pass over shards of sources; a finished shard is never made again, so a stopped build goes on where it was. The
manifest, with the digest of every file, and the card are written last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from analysis.mllm.diagnostic import STATISTICS
from toolchain.errors import UsageError
from toolchain.files import sha256_file, write_atomic
from training.data.folders import claim
from training.data.mllm_card import card
from training.data.mllm_frames import LARGEST_SIDE_PX, frames_path, png, shrunk, write_frames
from training.data.mllm_sample import AS_IT_IS, Sample, Variety, make_coded_sample, make_sample
from training.data.mllm_shards import (
    MANIFEST,
    PICTURE_SHAPE,
    STATISTICS_SHAPE,
    Line,
    Shard,
    read_lines,
    shard_path,
    write_shard,
)
from training.data.mllm_sources import (
    CREDITS,
    SPLITS,
    Source,
    Split,
    clip_sources,
    drawn_sources,
    image_sources,
    photo_sources,
    unit_hash,
)
from training.recipe import load_recipe

FORMAT_VERSION = 1
CARD = "README.md"
DATA_VARIABLE = "SDR2HDR_DATA"
HELD_OUT_FIRST = 0.1
"""Validation, test and clips are whole when this share of the training split is."""
Progress = Callable[[int, int, str], None]
"""Called after each shard with (shards done, shards in all, its name)."""


class MllmDataConfig(BaseModel):
    """What the set holds; `configs/training/mllm_data.yaml` is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=5, ge=0)
    titles: Annotated[int, Field(ge=0, le=100_000)] = 2600
    scenes: Annotated[int, Field(ge=0, le=10_000)] = 30
    charts: Annotated[int, Field(ge=0, le=100_000)] = 150
    photo_views: Annotated[int, Field(ge=0, le=1000)] = 20
    """Gradings of each photograph and panorama that trains; 0: none are read."""
    held_out_views: Annotated[int, Field(ge=1, le=100)] = 5
    clip_frames: Annotated[int, Field(ge=0, le=1000)] = 0
    """Frames of each real clip, for the split `clips`, which is never trained on."""
    shares: tuple[float, float, float] = (0.30, 0.35, 0.35)
    """Of pristine, global and local samples."""
    per_source: dict[Split, Annotated[int, Field(ge=1, le=1000)]] = {
        "train": 12,
        "validation": 6,
        "test": 6,
        "clips": 6,
    }
    """Samples of each source; a split that is not named gives none."""
    shard_sources: Annotated[int, Field(ge=1, le=1000)] = 6
    frame_side_px: Annotated[int, Field(ge=0, le=LARGEST_SIDE_PX)] = 0
    """Longer side of the frames that are stored for large models, at most; 0: none are."""
    camera_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of training samples: seen through a camera first (`training.data.mllm_camera`). Held-out ones never are."""
    trim_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of training samples: graded with a bent curve and trimmed after it (`training.data.mllm_trim`)."""
    muted_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of training samples: with little colour, and rightly so."""

    def told(self) -> dict[str, Any]:
        """As JSON, without what came later and is not used: a set made before it existed is the same set."""
        late = ("frame_side_px", "camera_share", "trim_share", "muted_share")
        return self.model_dump(mode="json", exclude={name for name in late if not getattr(self, name)})

    def variety(self, split: Split) -> Variety:
        return Variety(self.camera_share, self.trim_share, self.muted_share) if split == "train" else AS_IT_IS


@dataclass(frozen=True)
class _Job:
    split: Split
    number: int
    sources: tuple[Source, ...]


def build_from_yaml(
    path: Path,
    folder: Path,
    data_folder: Path | None = None,
    images: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """`build` with the configuration of a YAML file; UsageError says what in it is wrong. Returns the manifest."""
    config = load_recipe(path, MllmDataConfig, "the analyser's training set")
    return build(config, folder, data_folder, images, progress)


def build(
    config: MllmDataConfig,
    folder: Path,
    data_folder: Path | None = None,
    images: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the set into `folder` and return its manifest. Shards already there are kept: a stopped build resumes.

    Photographs and clips are read below `data_folder`, else $SDR2HDR_DATA; `images` is any folder of the user's own
    pictures. UsageError where the configuration asks for what is not there, or `folder` was begun with another one.
    """
    sources = sources_of(config, data_folder, images)
    stamp = stamp_of(config, sources)
    claim(folder, stamp)
    jobs = _jobs(config, sources)
    for done, job in enumerate(jobs, 1):
        path = shard_path(folder, job.split, job.number)
        if not path.exists():
            shard, frames = _shard(config, job)
            if frames:
                write_frames(frames_path(path), frames)
            write_shard(path, shard)
        if progress is not None:
            progress(done, len(jobs), f"{job.split}/{job.number}")
    manifest = _manifest(config, stamp, folder, jobs)
    write_atomic(folder / CARD, card(manifest))
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def stamp_of(config: MllmDataConfig, sources: list[Source]) -> str:
    """What a folder is claimed with: the digest of the configuration and of the sources' names."""
    names = sorted(source.name for source in sources)
    text = json.dumps({"format": FORMAT_VERSION, "names": names, **config.told()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sources_of(config: MllmDataConfig, given: Path | None, images: Path | None) -> list[Source]:
    """All sources, mixed by a hash of their names; UsageError where there are none of what is asked for."""
    folder = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    found = drawn_sources(config.titles, config.scenes, config.charts, config.seed)
    if config.photo_views:
        found += _wanted(folder, "photographs in hdr/ or pairs/", "photo_views", lambda at: photo_sources(
            at, config.photo_views, config.held_out_views, config.seed
        ))  # fmt: skip
    if config.clip_frames:
        found += _wanted(folder, "clips in clips/", "clip_frames", lambda at: clip_sources(at, config.clip_frames))
    if images is not None:
        found += _wanted(images, "pictures", "no folder of images", image_sources)
    if not found:
        raise UsageError("The set would hold no source: ask for titles, scenes, charts, photo_views or clip_frames.")
    return sorted(found, key=lambda source: unit_hash(f"order:{source.name}"))


def _wanted(folder: Path | None, what: str, switch: str, find: Callable[[Path], list[Source]]) -> list[Source]:
    found = find(folder) if folder is not None else []
    if not found:
        raise UsageError(
            f"{folder or '(no data folder named)'} holds no {what}: name another folder, set {DATA_VARIABLE}, "
            f"or do without ({switch}: 0)."
        )
    return found


def _jobs(config: MllmDataConfig, sources: list[Source]) -> list[_Job]:
    """Shards, the held-out ones early, so that a set that is still being made can be used."""
    jobs: list[tuple[float, _Job]] = []
    for split in SPLITS:
        own = [source for source in sources if source.split == split and split in config.per_source]
        size = config.shard_sources
        for number, start in enumerate(range(0, len(own), size)):
            place = start / len(own) * (1.0 if split == "train" else HELD_OUT_FIRST)
            jobs.append((place, _Job(split, number, tuple(own[start : start + size]))))
    return [job for _, job in sorted(jobs, key=lambda item: item[0])]


def _shard(config: MllmDataConfig, job: _Job) -> tuple[Shard, dict[str, bytes]]:
    """A shard, and PNGs of its frames by id where they are stored."""
    pictures, stored, lines, frames = [], [], [], {}
    for source in job.sources:
        for index, sample in _samples(config, source):
            line = Line(
                id=sample_id(source, index),
                source=source.picture,
                split=source.split,
                report=sample.report,
                extra=sample.extra,
            )
            lines.append(line)
            pictures.append(sample.picture)
            stored.append(sample.statistics)
            if config.frame_side_px:
                frames[line.id] = png(shrunk(sample.frame, config.frame_side_px))
    shard = Shard(
        picture=np.array(pictures, np.uint8).reshape(-1, *PICTURE_SHAPE),
        statistics=np.array(stored, np.uint8).reshape(-1, *STATISTICS_SHAPE),
        lines=lines,
    )
    return shard, frames


def _samples(config: MllmDataConfig, source: Source) -> Iterator[tuple[int, Sample]]:
    """Every sample of a source, with its number; a source without a sound picture gives none."""
    make = sampler(config, source)
    for index in range(config.per_source[source.split]):
        sample = make(index)
        if sample is not None:
            yield index, sample


def sample_id(source: Source, index: int) -> str:
    return f"{source.name}-{index:02d}"


def sampler(config: MllmDataConfig, source: Source) -> Callable[[int], Sample | None]:
    """What makes a source's sample of a number, always the same one; the source is rendered, or decoded, once."""
    make = _maker(config, source)
    key = int(unit_hash(source.name) * 2**53)
    return lambda index: make(np.random.default_rng([config.seed, key, index]))


def _maker(config: MllmDataConfig, source: Source) -> Callable[[np.random.Generator], Sample | None]:
    if source.frames is not None:
        return partial(make_coded_sample, source, source.frames())
    return partial(make_sample, source, source.render(), config.shares, variety=config.variety(source.split))


def _manifest(config: MllmDataConfig, stamp: str, folder: Path, jobs: list[_Job]) -> dict[str, Any]:
    """Counts are read back from the lines, so the manifest also says that every one of them can be read."""
    paths = [shard_path(folder, job.split, job.number) for job in jobs]
    lines = [line for path in paths for line in read_lines(path)]
    files = [file for path in paths for file in (path, path.with_suffix(".npz"), frames_path(path))]
    files = sorted(file for file in files if file.exists())
    digests = {str(file.relative_to(folder)): sha256_file(file) for file in files}
    origins = {line.extra["origin"] for line in lines}
    return {
        "version": FORMAT_VERSION,
        "config_sha256": stamp,
        "sha256": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        "config": config.told(),
        "statistics": list(STATISTICS),
        "credits": {origin: credit for origin, credit in CREDITS.items() if origin in origins},
        "counts": _counts(lines),
        "files": digests,
    }


def _counts(lines: list[Line]) -> dict[str, Any]:
    def by(key: Callable[[Line], str]) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = {}
        for line in lines:
            found.setdefault(line.split, Counter())[key(line)] += 1
        return {split: dict(sorted(counter.items())) for split, counter in sorted(found.items())}

    return {
        "samples": dict(sorted(Counter(line.split for line in lines).items())),
        "pictures": {split: len({line.source for line in lines if line.split == split}) for split in SPLITS},
        "layout": by(lambda line: line.extra["layout"]),
        "level": by(lambda line: line.report.level),
        "dynamic_range": by(lambda line: line.report.dynamic_range),
        "contrast": by(lambda line: line.report.contrast),
        "origin": by(lambda line: line.extra["origin"]),
        "distortions": {
            split: dict(sorted(Counter(f"{item.type}:{item.severity}" for line in lines if line.split == split
                                       for item in line.report.distortions).items()))
            for split in SPLITS
        },
    }  # fmt: skip
