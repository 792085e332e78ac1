"""The folder of a data set that is being built."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import UsageError
from toolchain.files import disk_errors, write_atomic


def claim(folder: Path, stamp: str) -> None:
    """Make the folder that of the configuration whose digest is `stamp`, so that a resumed build never mixes two.

    UsageError where it was begun with another one.
    """
    note = folder / "config.sha256"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if note.exists() and note.read_text(encoding="utf-8").strip() != stamp:
        raise UsageError(f"{folder} was begun with another configuration: choose another folder or remove it.")
    write_atomic(note, stamp + "\n")
