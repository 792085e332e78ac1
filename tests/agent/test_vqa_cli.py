"""`agent vqa` in process: exact exit codes, stdout as JSON. The network is a stand-in that ranks by file content."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import analysis.vqa
from agent import scoring, tasks
from agent.cli.main import main
from analysis.vqa.registry import MEASURES
from analysis.vqa.scale import PercentileMap, build_map, dkw_half_width_points
from tests.media import make_clip
from toolchain.errors import EnvironmentNotReady, InputError
from toolchain.video.probe import probe

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vqa.md"
MODEL, PREPROCESSING = "a" * 64, "b" * 64


@dataclass
class Video:
    score: float
    heads: dict[str, float]
    clips: tuple[float, ...]


class StandIn(ModuleType):
    """What `analysis.vqa.bilivqa` promises, without a network. `scored`: the files it was asked for."""

    def __init__(self) -> None:
        super().__init__("analysis.vqa.bilivqa")
        self.scored: list[str] = []
        self.fails_at: dict[str, Exception] = {}
        self.hash = MODEL

    def score_video(self, path: Path) -> Video:
        self.scored.append(path.name)
        if path.name in self.fails_at:
            raise self.fails_at[path.name]
        probe(path)
        score = int(hashlib.sha256(path.read_bytes()).hexdigest()[:8], 16) / 2**32 * 100
        return Video(score if "nan" not in path.name else float("nan"), {"first": score, "second": score}, (score,))

    def model_hash(self) -> str:
        return self.hash

    def preprocessing_hash(self) -> str:
        return PREPROCESSING


class HereWorker:
    """The worker's protocol in this process. `died`: it crashed on its last file."""

    started = 0

    def __init__(self, log: Path):
        assert log.parent.is_dir()
        type(self).started += 1
        self.alive = True

    def call(self, task: str, request: BaseModel, result: type[BaseModel], emit: Any) -> BaseModel:
        assert self.alive, "a dead worker was asked"
        try:
            return result.model_validate(
                json.loads(json.dumps(tasks.run(task, request.model_dump(mode="json"), emit)))
            )
        except InputError as error:
            self.alive = "crashed" not in str(error)
            raise

    def close(self) -> None:
        self.alive = False


@pytest.fixture(autouse=True)
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(__import__("sys").modules, "analysis.vqa.bilivqa", stand_in)
    monkeypatch.setattr(analysis.vqa, "bilivqa", stand_in, raising=False)
    monkeypatch.setattr(scoring, "Worker", HereWorker)
    monkeypatch.setattr(HereWorker, "started", 0)
    monkeypatch.setenv("SDR2HDR_CACHE", str(tmp_path / "cache"))
    return stand_in


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("vqa") / "clip.mp4", duration_s=0.2, size="64x48")


def copies(clip: Path, folder: Path, count: int) -> Path:
    """`count` videos of one picture and different bytes: a free MP4 box with a number behind the last one."""
    folder.mkdir(parents=True)
    for number in range(count):
        free = struct.pack(">I4sI", 12, b"free", number)
        (folder / f"{number:03}.mp4").write_bytes(clip.read_bytes() + free)
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[str]]:
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err.splitlines()


def map_file(path: Path, **change: Any) -> Path:
    made = build_map(
        {f"{number:064x}": number / 10 for number in range(1, 1000)}, MODEL, PREPROCESSING, command="x", version="0"
    )
    path.write_text(json.dumps({**made.model_dump(mode="json"), **change}))
    return path


