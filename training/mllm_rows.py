"""Samples of the analyser's training set at random places, without reading the set into memory."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.mllm.diagnostic import PICTURE_SIZE
from analysis.mllm.families import Family, JsonFamily, Size
from toolchain.errors import InputError
from training.data.mllm_frames import FrameFile, frames_path
from training.data.mllm_shards import PICTURE_SHAPE, STATISTICS_SHAPE, Line, read_lines, shards

_LOCAL_HEADER = 30
"""Bytes of a ZIP member's header before its name (PKWARE APPNOTE 6.3.10, section 4.3.7)."""


@dataclass(frozen=True)
class Place:
    """One sample: its line, and where its arrays are."""

    line: Line
    shard: int
    index: int


class Rows:
    """A split of a set, or `most` of it, evenly chosen. InputError where a shard is missing or broken.

    Where the set stores frames, the large families are shown them; the compact one sees the shrunk picture always.
    """

    def __init__(self, folder: Path, split: str, most: int | None = None):
        self.places: list[Place] = []
        self._arrays: list[dict[str, NDArray[np.uint8]]] = []
        self._frames: dict[int, FrameFile] = {}
        for number, path in enumerate(shards(folder, split)):
            lines = read_lines(path)
            arrays = path.with_suffix(".npz")
            self._arrays.append(
                {
                    "picture": _mapped(arrays, "picture", (len(lines), *PICTURE_SHAPE)),
                    "statistics": _mapped(arrays, "statistics", (len(lines), *STATISTICS_SHAPE)),
                }
            )
            if frames_path(path).exists():
                self._frames[number] = FrameFile(frames_path(path), [line.id for line in lines])
            self.places += [Place(line, number, index) for index, line in enumerate(lines)]
        if self._frames and (bare := {place.shard for place in self.places} - self._frames.keys()):
            raise InputError(
                f"{folder / split} has frames, but not of {len(bare)} shards: delete these, build again."
            )
        if most is not None and most < len(self.places):
            self.places = [self.places[i] for i in np.linspace(0, len(self.places) - 1, most).astype(int)]

    def __len__(self) -> int:
        return len(self.places)

    def picture(self, row: int) -> NDArray[np.uint8]:
        """(140, 224, 3): the frame shrunk."""
        return self._array(row, "picture")

    def shown(self, row: int, asked: Family) -> NDArray[np.uint8]:
        """(H, W, 3): the frame as a model of that family is shown it."""
        if isinstance(asked, JsonFamily) and self._frames:
            place = self.places[row]
            return asked.shown(self._frames[place.shard].read(place.line.id))
        return self.picture(row)

    def shown_size(self, row: int, asked: Family) -> Size:
        """Width and height of `shown`."""
        if isinstance(asked, JsonFamily) and self._frames:
            place = self.places[row]
            return asked.picture_size(*self._frames[place.shard].size(place.line.id))
        return PICTURE_SIZE

    def statistics(self, row: int) -> NDArray[np.uint8]:
        """(9, 16, 48)."""
        return self._array(row, "statistics")

    def line(self, row: int) -> Line:
        return self.places[row].line

    def _array(self, row: int, name: str) -> NDArray[np.uint8]:
        place = self.places[row]
        return np.array(self._arrays[place.shard][name][place.index])


def _mapped(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One array of an uncompressed .npz, read from disk when it is looked at."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("its arrays are compressed")
        with path.open("rb") as file:
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER)
            name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(member.header_offset + _LOCAL_HEADER + name_and_extra)
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"it has arrays of format {version}")
            found, in_fortran_order, kind = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        if found != shape or kind != np.uint8 or in_fortran_order:
            raise ValueError(f"it holds {kind}{found}, uint8{shape} is due")
        return np.memmap(path, np.uint8, "r", start, shape)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a readable shard ({error}): delete it and build the set again") from error
