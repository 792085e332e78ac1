"""Clips for the judging network on disk: what it sees of each version and what reference metrics say of it.

    <folder>/manifest.json                written last: a folder without one is not finished
    <folder>/<split>/<title>.key.npy      uint16 (V, 256, 448, 3): `analysis.vqa.display.key_picture` of frame 16
    <folder>/<split>/<title>.motion.npy   uint16 (V, 32, 72, 128, 3): `motion_picture` of every frame
    <folder>/<split>/<title>.json         V rows (`Row`), in the same order

Splits are train, validation and test, by title. Pictures are 65535 times their value. Files are hostile input.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from analysis.vqa.display import CLIP_FRAMES, KEY_SIZE, MOTION_SIZE
from toolchain.errors import InputError
from toolchain.files import disk_errors, write_atomic

MANIFEST = "manifest.json"
SPLITS = ("train", "validation", "test")
FULL = 65535
"""The stored value of 1.0."""
Part = Literal["key", "motion"]
SHAPES: dict[Part, tuple[int, ...]] = {
    "key": (KEY_SIZE[1], KEY_SIZE[0], 3),
    "motion": (CLIP_FRAMES, MOTION_SIZE[1], MOTION_SIZE[0], 3),
}
_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


@dataclass(frozen=True)
class Row:
    """One version of a title's clip."""

    title: str
    split: str
    origin: str
    version: int
    """Its place in the title's arrays."""
    kind: str
    """What was done to it: `master`, `direct203`, a model, a damage, or two of them joined by `+`."""
    strength: str
    """none, light, medium or severe."""
    labels: dict[str, float]
    """Quality by each reference metric that was measured, in [0, 1]; 1 is the master."""
    raw: dict[str, float]
    """The metrics themselves, in their own units."""
    base: int
    """The version of the same title that is its SDR picture shown at 203 nits."""
    carrier: str = "master"
    """What was damaged: the master, direct203, a model's rendition, or the SDR picture before a model expanded it."""


_ROWS = TypeAdapter(list[Row])


def stored(pictures: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Pictures in [0, 1] as they lie on disk."""
    return np.rint(np.clip(pictures, 0.0, 1.0) * np.float32(FULL)).astype(np.uint16)


def write_title(folder: Path, rows: list[Row], key: NDArray[np.uint16], motion: NDArray[np.uint16]) -> None:
    """One title's arrays, then its rows: a title whose rows are there is whole."""
    home, title = folder / rows[0].split, rows[0].title
    with disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    parts: dict[Part, NDArray[np.uint16]] = {"key": key, "motion": motion}
    for part, array in parts.items():
        memory = io.BytesIO()
        np.lib.format.write_array(memory, array, allow_pickle=False)
        write_atomic(home / f"{title}.{part}.npy", memory.getvalue())
    write_rows(folder, rows)


def write_rows(folder: Path, rows: list[Row]) -> None:
    """One title's rows, in place of those that were there."""
    text = json.dumps([asdict(row) for row in rows], indent=1, allow_nan=False)
    write_atomic(folder / rows[0].split / f"{rows[0].title}.json", text)


def read_rows(folder: Path, split: str, title: str) -> list[Row]:
    """A title's rows; InputError where they are not there or not rows of that title."""
    path = folder / split / f"{title}.json"
    try:
        rows = _ROWS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path} does not hold a title's rows ({error}): delete it and build the set again."
        ) from error
    numbers = [value for row in rows for value in row.labels.values()]
    if not rows or any(
        (row.title, row.split, row.version) != (title, split, index) or not 0 <= row.base < len(rows)
        for index, row in enumerate(rows)
    ):
        raise InputError(f"{path} holds rows of another title: delete it and build the set again.")
    if not all(0.0 <= value <= 1.0 for value in numbers):
        raise InputError(f"{path} holds a label outside 0 to 1: delete it and build the set again.")
    return rows


@dataclass(frozen=True)
class VqaData:
    """A finished set. Pictures are read from disk when they are asked for."""

    folder: Path
    manifest: dict[str, Any]
    titles: dict[str, list[Row]]

    def rows(self, split: str, label: str | None = None) -> list[Row]:
        """All versions of a split in a fixed order; only those that have the label, if one is named."""
        rows = [row for rows in self.titles.values() for row in rows if row.split == split]
        return rows if label is None else [row for row in rows if label in row.labels]

    def label_names(self) -> tuple[str, ...]:
        """The label sources, each a data set of its own."""
        return tuple(sorted({name for rows in self.titles.values() for row in rows for name in row.labels}))

    def key(self, row: Row) -> NDArray[np.uint16]:
        """(256, 448, 3); over 65535 it is what `key_picture` gave."""
        return self._part(row, "key")

    def motion(self, row: Row) -> NDArray[np.uint16]:
        """(32, 72, 128, 3); over 65535 it is what `motion_picture` gave."""
        return self._part(row, "motion")

    def _part(self, row: Row, part: Part) -> NDArray[np.uint16]:
        array = read_part(self.folder, row.split, row.title, part)
        if len(array) != len(self.titles[row.title]):
            raise InputError(f"{row.title} has {len(array)} {part} arrays and other rows: build the set again.")
        return np.array(array[row.version])


def read_part(folder: Path, split: str, title: str, part: Part) -> NDArray[np.uint16]:
    """All versions of a title's key or motion pictures, left on disk until they are read; InputError if broken."""
    path = folder / split / f"{title}.{part}.npy"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a readable array ({error}): build the set again.") from error
    if array.dtype != np.uint16 or array.shape[1:] != SHAPES[part]:
        raise InputError(
            f"{path} holds {array.dtype}{array.shape}, uint16 of (V, *{SHAPES[part]}) is due: build the set again."
        )
    return array


def load(folder: Path) -> VqaData:
    """The set in a folder; InputError for an unfinished set or broken rows."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{folder} is not a finished set of clips ({error}): build it with vqa-data.") from error
    listed = manifest.get("titles") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict):
        raise InputError(f"{folder / MANIFEST} names no titles: build the set again.")
    titles = {}
    for title, split in listed.items():
        if split not in SPLITS or not _SAFE_NAME.fullmatch(title):
            raise InputError(f"{folder / MANIFEST} names the title {title!r} in {split!r}: build the set again.")
        titles[title] = read_rows(folder, split, title)
    return VqaData(folder, manifest, titles)
