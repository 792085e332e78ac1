"""The command line in process: exact exit codes, stdout for results only."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.cli.main import main
from agent.state import JobSpec
from agent.store import RunStore, identify
from toolchain.color.transfer import pq_eotf
from toolchain.errors import EnvironmentNotReady
from toolchain.models.registry import model_ids


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))


def grey_png(path: Path, *levels: float) -> Path:
    """A 16-bit picture of one column a level."""
    row = np.rint(np.array(levels) * 65535).astype(np.uint16)
    cv2.imwrite(str(path), np.repeat(np.tile(row, (4, 1))[..., None], 3, axis=2))
    return path


def test_models_list_names_the_whole_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    listed = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(model_ids())


@pytest.mark.parametrize(
    ("model", "nits"),
    [
        ("direct203", (203 * 0.5**2.4, 203 * 0.75**2.4, 203.0)),
        ("bt2446a", (76.3, 279.0, 999.5)),
        ("bt2446c", (100 * 0.5**2.4 / 0.83802, 100 * 0.75**2.4 / 0.83802, 332.4)),
    ],
)
def test_models_apply_writes_the_published_light(model: str, nits: tuple[float, ...], tmp_path: Path) -> None:
    image, output = grey_png(tmp_path / "in.png", 0.5, 0.75, 1.0), tmp_path / "out.npy"
    assert main(["models", "apply", model, str(image), str(output)]) == 0
    signal = np.load(output, allow_pickle=False)
    assert (signal.dtype, signal.shape) == (np.float32, (4, 3, 3))
    assert pq_eotf(signal.astype(float))[0, :, 1] == pytest.approx(nits, rel=0.005)


def test_models_apply_refuses_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = grey_png(tmp_path / "in.png", 0.5), tmp_path / "out.npy"
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert main(["models", "apply", "deband", str(image), str(output)]) == 2
    assert main(["models", "apply", "spline", str(text), str(output)]) == 3
    assert main(["models", "apply", "spline", str(tmp_path / "no.png"), str(output)]) == 3
    assert not output.exists()
    output.write_bytes(b"mine")
    assert main(["models", "apply", "spline", str(image), str(output)]) == 2
    assert output.read_bytes() == b"mine"
    assert all(line.startswith("error: ") for line in capsys.readouterr().err.splitlines())


def test_models_apply_refuses_pictures_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A header of 60000x60000 is all it takes: OpenCV refuses by the header alone."""
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(bytes(9000)),
        b"IEND",
    )
    huge, empty = tmp_path / "huge.png", tmp_path / "empty.png"
    huge.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    )
    empty.touch()
    assert main(["models", "apply", "spline", str(huge), str(tmp_path / "out.npy")]) == 3
    assert main(["models", "apply", "spline", str(empty), str(tmp_path / "out.npy")]) == 3
    huge_words, empty_words = capsys.readouterr().err.splitlines()
    assert "too large" in huge_words
    assert "give a picture" in empty_words


def test_json_events_are_numbered_and_end_with_the_outcome(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    command = ["process", str(sample_clip), "-o", str(output), "--profile", "fast", "--model", "direct203", "--json"]
    assert main(command) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert all({"type", "seq", "ts", "job_key"} <= set(event) for event in events)
    assert len({event["job_key"] for event in events}) == 1
    assert events[-1]["type"] == "job.completed"
    assert events[-1]["output"] == str(output)
    steps = [event["step"] for event in events if event["type"] == "step.started"]
    assert steps == ["probe", "shots", "analyse", "plan", "pilot", "render", "verify", "commit"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["process", "{folder}/no.mp4"], 3, "does not exist"),
        (["process", "{clip}", "-o", "{clip}"], 2, "same file"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--model", "magic"], 2, "direct203"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--model", "deband"], 2, "restores"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--profile", "warp"], 2, "balanced"),
        (["plan", "{clip}", "--model", "deband"], 2, "restores"),
        (["plan", "{folder}/no.mp4"], 3, "does not exist"),
        (["runs", "resume", "nothing"], 2, "no run"),
    ],
)
def test_with_json_the_last_line_is_the_failure(
    arguments: list[str],
    code: int,
    words: str,
    sample_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [argument.format(clip=sample_clip, folder=tmp_path) for argument in arguments]
    assert main([*filled, "--json"]) == code
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["type"], last["exit_code"], last["output"]) == ("job.failed", code, None)
    assert words in last["message"]
    assert "step.started" not in captured.out
    assert len(captured.err.splitlines()) == 1


