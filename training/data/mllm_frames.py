"""Frames of the analyser's training set at the size that large models look at: PNG, losslessly, in one ZIP a shard.

The ZIP lies beside the shard's lines and holds `<id>.png` for each of them, uncompressed, so that one frame is read
without the others. It is hostile input.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image

from toolchain.errors import InputError
from toolchain.files import disk_errors, write_atomic
from training.data.distortions_detail import Picture

LARGEST_SIDE_PX = 4096
LARGEST_BYTES = 64 * 2**20
"""Of one frame's PNG: more than 4096 x 4096 pixels of noise take."""
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    SyntaxError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)
"""What zipfile and PIL raise about files that are damaged or made to harm."""


def frames_path(lines_path: Path) -> Path:
    return lines_path.with_suffix(".frames.zip")


def shrunk(frame: Picture, side_px: int) -> Picture:
    """The (H, W, 3) frame with its longer side at most `side_px`; never enlarged."""
    height, width = frame.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    if scale == 1.0:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def png(frame: Picture) -> bytes:
    """An (H, W, 3) uint8 R'G'B' picture as PNG."""
    made, data = cv2.imencode(".png", frame[..., ::-1])
    if not made:
        raise InputError(f"A picture of {frame.dtype}{frame.shape} cannot be stored: give (H, W, 3) uint8.")
    return data.tobytes()


def write_frames(path: Path, frames: Mapping[str, bytes]) -> None:
    """PNGs by their samples' ids -> a file, whole or not there at all."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, data in frames.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.png"), data)  # ZipInfo: the same bytes whenever it is made
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, memory.getvalue())


class FrameFile:
    """The frames of one shard, each read when it is asked for. InputError for one missing, broken or too large."""

    def __init__(self, path: Path, ids: Iterable[str]) -> None:
        self._path = path
        with self._told(), zipfile.ZipFile(path) as archive:
            for name in ids:
                member = archive.getinfo(f"{name}.png")
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > LARGEST_BYTES:
                    raise ValueError(f"{member.filename} is compressed or of more than {LARGEST_BYTES} bytes")

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of a sample's frame."""
        with self._told(), self._opened(name) as image:
            return image.size

    def read(self, name: str) -> Picture:
        """(H, W, 3) uint8 R'G'B'."""
        with self._told(), self._opened(name) as image:
            return np.array(image)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Image.Image]:
        with (
            zipfile.ZipFile(self._path) as archive,
            archive.open(f"{name}.png") as file,
            _image(file) as image,
        ):
            yield image

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise InputError(
                f"{self._path} does not hold the shard's frames ({error}): delete the shard and build the set again."
            ) from error


def _image(file: IO[bytes]) -> Image.Image:
    """A PNG's head; ValueError for what is no RGB picture of a size that is stored."""
    image = Image.open(file, formats=("PNG",))
    if image.mode != "RGB" or max(image.size) > LARGEST_SIDE_PX:
        raise ValueError(f"a picture of {image.mode} {image.size}, RGB of at most {LARGEST_SIDE_PX} is due")
    return image
