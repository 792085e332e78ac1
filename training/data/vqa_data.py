"""The judging network's training set: clips, their versions, and what reference metrics say of each.

One pass over the titles; a finished title is never made again, so a stopped build goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.vqa.display import CLIP_FRAMES, key_picture, motion_picture
from toolchain.errors import InputError, UsageError
from toolchain.files import write_atomic
from training.data.folders import claim
from training.data.itm_sources import CREDITS
from training.data.vqa_jod import JOD_ERRORS, check, jod_losses
from training.data.vqa_labels import RAW, LabelMap, Reference, label_luma
from training.data.vqa_shards import (
    MANIFEST,
    Row,
    VqaData,
    load,
    read_part,
    read_rows,
    stored,
    write_rows,
    write_title,
)
from training.data.vqa_sources import VqaTitle, drawn_titles, photo_titles, scene_titles
from training.data.vqa_tone import TONE_ERRORS, tone_free_errors
from training.data.vqa_versions import BASE, graded_pair, plans, rendered
from training.recipe import load_recipe

FORMAT_VERSION = 2
"""2: further titles for training, and errors without the tone choice (`training.data.vqa_tone`)."""
DATA_VARIABLE = "SDR2HDR_DATA"
LATE = {JOD_ERRORS: jod_losses, TONE_ERRORS: tone_free_errors}
"""Errors that are measured on a title's stored key and motion pictures, where a label wants them."""
Progress = Callable[[int, int, str], None]
"""Called after each title with (titles done, titles in all, its name)."""


class VqaDataConfig(BaseModel):
    """What the set holds; `configs/training/vqa_data.yaml` is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=7, ge=0)
    drawn: Annotated[int, Field(ge=0, le=100_000)] = 160
    """Procedural titles under a moving camera."""
    scenes: Annotated[int, Field(ge=0, le=1000)] = 6
    """Layouts of each of the scenes that truly move."""
    photo_shots: Annotated[int, Field(ge=0, le=100)] = 4
    """Shots of each photograph and panorama below the data folder; 0: procedural titles alone."""
    damages: Annotated[int, Field(ge=0, le=75)] = 6
    """Damaged versions of each title."""
    renditions: Annotated[int, Field(ge=0, le=6)] = 2
    """Undamaged renditions by models of each title."""
    more_drawn: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Further drawn titles of which only those of the training split are made: the others stay what they are."""
    more_scenes: Annotated[int, Field(ge=0, le=1000)] = 0
    more_shots: Annotated[int, Field(ge=0, le=100)] = 0
    labels: dict[str, LabelMap] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_errors(self) -> VqaDataConfig:
        unknown = {name for label in self.labels.values() for name in label.of} - RAW.keys()
        if unknown:
            raise ValueError(f"no error is called {', '.join(sorted(unknown))}: there are {', '.join(RAW)}")
        return self