def test_with_json_a_locked_run_and_a_refusing_disk_fail_as_events(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["process", str(sample_clip), "-o", str(tmp_path / "out.mp4"), "--json"]
    store = RunStore()
    job = JobSpec(input=sample_clip.resolve(), output=tmp_path / "out.mp4")
    run = store.open(job, identify(job))
    with run.locked():
        assert main(command) == 5
        assert main(["runs", "remove", run.id]) == 5
    held = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (held["type"], held["run_id"], held["exit_code"]) == ("job.failed", run.id, 5)
    assert held["job_key"] == run.status.job_key
    monkeypatch.setattr(RunStore, "open", raising(EnvironmentNotReady("no space left")))
    assert main(command) == 5
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["message"] == "no space left"


def test_with_json_even_a_bug_ends_in_a_failure(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.jobs.run_job", raising(RuntimeError("oh \x1b[31mno")))
    assert main(["process", str(sample_clip), "-o", str(tmp_path / "out.mp4"), "--json"]) == 1
    captured = capsys.readouterr()
    last = json.loads(captured.out.splitlines()[-1])
    assert (last["type"], last["exit_code"]) == ("job.failed", 1)
    assert "\x1b" not in captured.err


def raising(error: Exception) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise error

    return refuse


def test_a_reader_who_leaves_interrupts_the_run(sample_clip: Path, tmp_path: Path) -> None:
    """As `agent process ... --json | head -1` does."""
    command = [sys.executable, "-m", "agent", "process", str(sample_clip), "-o", str(tmp_path / "out.mp4")]
    process = subprocess.Popen(
        [*command, "--profile", "fast", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "step.started"
    process.stdout.close()
    assert process.stderr is not None
    words = process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in words
    assert "BrokenPipe" not in words
    (run,), _ = RunStore().runs()
    assert (run.status.state, run.status.exit_code) == ("interrupted", 130)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("command", [["models", "list"], ["graph"], ["doctor", "--json"]])
def test_a_reader_who_is_gone_is_no_error(command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "agent", *command], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (130, "")


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b]0;owned\x07\n\u202egpj.mp4"
    assert main(["process", str(tmp_path / name)]) == 3
    assert main([name]) == 2
    source = tmp_path / name
    source.write_bytes(b"content")
    job = JobSpec(input=source, output=tmp_path / "out.mp4")
    run = RunStore().open(job, identify(job))
    assert main(["runs", "list"]) == 0
    assert main(["runs", "show", run.id]) == 0
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert r"\x1b]0;owned\x07\n\u202egpj.mp4" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert len(captured.err.splitlines()) == 2


def test_plan_analyze_and_dry_run_write_nothing(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(sample_clip.parent.iterdir())
    assert main(["plan", str(sample_clip)]) == 0
    assert "direct203" in capsys.readouterr().out
    assert main(["analyze", str(sample_clip), "--json"]) == 0
    analysis = json.loads(capsys.readouterr().out)
    assert len(analysis["shots"]) == 3
    assert main(["process", str(sample_clip), "-o", str(tmp_path / "out.mp4"), "--dry-run"]) == 0
    assert sorted(sample_clip.parent.iterdir()) == before
    assert not (tmp_path / "out.mp4").exists()
    assert not list((tmp_path / "home" / "runs").glob("*/work"))


def test_runs_are_listed_shown_and_not_resumed_when_finished(
    sample_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", str(sample_clip)])
    capsys.readouterr()
    assert main(["runs", "list", "--json"]) == 0
    run_id = json.loads(capsys.readouterr().out.splitlines()[0])["run_id"]
    assert main(["runs", "show", run_id[:8]]) == 0
    assert str(sample_clip) in capsys.readouterr().out
    assert main(["runs", "resume", run_id]) == 2
    assert "finished" in capsys.readouterr().err


def test_runs_list_names_what_it_cannot_read(
    sample_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore()
    job = JobSpec(input=sample_clip.resolve(), output=tmp_path / "out.mp4")
    run = store.open(job, identify(job))
    foreign = run.folder.with_name("foreign")
    foreign.mkdir()
    (foreign / "status.json").write_text("[]")
    assert main(["runs", "list"]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == [run.id]
    assert "killed" in captured.out
    assert "foreign" in captured.err
    assert main(["runs", "show", run.id]) == 0
    assert main(["runs", "show", "foreign"]) == 2
    assert main(["runs", "remove", "foreign"]) == 0
    assert not foreign.exists()
    assert main(["runs", "remove", run.id[:8]]) == 0
    assert not run.folder.exists()


@pytest.mark.parametrize("changed", ["input", "configuration"])
def test_a_run_whose_basis_changed_is_not_resumed_and_no_other_is_made(
    changed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"content")
    job = JobSpec(input=source, output=tmp_path / "out.mp4")
    run = RunStore().open(job, identify(job))
    if changed == "input":
        source.write_bytes(b"changed")
    else:
        monkeypatch.setattr("agent.store.configs_sha256", lambda: "edited")
    assert main(["runs", "resume", run.id]) == 2
    assert changed in capsys.readouterr().err
    assert [folder.name for folder in run.folder.parent.iterdir()] == [run.id]


def test_verify_measures_the_masters_gain_and_refuses_the_source(
    sample_info, sample_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth by construction: the HDR master that the sample was graded from is better than doing nothing."""
    code = main(["verify", str(sample_clip), str(sample_info.master), "--json"])
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["gain_low"] > 0
    not_passed = {gate["gate"]: gate["state"] for gate in verdict["gates"] if gate["state"] != "passed"}
    assert (code, not_passed) == (0, {"structure": "not_measured"})
    assert main(["verify", str(sample_clip), str(sample_clip)]) == 2
    assert "same file" in capsys.readouterr().err


def test_graph_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph"]) == 0
    assert "probe" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(check["ok"] for check in checks if check["required"])


def test_sample_writes_the_master_beside_the_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mkv"
    command = ["sample", str(clip), "--with-master", "--seconds-per-shot", "0.2", "--size", "96x64"]
    assert main(command) == 0
    assert capsys.readouterr().out.split() == [str(clip), str(tmp_path / "clip.master.mkv")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.master.mkv", "clip.mkv"]
    assert main(command) == 2
    assert main([*command[:-1], "huge"]) == 2
