"""Fetching from a real server in a thread: plain HTTP below, https in the URLs, so the https rule is tested too."""

from __future__ import annotations

import hashlib
import http.client
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import HTTPSHandler, OpenerDirector

import pytest

from toolchain.errors import EnvironmentNotReady, InputError
from toolchain.models import download as module
from toolchain.models.download import copy, download, https_opener
from toolchain.models.spec import WeightsSpec

CONTENT = bytes(i * 197 % 251 for i in range(300_000))


@dataclass
class Site:
    """What the server does; tests change it between requests."""

    content: bytes = CONTENT
    cut_after: int | None = None
    ranges: bool = True
    announces_length: bool = True
    status: int = 200
    location: str = ""
    ranges_asked: list[str] = field(default_factory=list)
    url: str = ""


class PlainBelow(HTTPSHandler):
    """Takes https URLs to a server that speaks plain HTTP."""

    def https_open(self, req):  # type: ignore[no-untyped-def]
        return self.do_open(http.client.HTTPConnection, req)


def plain_below_opener() -> OpenerDirector:
    return https_opener(PlainBelow())


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            site.ranges_asked.append(asked)
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and site.ranges else 0
            if site.status == 200 and begin >= len(site.content) > 0:
                self.send_response(416)
                self.end_headers()
                return
            self.send_response(206 if begin else site.status)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(site.content) - 1}/{len(site.content)}")
            if site.location:
                self.send_header("Location", site.location)
            if site.announces_length:
                self.send_header("Content-Length", str(len(site.content) - begin))
            self.end_headers()
            end = len(site.content) if site.cut_after is None else site.cut_after
            self.wfile.write(site.content[begin:end])

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest's output is for tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"https://127.0.0.1:{server.server_port}/weights.pth"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def spec_of(url: str, content: bytes = CONTENT) -> WeightsSpec:
    digest = hashlib.sha256(content).hexdigest()
    return WeightsSpec(file="weights.pth", sha256=digest, size_bytes=len(content), url=url, credit="nobody")


def fetch(weights: WeightsSpec, folder: Path) -> list[tuple[int, int]]:
    """Downloads to folder/target; what the progress callback was told."""
    told: list[tuple[int, int]] = []
    download(weights, folder / "target", lambda done, total: told.append((done, total)), plain_below_opener())
    return told


def test_the_file_arrives_whole_and_progress_is_told(site: Site, tmp_path: Path) -> None:
    told = fetch(spec_of(site.url), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))


def test_a_cut_transfer_is_resumed_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    site.cut_after = 100_000
    with pytest.raises(EnvironmentNotReady, match=r"100000 of 300000 bytes.*same command again"):
        fetch(spec_of(site.url), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["target.part"]
    site.cut_after = None
    told = fetch(spec_of(site.url), tmp_path)
    assert told[0][0] == 100_000
    assert site.ranges_asked == ["", "bytes=100000-"]
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    (tmp_path / "target.part").write_bytes(CONTENT[:100_000])
    told = fetch(spec_of(site.url), tmp_path)
    assert site.ranges_asked == ["bytes=100000-"]
    assert told[0][0] == 0
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_complete_part_is_not_fetched_again_and_an_oversized_one_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "target.part").write_bytes(CONTENT)
    fetch(spec_of(site.url), tmp_path)
    assert site.ranges_asked == []
    (tmp_path / "target").unlink()
    (tmp_path / "target.part").write_bytes(CONTENT + b"more")
    fetch(spec_of(site.url), tmp_path)
    assert site.ranges_asked == [""]


def test_a_damaged_part_is_found_out_and_removed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "target.part").write_bytes(b"x" * 100_000)
    with pytest.raises(EnvironmentNotReady, match="SHA-256"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())
    fetch(spec_of(site.url), tmp_path)
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_with_both_hashes(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"x"
    expected, got = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(site.content).hexdigest()
    with pytest.raises(EnvironmentNotReady, match=f"{got}.*{expected}.*--from DIR"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b""], ids=["longer", "shorter", "empty"])
