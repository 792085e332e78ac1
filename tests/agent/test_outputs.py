"""Paths are checked before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.outputs import check_input, check_output, default_output
from toolchain.errors import InputError, UsageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", "hevc", "a.hdr.mp4"),
        ("a.webm", "hevc", "a.hdr.mp4"),
        ("a.mkv", "hevc", "a.hdr.mkv"),
        ("a.mov", "hevc", "a.hdr.mov"),
        ("a.mov", "av1", "a.hdr.mp4"),
        ("a.mp4", "prores", "a.hdr.mov"),
        ("a.mov", "ffv1", "a.hdr.mkv"),
        ("a.mkv", "ffv1", "a.hdr.mkv"),
    ],
)
def test_default_output_can_hold_the_codec(name: str, codec: str, expected: str) -> None:
    assert default_output(Path(name), codec).name == expected


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, words in ((tmp_path / "no.mp4", "does not exist"), (tmp_path, "not a file"), (empty, "0 bytes")):
        with pytest.raises(InputError, match=words):
            check_input(path)


def test_outputs_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"old")
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    cases = {
        tmp_path / "no" / "out.mp4": "does not exist",
        source: "same file",
        link: "same file",
        taken: "--overwrite",
        tmp_path / "folder.mp4": "is a folder",
        tmp_path / "out.avi": "must end in",
    }
    for output, words in cases.items():
        with pytest.raises(UsageError, match=words):
            check_output(source, output, "hevc", overwrite=False)
    assert taken.read_bytes() == b"old"


def test_a_link_to_nothing_is_never_an_output(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    for nothing in (tmp_path / "nowhere.mp4", link):
        link.unlink(missing_ok=True)
        link.symlink_to(nothing)
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="link to a file that does not exist"):
                check_output(source, link, "hevc", overwrite)


def test_an_existing_manifest_is_as_precious_as_an_output(source: Path, tmp_path: Path) -> None:
    output, manifest = tmp_path / "out.mp4", tmp_path / "out.mp4.manifest.json"
    manifest.write_text("somebody else's")
    with pytest.raises(UsageError, match=r"manifest\.json exists already: pass --overwrite"):
        check_output(source, output, "hevc", overwrite=False)
    assert check_output(source, output, "hevc", overwrite=True) == output
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(UsageError, match=r"manifest\.json is a folder"):
        check_output(source, output, "hevc", overwrite=True)


def test_names_leave_room_for_the_manifest(source: Path, tmp_path: Path) -> None:
    longest = 255 - len(".mp4.manifest.json")
    assert check_output(source, tmp_path / f"{'a' * longest}.mp4", "hevc", overwrite=False)
    for stem in ("a" * (longest + 1), "ä" * (longest // 2 + 1), "a" * 300):
        with pytest.raises(UsageError, match="too long"):
            check_output(source, tmp_path / f"{stem}.mp4", "hevc", overwrite=False)
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(source, tmp_path / ("d" * 300) / "out.mp4", "hevc", overwrite=False)
    with pytest.raises(InputError, match="cannot be read"):
        check_input(tmp_path / ("a" * 300))


def test_names_that_are_not_utf8_are_refused(source: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    with pytest.raises(UsageError, match="not UTF-8"):
        check_output(source, tmp_path / name, "hevc", overwrite=False)
    (tmp_path / name).write_bytes(b"x")
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / name)
    for path in (tmp_path / name, link):
        with pytest.raises(InputError, match="not UTF-8"):
            check_input(path)


def test_overwrite_allows_an_existing_output_but_never_the_input(source: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"old")
    assert check_output(source, taken, "hevc", overwrite=True) == taken
    with pytest.raises(UsageError, match="same file"):
        check_output(source, source, "hevc", overwrite=True)