def build_from_yaml(
    path: Path, folder: Path, data_folder: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """`build` with the configuration of a YAML file; UsageError says what in it is wrong. Returns the manifest."""
    return build(load_recipe(path, VqaDataConfig, "clips for the judging network"), folder, data_folder, progress)


def build(
    config: VqaDataConfig, folder: Path, data_folder: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the set into `folder` and return its manifest. Titles already there are kept: a stopped build resumes.

    Photographs are read below `data_folder`, else $SDR2HDR_DATA; UsageError where the configuration asks for them
    and there are none, or where `folder` was begun with another configuration.
    """
    stamp = _stamp(config)
    if any(not how.of.keys().isdisjoint(JOD_ERRORS) for how in config.labels.values()):
        check()
    titles = _titles(config, data_folder)
    claim(folder, stamp)
    _unfinish(folder, config)
    for order, title in enumerate(titles):
        if not (folder / title.split / f"{title.name}.json").exists():
            _make(title, order, config, folder)
        if progress is not None:
            progress(order + 1, len(titles), title.name)
    for title in titles:
        _label_anew(title, config, folder)
    manifest = _manifest(config, stamp, folder, titles)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _stamp(config: VqaDataConfig) -> str:
    text = json.dumps(
        {"format": FORMAT_VERSION, **config.model_dump(mode="json", exclude={"labels"})}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _unfinish(folder: Path, config: VqaDataConfig) -> None:
    """A set with other labels is none until all of its rows have those asked for: the two are never mixed."""
    try:
        labels = load(folder).manifest["config"]["labels"]
    except (InputError, KeyError, TypeError):
        labels = None
    if labels != config.model_dump(mode="json")["labels"]:
        (folder / MANIFEST).unlink(missing_ok=True)


def _titles(config: VqaDataConfig, data_folder: Path | None) -> list[VqaTitle]:
    """Origins mixed, so that a build that was stopped has some of each; those for training alone come last."""
    found = _mixed(config, data_folder)
    if not found:
        raise UsageError("The set would hold no title: ask for drawn, scenes or photo_shots.")
    larger = {name: getattr(config, name) + more for name, more in _more(config).items()}
    if not any(_more(config).values()):
        return found
    known = {title.name for title in found}
    further = _mixed(config.model_copy(update=larger), data_folder)
    return found + [title for title in further if title.name not in known and title.split == "train"]


def _more(config: VqaDataConfig) -> dict[str, int]:
    return {"drawn": config.more_drawn, "scenes": config.more_scenes, "photo_shots": config.more_shots}


def _mixed(config: VqaDataConfig, data_folder: Path | None) -> list[VqaTitle]:
    photos = _photos(config, data_folder) if config.photo_shots else []
    found = [*photos, *scene_titles(config.scenes, config.seed), *drawn_titles(config.drawn, config.seed)]
    return sorted(found, key=lambda title: hashlib.sha256(title.name.encode()).digest())


def _photos(config: VqaDataConfig, given: Path | None) -> list[VqaTitle]:
    named = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    found = photo_titles(named, config.photo_shots, config.seed) if named is not None else []
    if not found:
        raise UsageError(
            f"{named or '(no data folder named)'} holds no photographs in hdr/ or pairs/: name another, set "
            f"{DATA_VARIABLE}, or set photo_shots: 0."
        )
    return found


# One title


def _make(title: VqaTitle, order: int, config: VqaDataConfig, folder: Path) -> None:
    """Every version's pictures and errors, with one version in memory at a time."""
    todo = plans(order, config.damages, config.renditions, config.seed)
    pair = graded_pair(title.render(), np.random.default_rng([config.seed, order, 94]))
    reference = Reference(pair.master)
    keys, motions, lumas, raws = [], [], [], []
    for clip in rendered(pair, todo, (config.seed, order)):
        keys.append(stored(key_picture(clip[CLIP_FRAMES // 2])))
        motions.append(stored(np.stack([motion_picture(picture) for picture in clip])))
        lumas.append(label_luma(clip))
        raws.append(reference.tone_errors(clip))
    for raw, more in zip(raws, reference.luma_errors(lumas), strict=True):
        raw.update(more)
    rows = [
        Row(
            title=title.name,
            split=title.split,
            origin=title.origin,
            version=version,
            kind=plan.kind,
            strength=plan.strength,
            labels={},
            raw={name: round(value, 6) for name, value in raw.items()},
            base=BASE,
            carrier=plan.carrier,
        )
        for version, (plan, raw) in enumerate(zip(todo, raws, strict=True))
    ]
    write_title(folder, _labelled(rows, config), np.stack(keys), np.stack(motions))


def _label_anew(title: VqaTitle, config: VqaDataConfig, folder: Path) -> None:
    """The late errors where they are wanted and not there yet, then labels by the maps of this configuration.

    Maps may change without a picture being made again.
    """
    rows = read_rows(folder, title.split, title.name)
    for errors, measure in LATE.items():
        if _wants(errors, rows[0], config):
            key, motion = (read_part(folder, title.split, title.name, part) for part in ("key", "motion"))
            found = zip(rows, measure(key, motion), strict=True)
            rows = [replace(row, raw={**row.raw, **more}) for row, more in found]
    labelled = _labelled(rows, config)
    if labelled != read_rows(folder, title.split, title.name):
        write_rows(folder, labelled)


def _wants(errors: tuple[str, ...], row: Row, config: VqaDataConfig) -> bool:
    """Whether a label that this title gets needs these errors and they are not there."""
    wanted = [how for name, how in config.labels.items() if how.wanted(name, row.title, row.split)]
    return any(not how.of.keys().isdisjoint(errors) for how in wanted) and errors[0] not in row.raw


def _labelled(rows: list[Row], config: VqaDataConfig) -> list[Row]:
    """The rows with the labels that this configuration's maps give their errors."""
    return [replace(row, labels=_labels(row, config)) for row in rows]


def _labels(row: Row, config: VqaDataConfig) -> dict[str, float]:
    errors = {
        name: how.error(row.raw) for name, how in config.labels.items() if how.wanted(name, row.title, row.split)
    }
    return {name: round(config.labels[name].quality(e), 5) for name, e in errors.items() if e is not None}


def _manifest(config: VqaDataConfig, stamp: str, folder: Path, titles: list[VqaTitle]) -> dict[str, Any]:
    """Counts are read back from the rows, so the manifest also says that every one of them can be read."""
    rows = [row for title in titles for row in read_rows(folder, title.split, title.name)]
    used = {row.origin for row in rows}
    return {
        "version": FORMAT_VERSION,
        "config_sha256": stamp,
        "config": config.model_dump(mode="json"),
        "credits": {origin: credit for origin, credit in CREDITS.items() if origin in used},
        "errors": RAW,
        "counts": {
            "titles": len(titles),
            "versions": len(rows),
            "titles_by_split": dict(sorted(Counter(title.split for title in titles).items())),
            "versions_by_label": dict(sorted(Counter(name for row in rows for name in row.labels).items())),
            "versions_by_carrier": dict(sorted(Counter(row.carrier for row in rows).items())),
        },
        "titles": {title.name: title.split for title in titles},
    }


__all__ = ["VqaData", "VqaDataConfig", "build", "build_from_yaml", "load"]
