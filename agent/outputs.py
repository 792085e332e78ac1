"""Checks of what a user asked for, before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from toolchain.errors import EnvironmentNotReady, InputError, UsageError
from toolchain.video.output import CONTAINERS_OF, Codec, container_for

_NAME_MAX_BYTES = 255
"""The longest file name of Linux's usual file systems."""


def check_model(model_id: str | None) -> None:
    """Raises UsageError for a model that does not exist or does not make HDR, EnvironmentNotReady for one whose
    weights are not installed; None means any."""
    if model_id is not None:
        from toolchain.models.registry import get_model  # NumPy and all: only where it is needed
        from toolchain.models.weights import require_installed

        require_installed(get_model(model_id).spec)


def check_input(path: Path, kind: str = "video") -> Path:
    """The absolute path of a readable, non-empty regular file. Raises InputError otherwise."""
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path")
        if not path.is_file():
            raise InputError(f"{path} is not a file: give a {kind} file")
        if not os.access(path, os.R_OK):
            raise InputError(f"{path} cannot be read: check its permissions")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): give a {kind} file")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from None
    resolved = path.resolve()
    if not _is_text(resolved):
        raise InputError(f"{resolved} has a name that is not UTF-8: rename it")
    return resolved


def default_output(source: Path, codec: Codec) -> Path:
    """`video.mp4` becomes `video.hdr.mp4`; the container stays what it is where it can hold the codec."""
    own = source.suffix.lower()
    allowed = [f".{container}" for container in CONTAINERS_OF[codec]]
    return source.with_name(f"{source.stem}.hdr{own if own in allowed else allowed[0]}")


def manifest_path(output: Path) -> Path:
    """Where the manifest of `output` lies: beside it, `<name>.manifest.json`."""
    return output.with_name(output.name + ".manifest.json")


def check_output(source: Path, output: Path, codec: Codec, overwrite: bool) -> Path:
    """The absolute path of a file that may be written. Raises UsageError or EnvironmentNotReady otherwise.

    A link to a file counts as that file; with `overwrite` the link is replaced and the file it names stays.
    """
    container_for(output, codec)
    try:
        target = _check_name(output)
        _check_free(source, target, overwrite)
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error.strerror}): choose another output") from None
    if not os.access(target.parent, os.W_OK):
        raise EnvironmentNotReady(f"cannot write into {target.parent}: choose a folder you may write to")
    return target


def _check_name(output: Path) -> Path:
    manifest_bytes = len(os.fsencode(manifest_path(output).name))
    if manifest_bytes > _NAME_MAX_BYTES:
        raise UsageError(
            f"the output name is {manifest_bytes - _NAME_MAX_BYTES} bytes too long: with .manifest.json it may have "
            f"{_NAME_MAX_BYTES} bytes; choose a shorter one"
        )
    folder = output.parent.resolve()
    if not folder.is_dir():
        raise UsageError(f"the output folder {folder} does not exist: create it first")
    if not _is_text(folder / output.name):
        raise UsageError(f"the output {folder / output.name} has a name that is not UTF-8: choose another")
    return folder / output.name


def _check_free(source: Path, target: Path, overwrite: bool) -> None:
    if target.is_symlink() and not target.exists():
        raise UsageError(f"{target} is a link to a file that does not exist: remove it or choose another output")
    if target.exists() and target.samefile(source):
        raise UsageError(f"input and output are the same file, {source}: choose another output")
    for path in (target, manifest_path(target)):
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file")
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path} exists already: pass --overwrite or choose another output")


def _is_text(path: Path) -> bool:
    """Names travel as JSON: bytes that are not UTF-8 (surrogates in Python) have no place there."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
