"""The engine cache with real processes, a real small disk and real kills."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolchain.errors import EngineBuildError, EnvironmentNotReady
from toolchain.runtimes.cache import artefact, discard, engine_folder, facts, is_whole

KEY = {"onnx_sha256": "ab" * 32, "library": "example 1.2", "shape": [1080, 1920]}
CONTENT = b"engine" * 1000


def write(path: Path) -> None:
    path.write_bytes(CONTENT)


def starts_well(path: Path) -> bool:
    return path.read_bytes()[:6] == b"engine"


class Builder:
    """Counts its calls."""

    def __init__(self, *contents: bytes):
        self.contents = list(contents)
        self.calls = 0

    def __call__(self, path: Path) -> dict[str, object]:
        path.write_bytes(self.contents[min(self.calls, len(self.contents) - 1)])
        self.calls += 1
        return {"parity": 0.25}


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_what_is_built_is_found_again_with_its_facts(tmp_path: Path) -> None:
    builder = Builder(CONTENT)
    first = artefact(tmp_path / "new", KEY, ".engine", builder, starts_well)
    again = artefact(tmp_path / "new", dict(reversed(KEY.items())), ".engine", builder, starts_well)
    assert (first, builder.calls) == (again, 1)
    assert first.read_bytes() == CONTENT
    assert facts(first) == {"parity": 0.25}
    sidecar = json.loads(first.with_name(first.name + ".json").read_text())
    assert sidecar["key"] == KEY
    assert sidecar["made_by"].startswith("sdr2hdr-agent ")


def test_another_key_is_another_file(tmp_path: Path) -> None:
    one = artefact(tmp_path, KEY, ".engine", write, starts_well)
    other = artefact(tmp_path, {**KEY, "library": "example 1.3"}, ".engine", write, starts_well)
    assert one != other
    assert is_whole(one)
    assert is_whole(other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(CONTENT[:100]),
        lambda path: path.write_bytes(CONTENT[:-1] + b"x"),
        lambda path: path.with_name(path.name + ".json").unlink(),
        lambda path: path.with_name(path.name + ".json").write_bytes(b"\xff{"),
        lambda path: path.with_name(path.name + ".json").write_text("[]"),
    ],
    ids=["truncated", "altered", "no sidecar", "broken sidecar", "foreign sidecar"],
)
def test_a_damaged_artefact_is_rebuilt_once(damage: Callable[[Path], object], tmp_path: Path) -> None:
    builder = Builder(CONTENT)
    path = artefact(tmp_path, KEY, ".engine", builder, starts_well)
    damage(path)
    assert artefact(tmp_path, KEY, ".engine", builder, starts_well) == path
    assert builder.calls == 2
    assert path.read_bytes() == CONTENT
    assert is_whole(path)


def test_what_the_check_refuses_is_rebuilt_and_then_an_error(tmp_path: Path) -> None:
    builder = Builder(b"other version", CONTENT, b"bad again")
    path = artefact(tmp_path, KEY, ".engine", builder, lambda path: path.exists())
    assert artefact(tmp_path, KEY, ".engine", builder, starts_well) == path
    assert builder.calls == 2
    discard(path)
    with pytest.raises(EngineBuildError, match="check"):
        artefact(tmp_path, KEY, ".engine", builder, starts_well)
    assert visible(tmp_path) == []


def test_an_error_of_the_builder_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artefact(tmp_path, KEY, ".engine", fails, starts_well)
    assert visible(tmp_path) == []


BUILD_IN_A_PROCESS = """
import pathlib, sys, time
from toolchain.runtimes.cache import artefact
folder, log, seconds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
def build(path):
    with path.open("wb") as file, log.open("a") as calls:
        file.write(b"engine"); file.flush()
        calls.write("built\\n"); calls.flush()
        time.sleep(seconds)
        file.write(b"engine" * 999)
print(artefact(folder, {"key": 1}, ".engine", build, lambda path: path.stat().st_size == 6000))
"""


def start_builder(folder: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD_IN_A_PROCESS, str(folder), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the other process did not get there within a minute"
        time.sleep(0.02)


def test_two_processes_build_once(tmp_path: Path) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    both = [start_builder(folder, log, 0.5) for _ in range(2)]
    results = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results[0] == results[1]
    assert log.read_text() == "built\n"


def test_a_killed_builder_leaves_a_temporary_file_that_the_next_build_removes(tmp_path: Path) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    process = start_builder(folder, log, 60)
    wait_for(lambda: log.exists() and bool(log.read_text()))
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert [name.startswith(".") for name in visible(folder)] == [True]
    artefact(folder, {"key": "another"}, ".engine", write, starts_well)
    assert [name for name in visible(folder) if name.startswith(".")] == []


def test_a_build_in_progress_is_not_swept_away(tmp_path: Path) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    process = start_builder(folder, log, 1.5)
    wait_for(lambda: log.exists() and bool(log.read_text()))
    artefact(folder, {"key": "another"}, ".engine", write, starts_well)
    assert process.communicate(timeout=60)[0].strip().endswith(".engine")
    assert process.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root and the permission to mount")
    yield folder
    subprocess.run(["/bin/umount", str(folder)], check=True)


def test_a_full_disk_is_an_environment_error_and_leaves_nothing(small_disk: Path) -> None:
    def large(path: Path) -> None:
        path.write_bytes(bytes(100_000))

    with pytest.raises(EnvironmentNotReady, match="no space left"):
        artefact(small_disk, KEY, ".engine", large, starts_well)
    assert visible(small_disk) == []
    assert artefact(small_disk, KEY, ".engine", write, starts_well).read_bytes() == CONTENT


def test_no_room_for_the_sidecar_leaves_no_artefact(tmp_path: Path) -> None:
    """Under a file size limit that the artefact fits and its sidecar does not."""
    code = (
        "import pathlib, sys; from toolchain.runtimes.cache import artefact\n"
        "def build(path): path.write_bytes(b'e')\n"
        "artefact(pathlib.Path(sys.argv[1]), {'key': 'x' * 2000}, '.engine', build, lambda path: True)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "EnvironmentNotReady: no space left" in result.stderr
    assert visible(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentNotReady):
        artefact(tmp_path / "file" / "cache", KEY, ".engine", write, starts_well)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path))
    assert engine_folder() == tmp_path / "engines"
    monkeypatch.delenv("SDR2HDR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert engine_folder() == tmp_path / "xdg" / "sdr2hdr-agent" / "engines"
