"""Files of scores: both formats, folders, and what is no score."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from analysis.vqa.score_table import read_table
from toolchain.errors import InputError


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_and_ndjson_say_the_same(tmp_path: Path) -> None:
    table = "path,score,model_hash,preprocessing_hash\nb.mp4, 2.5,aa,bb\na.mp4,1e1,aa,bb\n"
    lines = (
        '{"type": "vqa.score", "score": 2.5, "model_hash": "aa", "preprocessing_hash": "bb"}\n\n'
        '{"type": "vqa.failed", "path": "x"}\n'
        '{"score": 10, "model_hash": "aa", "preprocessing_hash": "bb", "heads": {"x": [1]}}\n'
        '{"type": "job.completed"}\n'
    )
    for file in (written(tmp_path / "a.csv", "\ufeff" + table), written(tmp_path / "b.jsonl", lines)):
        found = read_table(file)
        assert (found.values, found.makers) == ((2.5, 10.0), {("aa", "bb")})


def test_a_folder_is_read_in_order_of_name(tmp_path: Path) -> None:
    written(tmp_path / "2.csv", "score\n3\n")
    written(tmp_path / "1.ndjson", '{"score": 1, "model_hash": "aa"}\n{"score": 2}\n')
    written(tmp_path / "notes.txt", "no scores")
    (tmp_path / "deeper.csv").mkdir()
    found = read_table(tmp_path)
    assert (found.values, found.makers) == ((1.0, 2.0, 3.0), {("aa", "")})


def test_another_column_can_be_read(tmp_path: Path) -> None:
    assert read_table(written(tmp_path / "r.csv", "name,residual\na,-0.5\nb,2\n"), "residual").values == (-0.5, 2.0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "score\n1\nhigh\n", "line 3: the column `score` is 'high'"),
        ("a.csv", "score\nnan\n", "is 'nan', a finite number"),
        ("a.csv", "score,path\n,x\n", "is ''"),
        ("a.csv", "path,score\nx\n", "is missing"),
        ("a.csv", "quality\n1\n", "the column `score` is missing"),
        ("a.csv", b"score\n\xff\xfe\n", "cannot be read"),
        ("a.csv", "score\n" + "9" * 200_000 + "\n", "cannot be read"),
        ("a.json", '{"score": true}', "line 1: the column `score` is 'True'"),
        ("a.json", '{"score": "high"}', "is 'high'"),
        ("a.json", '{"score": 1e999}', "finite number"),
        ("a.json", '{"score": 1' + "0" * 400 + "}", "finite number"),
        ("a.json", '{"score": [1]}', "finite number"),
        ("a.json", '{"score": 1}\n{"score":', "line 2 is no JSON object"),
        ("a.json", "[1, 2]", "line 1 is no JSON object"),
        ("a.json", "[" * 100_000, "line 1 is no JSON object"),
        ("a.json", b"\x00\xff", "line 1 is no JSON object"),
    ],
)
def test_what_is_no_score_is_named_with_its_line(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_table(written(tmp_path / name, content))
    assert words in str(refused.value)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(tmp_path))


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no file of scores"):
        read_table(tmp_path)
    assert read_table(written(tmp_path / "empty.csv", "")).values == ()


def test_a_large_file_fills_no_memory(tmp_path: Path) -> None:
    file = written(tmp_path / "big.ndjson", ('{"score": 1, "note": "' + "x" * 1000 + '"}\n') * 2000)
    tracemalloc.start()
    try:
        assert len(read_table(file).values) == 2000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
