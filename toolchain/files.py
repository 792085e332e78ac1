"""Files that are whole or absent: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from toolchain.errors import EnvironmentNotReady, UsageError

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
"""What making a hard link fails with on file systems that have none (exFAT, many network shares)."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing fails with when there is no room: on the disk, in the quota, under the file size limit."""


def cache_folder() -> Path:
    """$SDR2HDR_CACHE, else the user's cache folder (XDG on Linux): what can be made or fetched again. Not created."""
    given = os.environ.get("SDR2HDR_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("sdr2hdr-agent")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors on `path` into one sentence with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise EnvironmentNotReady(
                f"no space left to write {path}: free some disk space, then run the same command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise EnvironmentNotReady(
                f"cannot write {path} ({error.strerror}): choose a folder you may write to"
            ) from error
        raise


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` under a temporary name beside `path`, fsync, rename over `path`.

    The temporary name holds the process id: two writers of one file never share a half-written one.
    """
    payload = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    fsync_folder(path.parent)


def publish(temporary: Path, final: Path, overwrite: bool) -> None:
    """Give a finished file its final name. Without `overwrite` an existing file is never replaced.

    Raises UsageError when `final` exists and may not be replaced; `temporary` is left as it is then.
    """
    fsync_file(temporary)
    with disk_errors(final):
        if overwrite:
            temporary.replace(final)
        else:
            _take_free_name(temporary, final)
    fsync_folder(final.parent)


def _take_free_name(temporary: Path, final: Path) -> None:
    try:
        final.hardlink_to(temporary)
    except FileExistsError:
        # A crash between link and unlink leaves both names on one file: that is a finished publish.
        if not (final.exists() and final.samefile(temporary)):
            raise _taken(final) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _reserve_and_replace(temporary, final)
        return
    temporary.unlink()


def _reserve_and_replace(temporary: Path, final: Path) -> None:
    """For file systems without hard links: an empty file of ours holds the name for the moment of the rename."""
    try:
        final.open("x").close()
    except FileExistsError:
        raise _taken(final) from None
    try:
        temporary.replace(final)
    except BaseException:
        final.unlink(missing_ok=True)
        raise


def _taken(final: Path) -> UsageError:
    return UsageError(f"{final} exists already: pass --overwrite or choose another output")


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
