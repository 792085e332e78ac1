"""The SDR-to-HDR training set: procedural titles, HDR masters and gain-map photographs as pairs in shards on disk.

    <folder>/manifest.json              written last: a folder without one is not finished
    <folder>/<split>/<title>.npz        sdr uint8 (N, H, W, 3): R'G'B' BT.709 full range, after compression
                                        hdr float16 (N, H, W, 3): BT.2020 nits, mid-tones anchored at 203-nit white
                                        meta: JSON, a list of N objects (`PairMeta`)

Splits are fold0 to fold4 (procedural titles, by hash), `masters` (panoramas, photographs) and `photos` (gain maps).
`crops` holds anchored crops of the titles of `photos`; the manifest, which lists a title once, leaves them out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from toolchain.color.arrays import FloatArray
from toolchain.errors import UsageError
from toolchain.files import write_atomic
from training.data.folders import claim
from training.data.grading import CURVES, UNSEEN_CURVES, Curve
from training.data.itm_grades import (
    SEEN_CURVES,
    Grade,
    Local,
    Pairs,
    broadcast_grade,
    compensate,
    make_pairs,
    sample_compression,
    sample_recipe,
)
from training.data.itm_photos import CROPS, photo_crops, photo_pairs, photo_titles
from training.data.itm_shards import MANIFEST, PairMeta, Shard, load, read_shard, write_shard
from training.data.itm_sources import CREDITS, Source, master_sources, procedural_sources
from training.recipe import load_recipe

__all__ = ["ItmDataConfig", "PairMeta", "Shard", "build", "build_from_yaml", "load"]

Image = FloatArray
FORMAT_VERSION = 1
LOCAL_MODES: tuple[Local, Local] = ("phone", "windows")
DATA_VARIABLE = "SDR2HDR_DATA"
Progress = Callable[[int, int, str], None]
"""Called after each title with (titles done, titles in all, its name)."""


class ItmDataConfig(BaseModel):
    """What the set holds; `configs/training/itm_data.yaml` is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    width: Annotated[int, Field(ge=32, le=1024, multiple_of=2)] = 256
    height: Annotated[int, Field(ge=32, le=1024, multiple_of=2)] = 144
    titles: Annotated[int, Field(ge=0, le=100_000)] = 300
    seen_grades: Annotated[int, Field(ge=1, le=len(SEEN_CURVES))] = 6
    unseen_grades: Annotated[int, Field(ge=0, le=len(UNSEEN_CURVES))] = 1
    broadcast_grades: Annotated[int, Field(ge=0, le=4)] = 1
    spatial_share: Annotated[float, Field(ge=0, le=1)] = 0.4
    compressed_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    crf: tuple[Annotated[int, Field(ge=0, le=51)], Annotated[int, Field(ge=0, le=51)]] = (18, 32)
    panorama_views: Annotated[int, Field(ge=1, le=64)] = 6
    photograph_views: Annotated[int, Field(ge=1, le=64)] = 3
    gain_map_views: Annotated[int, Field(ge=1, le=64)] = 12
    gain_map_crops: Annotated[int, Field(ge=0, le=1000)] = 60
    """Anchored crops of each gain-map photograph, in the split `crops`."""
    masters: bool = True
    """Use the photographs and panoramas below the data folder; False: procedural titles alone."""


# Building


