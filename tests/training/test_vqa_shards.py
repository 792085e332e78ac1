"""Clips of the judging network on disk: what goes in comes out, and broken files are named."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.errors import InputError
from training.data.vqa_shards import FULL, MANIFEST, SHAPES, Row, load, stored, write_title

ROW = Row("a-title", "train", "procedural", 0, "grain", "light", {"itp": 0.5}, {"itp": 3.0}, 0)


def _write(folder: Path, **other: Any) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    rng = np.random.default_rng(0)
    key = stored(rng.random((2, *SHAPES["key"]), np.float32))
    motion = stored(rng.random((2, *SHAPES["motion"]), np.float32))
    write_title(folder, [ROW, replace(ROW, version=1, **other)], key, motion)
    (folder / MANIFEST).write_text(json.dumps({"titles": {"a-title": "train"}}))
    return key, motion


def test_what_was_written_is_read(tmp_path: Path) -> None:
    key, motion = _write(tmp_path, labels={"itp": 0.25, "cvvdp": 1.0})
    data = load(tmp_path)
    rows = data.rows("train")
    assert [row.version for row in rows] == [0, 1]
    assert data.rows("test") == []
    assert data.label_names() == ("cvvdp", "itp")
    assert data.rows("train", "cvvdp") == rows[1:]
    np.testing.assert_array_equal(data.key(rows[1]), key[1])
    np.testing.assert_array_equal(data.motion(rows[0]), motion[0])


def test_stored_values_are_the_fraction_of_full() -> None:
    assert stored(np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32)).tolist() == [0, 0, round(FULL / 2), FULL, FULL]


@pytest.mark.parametrize(
    "titles", [{"../a": "train"}, {"a-title": "../train"}, {"a-title": "masters"}, {"A": "train"}, ["a-title"]]
)
def test_a_manifest_that_names_other_places_is_refused(tmp_path: Path, titles: object) -> None:
    _write(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"titles": titles}))
    with pytest.raises(InputError, match="build the set again"):
        load(tmp_path)


@pytest.mark.parametrize("wrong", [{"labels": {"itp": 1.5}}, {"labels": {"itp": float("nan")}}, {"base": 2}])
def test_rows_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    _write(tmp_path)
    rows = [asdict(ROW), {**asdict(replace(ROW, version=1)), **wrong}]
    (tmp_path / "train" / "a-title.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"a-title\.json"):
        load(tmp_path)


def test_rows_of_another_title_are_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "train" / "a-title.json").write_text(json.dumps([asdict(replace(ROW, title="other"))]))
    with pytest.raises(InputError, match="another title"):
        load(tmp_path)


def test_an_unfinished_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a finished set"):
        load(tmp_path)


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    np.save(tmp_path / "train" / "a-title.key.npy", np.zeros((1, 4, 4, 3), np.uint16))
    data = load(tmp_path)
    with pytest.raises(InputError, match="is due"):
        data.key(data.rows("train")[0])
