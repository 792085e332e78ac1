"""Shards of SDR/HDR pairs on disk: what one holds, how it is written and read. Files are hostile input."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.files import disk_errors, write_atomic

MANIFEST = "manifest.json"
_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class PairMeta(TypedDict):
    """What is known of one pair."""

    title: str
    source: str
    category: str
    family: str
    """The grade's curve, or `gainmap`."""
    unseen: bool
    """The family is held out from every training."""
    spatial: bool
    local: str
    """none, phone (SDR locally compressed), windows (HDR locally graded) or gainmap."""
    profile: str
    """anchored, broadcast (the master as bright as it was) or native (a photograph as published)."""
    compressed: str | None
    mid_gain_ev: float
    """What the HDR picture's mid-tones have over the SDR picture's at 203 nits; about 0 where anchored."""
    anchor_ev: float
    """What anchoring took off the master: the master as graded is hdr * 2^anchor_ev. 0 where it was left alone."""
    peak_nits: float
    """Brightest component of the HDR picture."""
    frame: int


@dataclass(frozen=True)
class Shard:
    """All pairs of one title."""

    title: str
    split: str
    sdr: NDArray[np.uint8]
    hdr: NDArray[np.float16]
    meta: list[PairMeta]


def write_shard(path: Path, shard: Shard) -> None:
    """Write the shard under a temporary name, then rename: it is whole or absent."""
    memory = io.BytesIO()
    arrays = {"sdr": shard.sdr, "hdr": shard.hdr, "meta": np.array(json.dumps(shard.meta))}
    # numpy's own savez_compressed has no level, and the default one takes longer than drawing the pictures.
    with zipfile.ZipFile(memory, "w") as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, allow_pickle=False)
            # A ZipInfo of our own carries no clock time: the same pairs give the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, memory.getvalue())


def read_shard(path: Path, split: str, arrays: bool = True) -> Shard:
    """One shard; with `arrays` False only `meta` is read, the pictures are left empty. InputError if broken."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            sdr = file["sdr"] if arrays else np.empty((0, 0, 0, 3), np.uint8)
            hdr = file["hdr"] if arrays else np.empty((0, 0, 0, 3), np.float16)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not a readable shard ({error}): delete it and build the set again.") from error
    if sdr.dtype != np.uint8 or hdr.dtype != np.float16 or sdr.shape != hdr.shape or sdr.shape[-1:] != (3,):
        raise InputError(
            f"{path} holds {sdr.dtype}{sdr.shape} and {hdr.dtype}{hdr.shape}: (N, H, W, 3) twice is due."
        )
    if not isinstance(meta, list) or (arrays and len(meta) != len(sdr)):
        raise InputError(
            f"{path} describes another number of pairs than it holds: delete it and build the set again."
        )
    return Shard(path.stem, split, sdr, hdr, meta)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished set; InputError where there is none or it names no titles."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{folder} is not a finished set of pairs ({error}): build it with `build`.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("titles"), dict):
        raise InputError(f"{folder / MANIFEST} names no titles: build the set again.")
    return manifest


def load(
    folder: Path,
    splits: Collection[str] | None = None,
    keep: Callable[[PairMeta], bool] | None = None,
) -> Iterator[Shard]:
    """The set's shards, title by title in the manifest's order; only `splits` if given, only pairs that `keep` takes.

    Shards without a pair left are passed over. Raises InputError for an unfinished set or a broken shard.
    """
    for title, entry in read_manifest(folder)["titles"].items():
        split = entry.get("split") if isinstance(entry, dict) else None
        if not isinstance(split, str) or not _SAFE_NAME.fullmatch(split) or not _SAFE_NAME.fullmatch(title):
            raise InputError(f"{folder / MANIFEST} names the title {title!r} in {split!r}: build the set again.")
        if splits is not None and split not in splits:
            continue
        shard = read_shard(folder / split / f"{title}.npz", split)
        chosen = [index for index, pair in enumerate(shard.meta) if keep is None or keep(pair)]
        if chosen:
            meta = [shard.meta[index] for index in chosen]
            yield Shard(title, split, shard.sdr[chosen], shard.hdr[chosen], meta)