def test_an_announced_other_size_is_refused_before_a_byte_is_written(
    content: bytes, site: Site, tmp_path: Path
) -> None:
    site.content = content
    with pytest.raises(EnvironmentNotReady, match=f"{len(content)} bytes where the catalogue asks for 300000"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_endless_file_is_cut_at_the_catalogues_size(site: Site, tmp_path: Path) -> None:
    site.content, site.announces_length = CONTENT * 20, False
    with pytest.raises(EnvironmentNotReady, match="more than 300000 bytes"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "words"), [(404, "404"), (503, "503")])
def test_a_refusal_is_told(status: int, words: str, site: Site, tmp_path: Path) -> None:
    site.status = status
    with pytest.raises(EnvironmentNotReady, match=words):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_range_beyond_the_servers_file_starts_over_next_time(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:50_000]
    (tmp_path / "target.part").write_bytes(CONTENT[:100_000])
    with pytest.raises(EnvironmentNotReady, match="416"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_redirects_stay_on_https(site: Site, tmp_path: Path) -> None:
    site.status, site.location = 302, site.url.replace("https:", "http:")
    with pytest.raises(EnvironmentNotReady, match="unknown url type: http"):
        fetch(spec_of(site.url), tmp_path)
    site.location = site.url  # to itself: followed until urllib has enough, never without end
    with pytest.raises(EnvironmentNotReady, match="302"):
        fetch(spec_of(site.url), tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(site.ranges_asked) > 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/w", "file:///etc/hostname", "ftp://127.0.0.1/w", "data:,x"])
def test_no_other_scheme_is_opened(url: str) -> None:
    with pytest.raises(Exception, match="unknown url type"):
        https_opener().open(url, timeout=1)


def test_a_silent_server_and_an_absent_one_are_told(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvironmentNotReady, match=r"cannot be fetched.*refused.*--from DIR"):
        fetch(spec_of("https://127.0.0.1:1/weights.pth"), tmp_path)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
        with pytest.raises(EnvironmentNotReady, match=r"cannot be fetched.*timed out"):
            fetch(spec_of(f"https://127.0.0.1:{silent.getsockname()[1]}/weights.pth"), tmp_path)


def test_a_full_disk_leaves_nothing_under_the_final_name(site: Site, tmp_path: Path) -> None:
    with full_disk(after_bytes=150_000), pytest.raises(EnvironmentNotReady, match="no space left"):
        fetch(spec_of(site.url), tmp_path)
    assert not (tmp_path / "target").exists()
    fetch(spec_of(site.url), tmp_path)
    assert (tmp_path / "target").read_bytes() == CONTENT


@contextmanager
def full_disk(after_bytes: int) -> Iterator[None]:
    """A file size limit: every write beyond it fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_copy_from_a_folder_is_checked_alike(tmp_path: Path) -> None:
    folder, cache = tmp_path / "given", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    weights = spec_of("https://example.org/w")
    told: list[int] = []
    with pytest.raises(InputError, match=r"cannot be read.*holds weights\.pth"):
        copy(weights, folder, cache / "target", lambda done, total: told.append(done))
    wrong = {"SHA-256": CONTENT[:-1] + b"x", "299999 bytes": CONTENT[:-1], "more than 300000": CONTENT + b"more"}
    for words, content in wrong.items():
        (folder / "weights.pth").write_bytes(content)
        with pytest.raises(InputError, match=words):
            copy(weights, folder, cache / "target", lambda done, total: told.append(done))
        assert not list(cache.iterdir())
    (folder / "weights.pth").write_bytes(CONTENT)
    copy(weights, folder, cache / "target", lambda done, total: told.append(done))
    assert [path.name for path in cache.iterdir()] == ["target"]
    assert told[-1] == len(CONTENT)
