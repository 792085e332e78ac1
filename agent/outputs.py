"""Checks of paths before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.video.output import CONTAINERS_OF, Codec, container_for


def check_input(path: Path) -> Path:
    """The absolute path of a readable, non-empty regular file. Raises InputError otherwise."""
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path")
    if not path.is_file():
        raise InputError(f"{path} is not a file: give a video file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: check its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): give a video file")
    return path.resolve()


def default_output(source: Path, codec: Codec) -> Path:
    """`video.mp4` becomes `video.hdr.mp4`; the container stays what it is where it can hold the codec."""
    own = source.suffix.lower()
    allowed = [f".{container}" for container in CONTAINERS_OF[codec]]
    return source.with_name(f"{source.stem}.hdr{own if own in allowed else allowed[0]}")


def check_output(source: Path, output: Path, codec: Codec, overwrite: bool) -> Path:
    """The absolute path of a file that may be written. Raises UsageError or EnvironmentNotReady otherwise."""
    container_for(output, codec)
    folder = output.parent.resolve()
    if not folder.is_dir():
        raise UsageError(f"the output folder {folder} does not exist: create it first")
    target = folder / output.name
    if target.exists() and target.samefile(source):
        raise UsageError(f"input and output are the same file, {source}: choose another output")
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already: pass --overwrite or choose another output")
    if not os.access(folder, os.W_OK):
        raise EnvironmentNotReady(f"cannot write into {folder}: choose a folder you may write to")
    return target