def test_scores_come_with_percentile_label_and_scale(
    clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = map_file(tmp_path / "map.json")
    assert main(["vqa", "score", str(clip), "--map", str(scale), "--json"]) == 0
    rows, _ = said(capsys)
    row, last = rows
    expected = network.score_video(clip).score
    place = PercentileMap.model_validate_json(scale.read_text()).place(expected)
    assert row["type"] == "vqa.score"
    assert row["score"] == expected
    assert (row["percentile"], row["label"], row["uncertain"]) == (place.percentile, place.label, place.uncertain)
    assert row["dkw_points"] == dkw_half_width_points(999)
    assert (row["model_hash"], row["heads"]["first"], row["clips"]) == (MODEL, expected, [expected])
    assert row["scale"] == "distortion ranking, not MOS"
    assert (last["type"], last["exit_code"]) == ("job.completed", 0)
    assert main(["vqa", "score", str(clip), "--map", str(scale)]) == 0
    text = capsys.readouterr().out
    assert f"{expected:.1f} of 100 (distortion ranking, not MOS)" in text
    assert f"{place.percentile:.1f} ± 4.3 points of 999 videos" in text
    assert place.label in text
    assert "provisional" in text


def test_without_a_map_the_remedy_is_named(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa", "score", str(clip)]) == 0
    assert "no percentile map for this model: run `agent vqa calibrate DIR`" in capsys.readouterr().out
    assert main(["vqa", "score", str(clip), "--json"]) == 0
    rows, _ = said(capsys)
    assert rows[0]["percentile"] is None
    assert "agent vqa calibrate" in rows[0]["note"]


def test_an_hdr_file_and_a_single_frame_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged = ("-vf", "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc")
    hdr = make_clip(tmp_path / "hdr.mkv", codec="ffv1", pix_fmt="yuv420p10le", duration_s=0.2, extra_args=tagged)
    single = make_clip(tmp_path / "one.mp4", duration_s=1 / 24)
    assert main(["vqa", "score", str(hdr), str(single), "--json"]) == 0
    rows, _ = said(capsys)
    assert [row["type"] for row in rows] == ["vqa.score", "vqa.score", "job.completed"]


def bad_map(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    broken = tmp_path / "broken.json"
    broken.write_text('{"n": 3,')
    other = map_file(tmp_path / "other.json", model_hash="c" * 64)
    return {
        "broken": (broken, "is not a percentile map"),
        "other": (other, "made with the model cccccccccccc and the model here is aaaaaaaaaaaa"),
        "missing": (tmp_path / "none.json", "is not a percentile map (No such file"),
    }


@pytest.mark.parametrize("case", ["broken", "other", "missing"])
def test_a_map_that_does_not_fit_is_refused_before_any_work(
    case: str, clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = bad_map(tmp_path)[case]
    assert main(["vqa", "score", str(clip), "--map", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, network.scored) == ("", [])
    (line,) = err.splitlines()
    assert words in line
    assert "run `agent vqa calibrate DIR` again" in line


def audio(folder: Path) -> Path:
    import subprocess

    import imageio_ffmpeg

    both, only = make_clip(folder / "both.mp4", audio=True, duration_s=0.2), folder / "audio.m4a"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", both, "-vn", "-c", "copy", only]
    subprocess.run(command, check=True)
    return only


def text(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("no video")
    return folder / "notes.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


@pytest.mark.parametrize("make", [audio, text, empty, lambda folder: folder / "none.mp4", lambda folder: folder])
def test_what_is_no_video_is_one_sentence_and_exit_3(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert main(["vqa", "score", str(path)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"error: {path}")
    assert main(["vqa", "score", str(path), "--json"]) == 3
    rows, _ = said(capsys)
    assert [(row["type"], row["exit_code"]) for row in rows] == [("job.failed", 3)]


def test_a_score_that_is_not_finite_is_refused(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nan.mp4"
    path.write_bytes(clip.read_bytes())
    assert main(["vqa", "score", str(path)]) == 3
    assert "no finite score (nan)" in capsys.readouterr().err


def test_one_bad_file_does_not_stop_the_others(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vqa", "score", str(text(tmp_path)), str(clip), "--json"]) == 3
    rows, err = said(capsys)
    assert [row["type"] for row in rows] == ["vqa.failed", "vqa.score", "job.failed"]
    assert rows[-1]["message"] == "1 of 2 files could not be scored: see above"
    assert len(err) == 1


def test_missing_weights_are_exit_5(
    clip: Path, network: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> str:
        raise EnvironmentNotReady("no weights: reinstall")

    monkeypatch.setattr(network, "model_hash", absent)
    assert main(["vqa", "score", str(clip)]) == 5
    assert capsys.readouterr() == ("", "error: no weights: reinstall\n")


def test_a_benchmark_becomes_a_map_that_scores_use(
    clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = copies(clip, tmp_path / "bench" / "deep", 52).parent, tmp_path / "map.json"
    (folder / "copy.mp4").write_bytes((folder / "deep" / "007.mp4").read_bytes())
    (folder / "notes.txt").write_text("not a video, not looked at")
    text(folder)
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), "--json"]) == 0
    events, _ = said(capsys)
    last = events[-1]
    assert (last["type"], last["n"], last["output"], last["reused"]) == ("job.completed", 52, str(out), 0)
    assert [Path(item["path"]).name for item in last["skipped"]] == ["notes.mp4", "007.mp4"]
    assert sum(event["type"] == "warning" for event in events) == 2
    assert [event["done"] for event in events if event["type"] == "step.progress"] == list(range(1, 55))
    made = PercentileMap.model_validate_json(out.read_text())
    assert (made.n, made.model_hash, made.preprocessing_hash) == (52, MODEL, PREPROCESSING)
    assert made.command == "agent vqa calibrate bench"
    assert str(tmp_path) not in out.read_text()
    one = folder / "deep" / "003.mp4"
    assert main(["vqa", "score", str(one), "--map", str(out), "--json"]) == 0
    rows, _ = said(capsys)
    rank = sorted(made.scores).index(rows[0]["score"]) + 1
    assert rows[0]["percentile"] == pytest.approx(100 * rank / 53)
    assert rows[0]["benchmark_hash"] == made.benchmark_hash == last["benchmark_hash"]


def test_a_killed_calibration_goes_on_where_it_was(
    clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = copies(clip, tmp_path / "bench", 51), tmp_path / "map.json"
    network.fails_at["020.mp4"] = KeyboardInterrupt()  # type: ignore[assignment]
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), "--json"]) == 130
    assert said(capsys)[0][-1]["type"] == "job.failed"
    assert not out.exists()
    network.fails_at, network.scored = {}, []
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), "--json"]) == 0
    assert network.scored == [f"{number:03}.mp4" for number in range(20, 51)]
    assert said(capsys)[0][-1]["reused"] == 20
    first = out.read_text()
    assert main(["vqa", "calibrate", str(folder), "--out", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_text() == first
    network.hash, network.scored = "d" * 64, []
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), "--overwrite"]) == 0
    assert len(network.scored) == 51, "another model's scores were used"
    assert PercentileMap.model_validate_json(out.read_text()).model_hash == "d" * 64


def test_a_damaged_score_in_the_cache_is_made_again(clip: Path, tmp_path: Path, network: StandIn) -> None:
    folder = copies(clip, tmp_path / "bench", 50)
    assert main(["vqa", "calibrate", str(folder), "--out", str(tmp_path / "a.json")]) == 0
    kept = sorted((tmp_path / "cache" / "vqa" / "scores").rglob("*.json"))
    kept[0].write_text("{")
    network.scored = []
    assert main(["vqa", "calibrate", str(folder), "--out", str(tmp_path / "b.json")]) == 0
    assert len(network.scored) == 1
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_a_video_that_kills_the_worker_does_not_stop_the_others(
    clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copies(clip, tmp_path / "bench", 52)
    network.fails_at["010.mp4"] = InputError("step `score` crashed on this input")
    assert main(["vqa", "calibrate", str(folder), "--out", str(tmp_path / "map.json"), "--json"]) == 0
    last = said(capsys)[0][-1]
    assert (last["n"], len(last["skipped"]), HereWorker.started) == (51, 1, 2)


def test_what_is_the_machines_fault_stops_and_names_the_video(
    clip: Path, tmp_path: Path, network: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copies(clip, tmp_path / "bench", 50)
    network.fails_at["010.mp4"] = EnvironmentNotReady("the disk is full")
    assert main(["vqa", "calibrate", str(folder), "--out", str(tmp_path / "map.json")]) == 5
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {folder / '010.mp4'}: the disk is full"


def nothing(folder: Path, _: Path) -> Path:
    folder.mkdir()
    return folder


def texts(folder: Path, _: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no video")
    return folder


def few(folder: Path, clip: Path) -> Path:
    return copies(clip, folder, 3)


def mostly_damaged(folder: Path, clip: Path) -> Path:
    copies(clip, folder, 49)
    return text(folder).parent


def no_folder(folder: Path, _: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "holds 0 videos: a percentile scale needs at least 50"),
        (texts, "holds 0 videos"),
        (few, "holds 3 videos"),
        (mostly_damaged, "holds 49 videos; 1 were skipped"),
        (no_folder, "is not a folder"),
    ],
)
def test_folders_that_are_no_benchmark_are_refused(
    make: Callable[[Path, Path], Path],
    words: str,
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "map.json"
    assert main(["vqa", "calibrate", str(make(tmp_path / "bench", clip)), "--out", str(out)]) == 3
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--out", "{folder}/taken.json"], 2, "pass --overwrite"),
        (["--out", "{folder}"], 2, "is a folder"),
        (["--out", "{folder}/none/map.json"], 2, "create it first"),
        (["--poor-below", "80"], 2, "two rising percentiles"),
        (["--excellent-from", "100"], 2, "two rising percentiles"),
        (["--poor-below", "nan"], 2, "two rising percentiles"),
        (["--residuals", "{folder}/none.csv"], 3, "does not exist"),
        (["--residuals", "{folder}/few.csv"], 3, "3 residuals are too few"),
    ],
)
def test_what_cannot_be_written_or_meant_is_told_before_any_work(
    arguments: list[str],
    code: int,
    words: str,
    clip: Path,
    tmp_path: Path,
    network: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.json").write_text("mine")
    (tmp_path / "few.csv").write_text("residual\n1\n2\n3\n")
    given = [argument.format(folder=tmp_path) for argument in arguments]
    assert main(["vqa", "calibrate", str(tmp_path), *given]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert network.scored == []
    assert (tmp_path / "taken.json").read_text() == "mine"


def test_limits_and_residuals_go_into_the_map(clip: Path, tmp_path: Path) -> None:
    folder, out = copies(clip, tmp_path / "bench", 50), tmp_path / "map.json"
    (tmp_path / "r.csv").write_text("residual\n" + "\n".join(str(-number) for number in range(1, 20)))
    options = ["--poor-below", "10", "--residuals", str(tmp_path / "r.csv")]
    assert main(["vqa", "calibrate", str(folder), "--out", str(out), *options]) == 0
    made = PercentileMap.model_validate_json(out.read_text())
    assert (made.thresholds.poor_below, made.thresholds.excellent_from) == (10, 75)
    assert made.thresholds.basis == "chosen at calibration"
    assert made.score_half_width == 19.0


def periods(tmp_path: Path, shift: float) -> list[str]:
    (tmp_path / "old").mkdir()
    for part in (0, 1):
        rows = [{"type": "vqa.score", "score": 40 + (part * 50 + i) / 5, "model_hash": MODEL} for i in range(50)]
        (tmp_path / "old" / f"{part}.ndjson").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "new.csv").write_text("score\n" + "\n".join(str(40 + i / 5 + shift) for i in range(100)))
    return [str(tmp_path / "old"), str(tmp_path / "new.csv")]


@pytest.mark.parametrize(("shift", "word"), [(0.0, "stable"), (1.5, "moderate"), (10.0, "shifted")])
def test_drift_says_a_word_its_figures_and_exit_0(
    shift: float, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = periods(tmp_path, shift)
    assert main(["vqa", "drift", *files, "--json"]) == 0
    (found,), _ = said(capsys)
    assert found["word"] == word
    assert found["ks"] == pytest.approx(shift / 20, abs=0.011)
    assert (found["reference_n"], found["current_n"]) == (100, 100)
    assert main(["vqa", "drift", *files]) == 0
    sentence = capsys.readouterr().out
    assert sentence.startswith(f"{word}: PSI {found['psi']:.3f} (moderate from 0.1, shifted from 0.25), KS ")
    assert len(sentence.splitlines()) == 1


def test_drift_reads_what_score_wrote(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted(copies(clip, tmp_path / "bench", 50).iterdir())]
    assert main(["vqa", "score", *files, str(text(tmp_path)), "--json"]) == 3
    (tmp_path / "scores.ndjson").write_text(capsys.readouterr().out)
    assert main(["vqa", "drift", str(tmp_path / "scores.ndjson"), str(tmp_path / "scores.ndjson")]) == 0
    assert capsys.readouterr().out.startswith("stable: PSI 0.000")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("score\n" + "1\n" * 49, "the current period has 49 scores: at least 50"),
        ("score\n" + "1\n" * 60 + "good\n", "line 62: the column `score` is 'good'"),
        ("score,model_hash\n" + f"1,{'e' * 64}\n" * 60, "the scores are of several models"),
    ],
)
def test_periods_that_cannot_be_compared_are_exit_3(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = periods(tmp_path, 0.0)
    Path(files[1]).write_text(content)
    assert main(["vqa", "drift", *files]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert words in line


def test_every_measure_is_listed_with_what_its_numbers_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa", "metrics", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["name"] for one in listed] == [spec.name for spec in MEASURES]
    assert {one["better"] for one in listed} == {"lower", "higher", "neither"}
    assert main(["vqa", "metrics"]) == 0
    assert "lower is better" in capsys.readouterr().out


def test_the_table_in_the_docs_is_the_registry() -> None:
    rows = {line.split("|")[1].strip(" `") for line in DOCS.read_text().splitlines() if line.startswith("| `")}
    assert {spec.name for spec in MEASURES} <= rows
