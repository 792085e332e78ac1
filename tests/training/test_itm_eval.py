"""The judge of lumen: scores of known pictures, intervals of known differences."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.training.itm_pairs import write_pairs
from toolchain.errors import InputError
from toolchain.models.lumen import Numbers
from training import itm_eval, itm_table
from training.itm_data import read_title, title_files


def test_score_of_a_picture_that_is_right_but_for_its_exposure():
    truth = np.exp(np.random.default_rng(1).uniform(0, 6, (40, 40, 3)))
    score = itm_eval.score(truth * 2**0.4, truth)
    assert score.psnr_db < 35
    assert score.psnr_exposed_db > 60
    assert score.delta_e_exposed < 0.1 < score.delta_e


def test_the_fitted_oracle_undoes_a_shoulder(tmp_path):
    pairs = read_title(title_files(write_pairs(tmp_path), ["masters"])[0])
    scores = itm_eval.fitted_oracle(pairs.sdr[:1], pairs.hdr[:1], 1000.0, steps=150)
    light = (pairs.sdr[0] / 255.0) ** 2.4 * 203
    plain = itm_eval.score(light, pairs.hdr[0].astype(float))
    assert scores[0].psnr_db > plain.psnr_db + 5


def test_evaluation_writes_every_clip_once_and_tables_follow(tmp_path):
    data = write_pairs(tmp_path / "pairs")
    trained = tmp_path / "trained"
    trained.mkdir()
    numbers = Numbers(
        contrast=(1.0,) * 10 + (1.5, 2, 3, 3, 3, 3), saturation_ev=(0, 0, 0, 0), level_mix=0.5, offset_nits=0
    )
    (trained / "lumen-x.json").write_text(numbers.model_dump_json())
    out = tmp_path / "scores.jsonl"
    command = ["--data", str(data), "--splits", "fold0", "masters", "--trained", str(trained), "--oracle"]
    command += ["--models", "direct203", "--out", str(out)]
    (tmp_path / "titles.json").write_text(json.dumps(["noise-a", "room-a"]))
    for _ in range(2):
        itm_eval.main([*command, "--titles", str(tmp_path / "titles.json")])
    records = itm_eval.read_records(out)
    assert sorted({record["meta"]["title"] for record in records}) == ["noise-a", "room-a"]
    assert len(records) == 6
    assert set(records[0]["scores"]) == {"direct203", "lumen-x", "oracle"}
    itm_table.main([str(out), "--out", str(tmp_path / "table"), "--references", "direct203"])
    groups = json.loads((tmp_path / "table.json").read_text())
    assert groups["families never seen"]["clips"] == 2
    assert groups["all"]["models"]["lumen-x"]["against"]["direct203"]["psnr_db"][0] != 0
    assert "| direct203 |" in (tmp_path / "table.md").read_text()


def test_intervals_are_over_titles():
    titles = np.repeat([f"t{i}" for i in range(10)], 100)
    by_title = np.repeat(np.linspace(-1, 1, 10), 100) + 0.1
    mean, low, high = itm_table.interval(by_title, titles)
    assert mean == pytest.approx(0.1, abs=0.01)
    assert high - low > 0.5, "a thousand clips of ten titles are ten observations"
    assert itm_table.interval(np.full(1000, 0.3), titles) == [0.3, 0.3, 0.3]


def test_files_of_several_models_are_joined_clip_by_clip(tmp_path):
    score = {"psnr_db": 1.0, "delta_e": 1.0, "psnr_exposed_db": 1.0, "delta_e_exposed": 1.0}

    def write(name, clips, model):
        meta = {"title": "t", "family": "clip", "local": "none", "profile": "anchored", "frame": 0}
        lines = [json.dumps({"meta": {**meta, "frame": clip}, "scores": {model: score}}) for clip in clips]
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    files = [write("a", range(4), "direct203"), write("b", range(2, 6), "net"), write("c", range(3), "other")]
    found = itm_table.joined(files, ["direct203", "net"])
    assert [record["meta"]["frame"] for record in found] == [2, 3]
    assert set(found[0]["scores"]) == {"direct203", "net"}, "`other` was not judged on clip 3"


def test_tables_of_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no scores"):
        itm_table.main([str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "t")])
