"""Files are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from toolchain.errors import EnvironmentNotReady, UsageError
from toolchain.files import disk_errors, publish, sha256_file, write_atomic


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_atomic(target, "one")
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_write_atomic_into_missing_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "missing" / "a", "x")
    assert not list(tmp_path.iterdir())


def test_publish_without_overwrite_keeps_the_existing_file(tmp_path: Path) -> None:
    temporary, final = tmp_path / "t", tmp_path / "f"
    temporary.write_text("new")
    final.write_text("old")
    with pytest.raises(UsageError, match="--overwrite"):
        publish(temporary, final, overwrite=False)
    assert (final.read_text(), temporary.read_text()) == ("old", "new")
    publish(temporary, final, overwrite=True)
    assert final.read_text() == "new"
    assert not temporary.exists()


def test_publish_finishes_what_a_crash_left_between_link_and_unlink(tmp_path: Path) -> None:
    temporary, final = tmp_path / "t", tmp_path / "f"
    temporary.write_text("new")
    final.hardlink_to(temporary)
    publish(temporary, final, overwrite=False)
    assert final.read_text() == "new"
    assert not temporary.exists()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_publish_where_there_are_no_hard_links(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    temporary, final, taken = tmp_path / "t", tmp_path / "f", tmp_path / "taken"
    temporary.write_text("new")
    taken.write_text("old")
    with pytest.raises(UsageError, match="--overwrite"):
        publish(temporary, taken, overwrite=False)
    assert (taken.read_text(), temporary.read_text()) == ("old", "new")
    publish(temporary, final, overwrite=False)
    assert final.read_text() == "new"
    assert not temporary.exists()


def test_a_reserved_name_is_given_back_when_the_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    temporary, final = tmp_path / "t", tmp_path / "f"
    temporary.write_text("new")
    with pytest.raises(EnvironmentNotReady, match="cannot write"):
        publish(temporary, final, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_publish_does_not_follow_or_replace_a_dangling_link(tmp_path: Path) -> None:
    temporary, final = tmp_path / "t", tmp_path / "f"
    temporary.write_text("new")
    final.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        publish(temporary, final, overwrite=False)
    assert temporary.read_text() == "new"
    assert final.is_symlink()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_disk_errors_become_one_sentence(number: int, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotReady, match=r"out\.mp4"), disk_errors(tmp_path / "out.mp4"):
        raise OSError(number, "no")


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken"), disk_errors(tmp_path):
        raise OSError(errno.EIO, "broken")


def test_sha256_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1000)
    assert sha256_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
