"""Fetching one published weights file: over https, resumed, bounded in size, under its name only when it is right."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from toolchain.errors import AgentError, EnvironmentNotReady, InputError
from toolchain.files import disk_errors, publish, sha256_file
from toolchain.models.spec import WeightsSpec

BytesDone = Callable[[int, int], None]
"""Called with (bytes done, bytes in total) as they arrive."""

TIMEOUT_S = 30.0
"""A server that says nothing for so long is taken for gone."""

_CHUNK_BYTES = 1 << 16
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def https_opener(https: HTTPSHandler | None = None) -> OpenerDirector:
    """Opens https URLs and follows redirects to https; no other scheme has a handler, so all others are refused."""
    opener = OpenerDirector()
    secure = https or HTTPSHandler(context=ssl.create_default_context())
    for handler in (
        ProxyHandler(),
        UnknownHandler(),
        secure,
        HTTPDefaultErrorHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def download(weights: WeightsSpec, target: Path, progress: BytesDone, opener: OpenerDirector | None = None) -> None:
    """Fetch `weights.url` to `target`, which is whole and checked, or absent. The caller holds the weights' lock.

    A transfer that was cut off is kept as `<target>.part` and resumed. EnvironmentNotReady: the server cannot be
    reached, refuses, or sends another size or another SHA-256 than the catalogue's (the part is removed then).
    """
    part = target.with_name(f"{target.name}.part")
    if _size(part) > weights.size_bytes:
        part.unlink()
    with disk_errors(part):
        if _size(part) < weights.size_bytes:
            _fetch(weights, part, progress, opener or https_opener())
        _check(part, weights, f"{weights.url} sent", EnvironmentNotReady)
        publish(part, target, overwrite=True)


def copy(weights: WeightsSpec, folder: Path, target: Path, progress: BytesDone) -> None:
    """Copy the weights file from `folder` to `target`, checked. The caller holds the weights' lock.

    InputError: the folder does not hold the file, or another one under its name.
    """
    source = folder / weights.file
    part = target.with_name(f"{target.name}.copy")
    try:
        given = source.open("rb")
    except OSError as error:
        raise InputError(
            f"{source} cannot be read ({error.strerror}): give a folder that holds {weights.file}"
        ) from error
    with given, disk_errors(part):
        try:
            with part.open("wb") as file:
                _receive(given, file, weights.size_bytes, progress)
            _check(part, weights, f"{source} has", InputError)
            publish(part, target, overwrite=True)
        finally:
            part.unlink(missing_ok=True)


def _fetch(weights: WeightsSpec, part: Path, progress: BytesDone, opener: OpenerDirector) -> None:
    """Bring the part to the weights' size, from where it stands if the server knows how to."""
    try:
        _request(weights, part, progress, opener)
    except HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise EnvironmentNotReady(
            f"{weights.url} answers {error.code} {error.reason}: try again later, or give --from DIR with "
            f"{weights.file}"
        ) from error
    except (URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        raise EnvironmentNotReady(
            f"{weights.url} cannot be fetched ({reason}), {_size(part)} of {weights.size_bytes} bytes are there: "
            f"check the network and run the same command again, or give --from DIR with {weights.file}"
        ) from error
    if _size(part) < weights.size_bytes:
        raise EnvironmentNotReady(
            f"{weights.url} was cut off after {_size(part)} of {weights.size_bytes} bytes: run the same command "
            "again to go on"
        )


def _request(weights: WeightsSpec, part: Path, progress: BytesDone, opener: OpenerDirector) -> None:
    begin = _size(part)
    request = Request(str(weights.url), headers={"Range": f"bytes={begin}-"} if begin else {})  # noqa: S310 - https
    with opener.open(request, timeout=TIMEOUT_S) as response:
        resumes = response.status == _PARTIAL_CONTENT and _starts_at(response, begin)
        begin = begin if resumes else 0
        # What the server announces must be the catalogue's size before a byte of it is written.
        if response.length is not None and begin + response.length != weights.size_bytes:
            part.unlink(missing_ok=True)
            raise _other_size(f"{weights.url} offers {begin + response.length} bytes", weights, EnvironmentNotReady)
        with part.open("ab" if resumes else "wb") as file:
            _receive(response, file, weights.size_bytes, progress)


def _starts_at(response: http.client.HTTPResponse, begin: int) -> bool:
    return (response.getheader("Content-Range") or "").startswith(f"bytes {begin}-")


def _receive(source: _Readable, file: BinaryIO, size_bytes: int, progress: BytesDone) -> None:
    """Append to `file` until the source ends, at most one byte more than `size_bytes`: enough to see that it does."""
    done = file.tell()
    progress(done, size_bytes)
    while done <= size_bytes and (chunk := source.read(min(_CHUNK_BYTES, size_bytes - done + 1))):
        file.write(chunk)
        done += len(chunk)
        progress(min(done, size_bytes), size_bytes)


def _check(part: Path, weights: WeightsSpec, who: str, kind: type[AgentError]) -> None:
    """Size and SHA-256 must be the catalogue's; otherwise the part is removed."""
    if part.stat().st_size != weights.size_bytes:
        found = part.stat().st_size
        part.unlink()
        more = "more than " if found > weights.size_bytes else ""
        raise _other_size(f"{who} {more}{min(found, weights.size_bytes)} bytes", weights, kind)
    digest = sha256_file(part)
    if digest != weights.sha256:
        part.unlink()
        raise kind(
            f"{who} SHA-256 {digest} where the catalogue asks for {weights.sha256}: the file is not the published "
            "one and was not installed; try another source, e.g. --from DIR"
        )


def _other_size(what: str, weights: WeightsSpec, kind: type[AgentError]) -> AgentError:
    return kind(
        f"{what} where the catalogue asks for {weights.size_bytes}: the file is not the published one and was not "
        "installed; try another source, e.g. --from DIR"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
