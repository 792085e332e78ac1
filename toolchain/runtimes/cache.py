"""Built files (ONNX graphs, compiled models, TensorRT engines): made once, whole or absent, found again by their key.

<folder>/<kind>-<hash>.onnx        the artefact
<folder>/<kind>-<hash>.onnx.json   its sidecar: key in clear, SHA-256, what the builder reported, when, by whom
<folder>/.<kind>-<hash>.onnx.lock  held by the process that builds it; the lock goes with the process
<folder>/.<kind>-<hash>.tmp.onnx   while it is built; what a killed builder leaves is removed by the next build
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from toolchain.errors import EngineBuildError, EnvironmentNotReady
from toolchain.files import cache_folder, disk_errors, fsync_file, fsync_folder, sha256_file, write_atomic

Key = Mapping[str, object]
"""What decides the content, as JSON values: hashes of inputs, versions of libraries, precision, shapes, flags."""

Facts = Mapping[str, object]
Build = Callable[[Path], Facts | None]
"""Writes the artefact to the path it is given; what it returns (JSON values) is kept in the sidecar, see `facts`."""


def engine_folder() -> Path:
    """Where built files are kept: $SDR2HDR_CACHE/engines, else `engines` in the user's cache folder. Not created."""
    return cache_folder() / "engines"


def artefact(folder: Path, key: Key, suffix: str, build: Build, check: Callable[[Path], bool]) -> Path:
    """The artefact of `key`, built if it is not there or is not what its sidecar says.

    `suffix` names the kind, with its dot (".onnx", ".engine"). Of several processes that want the same artefact one
    builds it and the others wait for it. A file that is truncated, altered or fails `check` is removed and rebuilt;
    if `check` refuses what was just built, EngineBuildError. EnvironmentNotReady when the disk is full or the folder
    cannot be written; then nothing is left behind. Errors of `build` itself pass through.
    """
    path = folder / f"{suffix.lstrip('.')}-{_digest(key)}{suffix}"
    if is_whole(path) and check(path):
        return path
    _make(folder)
    with _locked(path):
        if is_whole(path) and check(path):
            return path  # built by another process while this one waited
        discard(path)
        _sweep(folder)
        _build(path, key, build, check)
    return path


def facts(path: Path) -> dict[str, object]:
    """What the builder of an artefact reported, e.g. its parity. Empty where it reported nothing."""
    sidecar = _read_sidecar(path)
    reported = sidecar.get("facts")
    return reported if isinstance(reported, dict) else {}


def is_whole(path: Path) -> bool:
    """The file is, byte for byte, what was built under this name."""
    return path.is_file() and _read_sidecar(path).get("sha256") == sha256_file(path)


def discard(path: Path) -> None:
    """Remove an artefact that turned out useless, e.g. an engine its library refuses to load."""
    with disk_errors(path):
        path.unlink(missing_ok=True)
        _sidecar(path).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EnvironmentNotReady(
            f"{folder} cannot be made, a file is in the way: remove it, or set SDR2HDR_CACHE to another folder"
        ) from error


def _digest(key: Key) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


def _build(path: Path, key: Key, build: Build, check: Callable[[Path], bool]) -> None:
    temporary = _temporary(path)
    temporary.unlink(missing_ok=True)
    with disk_errors(path):
        try:
            reported = build(temporary)
            if not (temporary.is_file() and check(temporary)):
                raise EngineBuildError(
                    f"what was built as {path.name} does not pass its check: look for free space in {path.parent}, "
                    "then run the same command again"
                )
            fsync_file(temporary)
            record = _record(temporary, key, reported)
            temporary.replace(path)
            write_atomic(_sidecar(path), record)
        except BaseException:
            temporary.unlink(missing_ok=True)
            if not _sidecar(path).exists():
                path.unlink(missing_ok=True)
            raise
    fsync_folder(path.parent)


def _record(temporary: Path, key: Key, reported: Facts | None) -> str:
    record = {
        "key": dict(key),
        "sha256": sha256_file(temporary),
        "facts": dict(reported or {}),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": f"sdr2hdr-agent {version('sdr2hdr-agent')}",
    }
    return json.dumps(record, indent=2, sort_keys=True)


def _read_sidecar(path: Path) -> dict[str, object]:
    """Empty where there is none that can be read: then the artefact counts as absent."""
    try:
        record = json.loads(_sidecar(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _temporary(path: Path) -> Path:
    """Ends as the artefact does: some libraries choose the format by the name's end."""
    return path.with_name(f".{path.stem}.tmp{path.suffix}")


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the artefact's lock. Without `wait` a lock that another process holds raises BlockingIOError."""
    with disk_errors(path):
        file = _lock_file(path).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            raise EnvironmentNotReady(
                f"{path.parent} allows no locks ({error.strerror}): set SDR2HDR_CACHE to a folder on a local disk"
            ) from error
        yield


def _sweep(folder: Path) -> None:
    """Remove what killed builders left of any artefact; one that is being built holds its lock."""
    for temporary in folder.glob(".*.tmp.*"):
        path = folder / (temporary.stem.removeprefix(".").removesuffix(".tmp") + temporary.suffix)
        with contextlib.suppress(BlockingIOError), _locked(path, wait=False):
            temporary.unlink(missing_ok=True)
