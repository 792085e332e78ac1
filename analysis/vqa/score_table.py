"""Files of scores: what `agent vqa score --json` writes, or CSV from anywhere.

CSV has a header; NDJSON has one object a line. `score` (0 to 100) is needed. `model_hash` and `preprocessing_hash`
say what made it and may be missing. Other columns are not looked at, nor are NDJSON lines with a `type` other than
`vqa.score`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from toolchain.errors import InputError

SUFFIXES = (".csv", ".ndjson", ".jsonl", ".json")
"""What is read in a folder; a file that is named may be called anything, and is CSV only when it ends so."""

ROW_TYPE = "vqa.score"

_MAX_FILE_BYTES = 1 << 28
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class ScoreTable:
    """Numbers in file order, and the pairs (model, preprocessing) of hashes that the rows name."""

    values: tuple[float, ...]
    makers: frozenset[tuple[str, str]]


def read_table(path: Path, column: str = "score") -> ScoreTable:
    """The numbers of `column` in a file, or in all files of a folder (SUFFIXES, in order of name).

    Raises InputError, with the line, for what cannot be read and for a value that is not a finite number.
    """
    values: list[float] = []
    makers: set[tuple[str, str]] = set()
    for file in _files(path):
        for where, row in _rows(file):
            values.append(_number(row.get(column), column, where))
            makers.add((str(row.get("model_hash") or ""), str(row.get("preprocessing_hash") or "")))
    return ScoreTable(tuple(values), frozenset(maker for maker in makers if any(maker)))


def _files(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
            if not files:
                raise InputError(f"the folder {path} holds no file of scores ({', '.join(SUFFIXES)})")
            return files
        if not path.is_file():
            raise InputError(f"{path} does not exist or is no regular file: give a file of scores, or a folder")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error
    return [path]


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with where it stands, for messages; one at a time, so that a large file fills no memory."""
    read = _csv_rows if file.suffix.lower() == ".csv" else _json_rows
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f"{file} is over {_MAX_FILE_BYTES >> 20} MiB: give a file of scores")
        yield from read(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as a file of scores: {error}") from error


def _csv_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, skipinitialspace=True)
        for row in reader:
            yield f"{file} line {reader.line_num}", row


def _json_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = _OBJECT.validate_json(line)
            except ValidationError as error:
                raise InputError(
                    f"{file} line {number} is no JSON object: one a line is needed, as of `agent vqa score --json`"
                ) from error
            if row.get("type", ROW_TYPE) == ROW_TYPE:
                yield f"{file} line {number}", row


def _number(value: object, column: str, where: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        what = "is missing" if value is None else f"is {str(value)[:40]!r}"
        raise InputError(f"{where}: the column `{column}` {what}, a finite number is needed")
    return number