def build_from_yaml(
    path: Path, folder: Path, data_folder: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """`build` with the configuration of a YAML file; UsageError says what in it is wrong. Returns the manifest."""
    return build(load_recipe(path, ItmDataConfig, "a set of pairs"), folder, progress, data_folder)


def build(
    config: ItmDataConfig, folder: Path, progress: Progress | None = None, data_folder: Path | None = None
) -> dict[str, Any]:
    """Write the set into `folder` and return its manifest. Titles already there are kept: a stopped build resumes.

    Masters are read below `data_folder`, else $SDR2HDR_DATA; UsageError where `config.masters` asks for them and
    there are none, or where `folder` was begun with another configuration.
    """
    stamp = _stamp(config)
    claim(folder, stamp)
    sources = _sources(config, data_folder)
    for done, source in enumerate(sources, start=1):
        path = folder / source.split / f"{source.title}.npz"
        if not path.exists():
            write_shard(path, _shard(source, config))
        crops = folder / CROPS / f"{source.title}.npz"
        if source.render is None and config.gain_map_crops and not crops.exists():
            write_shard(crops, photo_crops(source, config.gain_map_crops, (config.width, config.height)))
        if progress is not None:
            progress(done, len(sources), source.title)
    manifest = _manifest(config, stamp, folder, sources)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _stamp(config: ItmDataConfig) -> str:
    text = json.dumps({"format": FORMAT_VERSION, **config.model_dump(mode="json")}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(config: ItmDataConfig, data_folder: Path | None) -> list[Source]:
    size = (config.width, config.height)
    found: list[Source] = []
    if config.masters:
        root = _data_folder(data_folder)
        views = (config.panorama_views, config.photograph_views)
        found += master_sources(root, config.seed, views, size)
        found += photo_titles(root)
        if not found:
            raise UsageError(
                f"{root} holds no hdr/ or pairs/ folder with masters: name another or set masters: false."
            )
    return [*found, *procedural_sources(config.titles, config.seed, size)]


def _data_folder(given: Path | None) -> Path:
    named = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if named is None or not named.is_dir():
        raise UsageError(
            f"The folder of HDR masters {named or '(none named)'} is not there: name it, set {DATA_VARIABLE}, "
            "or set masters: false."
        )
    return named


def _shard(source: Source, config: ItmDataConfig) -> Shard:
    rng = np.random.default_rng([config.seed, int.from_bytes(hashlib.sha256(source.title.encode()).digest()[:8]), 76])
    if source.render is None:
        return _photo_shard(source, config, rng)
    masters = source.render()
    graded = [(how, make_pairs(masters, how)) for how in _grades(source, config, rng, masters)]
    meta = [_meta(source, how, pairs, index) for how, pairs in graded for index in range(len(masters))]
    sdr = np.concatenate([pairs.sdr for _, pairs in graded])
    return Shard(source.title, source.split, sdr, np.concatenate([pairs.hdr for _, pairs in graded]), meta)


def _grades(source: Source, config: ItmDataConfig, rng: np.random.Generator, masters: Image) -> list[Grade]:
    """The grades of one title. Real masters get every curve, plain, and three seen ones with local work besides."""
    compression = [sample_compression(rng, config.compressed_share, config.crf) for _ in range(32)]
    curves: list[Curve]
    modes: list[Local]
    if source.origin == "procedural":
        local: Local = LOCAL_MODES[int(rng.integers(2))] if rng.random() < config.spatial_share else "none"
        seen = rng.permutation(len(SEEN_CURVES))[: config.seen_grades]
        unseen = rng.permutation(len(UNSEEN_CURVES))[: config.unseen_grades]
        curves = [*(SEEN_CURVES[i] for i in seen), *(UNSEEN_CURVES[i] for i in unseen)]
        modes = [local] * len(curves)
    else:
        plain: list[Local] = ["none"] * len(CURVES)
        again: list[Curve] = [SEEN_CURVES[int(rng.integers(len(SEEN_CURVES)))] for _ in range(3)]
        curves = [*SEEN_CURVES, *UNSEEN_CURVES, *again]
        modes = [*plain, "phone", "phone", "windows"]
    brightest, grades = float(masters.max()), []
    for curve, mode in zip(curves, modes, strict=True):
        recipe = sample_recipe(rng, curve, brightest)
        recipe = compensate(recipe, masters[int(rng.integers(len(masters)))], float(rng.uniform(0.3, 1.0)))
        grades.append(Grade(recipe, mode, int(rng.integers(2**31)), compression.pop()))
    return [*grades, *(broadcast_grade(rng, source.peak_nits) for _ in range(config.broadcast_grades))]


def _meta(source: Source, how: Grade, pairs: Pairs, frame: int) -> PairMeta:
    return PairMeta(
        title=source.title,
        source=source.origin,
        category=source.category,
        family=how.recipe.curve,
        unseen=how.unseen,
        spatial=how.local != "none",
        local=how.local,
        profile=how.profile,
        compressed=str(how.compression) if how.compression else None,
        mid_gain_ev=round(pairs.mid_gain_ev[frame], 4),
        anchor_ev=round(pairs.anchor_ev[frame], 4),
        peak_nits=round(float(pairs.hdr[frame].max()), 1),
        frame=frame,
    )


def _photo_shard(source: Source, config: ItmDataConfig, rng: np.random.Generator) -> Shard:
    """A gain-map photograph's own pairs: nothing is graded, some are compressed."""
    codings = [sample_compression(rng, config.compressed_share, config.crf) for _ in range(config.gain_map_views)]
    pairs = photo_pairs(source.files[0], rng, codings, (config.width, config.height))
    plain = [_meta(source, Grade(compression=how), pairs, index) for index, how in enumerate(codings)]
    own: dict[str, Any] = {"family": "gainmap", "spatial": True, "local": "gainmap", "profile": "native"}
    meta = [PairMeta(**{**entry, **own}) for entry in plain]
    return Shard(source.title, source.split, pairs.sdr, pairs.hdr, meta)


def _manifest(config: ItmDataConfig, stamp: str, folder: Path, sources: list[Source]) -> dict[str, Any]:
    """Counts are read back from the shards, so the manifest also says that every one of them can be read."""
    titles, families = {}, Counter[str]()
    for source in sources:
        meta = read_shard(folder / source.split / f"{source.title}.npz", source.split, arrays=False).meta
        families.update(pair["family"] for pair in meta)
        titles[source.title] = {
            "split": source.split,
            "source": source.origin,
            "category": source.category,
            "pairs": len(meta),
            "spatial": any(pair["spatial"] for pair in meta),
        }
    used = {source.origin for source in sources}
    return {
        "version": FORMAT_VERSION,
        "seed": config.seed,
        "config_sha256": stamp,
        "config": config.model_dump(mode="json"),
        "credits": {origin: credit for origin, credit in CREDITS.items() if origin in used},
        "unseen_families": list(UNSEEN_CURVES),
        "counts": {
            "titles": len(titles),
            "pairs": sum(families.values()),
            "titles_by_split": dict(sorted(Counter(title["split"] for title in titles.values()).items())),
            "pairs_by_family": dict(sorted(families.items())),
        },
        "titles": titles,
    }
