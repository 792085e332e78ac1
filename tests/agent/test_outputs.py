"""Paths are checked before any work is done."""

from __future__ import annotations

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


def test_overwrite_allows_an_existing_output_but_never_the_input(source: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"old")
    assert check_output(source, taken, "hevc", overwrite=True) == taken
    with pytest.raises(UsageError, match="same file"):
        check_output(source, source, "hevc", overwrite=True)
