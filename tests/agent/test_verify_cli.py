"""`agent verify` in process: exact exit codes, the record on stdout, one sentence for what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli.main import main
from analysis.vqa.registry import GATE_NAMES
from tests.agent.verify_clips import (
    HLG_FFV1,
    ICTCP_FFV1,
    P3_FFV1,
    filtered,
    grown,
    moving,
    remade,
    write_hdr,
    write_sdr,
)
from toolchain.files import sha256_file
from toolchain.video.probe import probe
from training.data.clip_writer import PQ_HEVC

FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sdr.mkv, its expansion good.mkv and the same light as HDR, plain.mkv. Not to be changed by tests."""
    path = tmp_path_factory.mktemp("pairs")
    frames = moving(FRAMES)
    write_sdr(path / "sdr.mkv", frames)
    write_hdr(path / "good.mkv", grown(frames))
    write_hdr(path / "plain.mkv", frames)
    return path


def verified(capsys: pytest.CaptureFixture[str], source: Path, output: Path, *options: str) -> tuple[int, Any]:
    """Exit code and the record of `agent verify --json`."""
    code = main(["verify", str(source), str(output), "--json", *options])
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1, captured.err
    return code, json.loads(captured.out)


def refused(capsys: pytest.CaptureFixture[str], source: Path, output: Path, *options: str) -> tuple[int, str]:
    """Exit code and the one sentence of a refusal; nothing on stdout."""
    code = main(["verify", str(source), str(output), *options])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert (captured.out, len(errors)) == ("", 1), captured.err
    assert "Traceback" not in captured.err
    return code, errors[0]


def finite(record: dict[str, Any]) -> bool:
    numbers = [record["gain"], *record["metrics"].values()]
    numbers += [gate["value"] for gate in record["gates"] if gate["value"] is not None]
    return bool(np.isfinite(numbers).all())


def test_a_good_expansion_is_accepted_and_the_record_says_it_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, record = verified(capsys, folder / "sdr.mkv", folder / "good.mkv")
    assert (code, record["exit_code"], record["outcome"]) == (0, 0, "accept")
    assert record["gain_low"] > 0
    assert record["gain"] > record["gain_noise"] > 0
    assert record["gain_unit"]
    assert {gate["gate"] for gate in record["gates"]} >= set(GATE_NAMES)
    keys = {"gate", "state", "value", "limit", "unit", "direction", "detail", "frames"}
    assert all(keys <= set(gate) for gate in record["gates"])
    assert record["source"]["sha256"] == sha256_file(folder / "sdr.mkv")
    assert record["output"]["sha256"] == sha256_file(folder / "good.mkv")
    assert (record["output"]["transfer"], record["controls"]["peak_nits"]) == ("smpte2084", 1000.0)


def test_an_hdr_file_without_a_gain_is_safe_and_not_accepted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, record = verified(capsys, folder / "sdr.mkv", folder / "plain.mkv")
    assert (code, record["outcome"]) == (4, "accept_no_gain")
    assert all(gate["state"] != "failed" for gate in record["gates"])
    assert main(["verify", str(folder / "sdr.mkv"), str(folder / "plain.mkv")]) == 4
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Not accepted: safe, but no better than doing nothing (exit 4)"


def test_a_damaged_file_is_rejected_with_the_gate_and_its_frames(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = write_hdr(tmp_path / "dark.mkv", [frame / 2 for frame in moving(FRAMES)])
    assert main(["verify", str(folder / "sdr.mkv"), str(dark)]) == 4
    lines = capsys.readouterr().out.splitlines()
    failed = next(line for line in lines if line.startswith("failed") and "exposure" in line)
    assert "at most 0.5 stop" in failed
    assert "frames" in failed
    assert lines[-1].startswith("Rejected: fails ")
    assert "exposure" in lines[-1]


def test_limits_of_ones_own_decide(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from analysis.vqa.spec import load_limits

    strict = load_limits().model_dump() | {"fidelity_median": 1e-3}
    path = tmp_path / "limits.yaml"
    path.write_text(json.dumps(strict))
    code, record = verified(capsys, folder / "sdr.mkv", folder / "good.mkv", "--limits", str(path))
    gate = next(gate for gate in record["gates"] if gate["gate"] == "fidelity_median")
    assert (code, record["outcome"], gate["state"], gate["limit"]) == (4, "reject", "failed", 1e-3)
    path.write_text("fidelity_median: none")
    assert refused(capsys, folder / "sdr.mkv", folder / "good.mkv", "--limits", str(path))[0] == 2


def test_an_hlg_output_is_judged(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hlg = write_hdr(tmp_path / "hlg.mkv", grown(moving(FRAMES)), coding=HLG_FFV1)
    code, record = verified(capsys, folder / "sdr.mkv", hlg)
    assert (code, record["outcome"], record["output"]["hdr"]) == (0, "accept", "hlg")


@pytest.mark.parametrize("suffix", [".hevc", ".ts"])
def test_containers_of_other_tools(
    suffix: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare bitstream does not time its pictures; MPEG-TS does not begin at 0."""
    mp4 = write_hdr(tmp_path / "out.mp4", grown(moving(FRAMES)), coding=PQ_HEVC)
    code, record = verified(capsys, folder / "sdr.mkv", remade(tmp_path / f"out{suffix}", mp4, "-c", "copy"))
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]


@pytest.mark.parametrize("scale", [2, 3])
def test_the_same_aspect_at_another_scale_is_compared(
    scale: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = f"scale={160 * scale}:{90 * scale}:flags=bicubic"
    large = filtered(tmp_path / "large.mkv", folder / "good.mkv", chain)
    assert main(["verify", str(folder / "sdr.mkv"), str(large), "--json"]) == 0
    captured = capsys.readouterr()
    assert f"OUT shows {160 * scale}x{90 * scale}" in captured.err


def test_a_portrait_source_on_its_side_meets_an_upright_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upright = [np.ascontiguousarray(np.rot90(frame)) for frame in moving(FRAMES)]
    lying = write_sdr(tmp_path / "lying.mkv", [np.ascontiguousarray(np.rot90(frame)) for frame in upright])
    flat = remade(tmp_path / "flat.mp4", lying, "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p")
    source = remade(tmp_path / "turned.mp4", flat, "-c", "copy", before=("-display_rotation:v:0", "-90"))
    video = probe(source).video
    assert video is not None
    assert (video.width, video.rotation_deg) == (160, 90)
    output = write_hdr(tmp_path / "out.mkv", grown(upright))
    code, record = verified(capsys, source, output)
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]
    forgotten = write_hdr(tmp_path / "forgotten.mkv", grown(moving(FRAMES)))
    code, words = refused(capsys, source, forgotten)
    assert code == 3
    assert "turned by 90 degrees" in words


def test_an_odd_size_may_grow_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also a landscape clip whose height is odd; the output repeats its last row and column."""
    frames = moving(FRAMES)
    whole = write_sdr(tmp_path / "whole.mkv", frames)
    odd = remade(tmp_path / "odd.mkv", whole, "-vf", "format=yuv444p,crop=159:89:0:0", "-c:v", "ffv1")
    video = probe(odd).video
    assert video is not None
    assert (video.width, video.height) == (159, 89)
    output = write_hdr(tmp_path / "out.mkv", grown(frames))
    code, record = verified(capsys, odd, output)
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]


def test_an_interlaced_source_meets_its_progressive_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [frame[:88] for frame in moving(2 * FRAMES)]
    woven = []
    for index in range(FRAMES):
        frame = fields[2 * index].copy()
        frame[1::2] = fields[2 * index + 1][1::2]
        woven.append(frame)
    flat = write_sdr(tmp_path / "flat.mkv", woven)
    arguments = ("-c:v", "libx264", "-qp", "0", "-x264opts", "tff=1", "-vf", "setfield=tff")
    source = remade(tmp_path / "interlaced.mp4", flat, *arguments)
    output = write_hdr(tmp_path / "out.mkv", grown(fields[::2]))
    code, record = verified(capsys, source, output)
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]
    bobbed = write_hdr(tmp_path / "bob.mkv", grown(fields), rate=50)
    code, words = refused(capsys, source, bobbed)
    assert code == 3
    assert f"{2 * FRAMES} frames at 50 fps against {FRAMES} frames at 25 fps" in words


def test_an_output_that_is_damaged_inside_is_not_accepted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FFV1 decodes on through broken slices and says nothing: the gates see it."""
    data = bytearray((folder / "good.mkv").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    code, record = verified(capsys, folder / "sdr.mkv", _written(tmp_path / "o.mkv", bytes(data)))
    assert (code, record["outcome"]) == (4, "reject")


def test_a_report_is_written_whatever_the_names_are(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "<img src=x onerror=alert(1)>\u202e.mkv"
    output.write_bytes((folder / "good.mkv").read_bytes())
    report = tmp_path / "report.html"
    code, record = verified(capsys, folder / "sdr.mkv", output, "--report", str(report))
    page = report.read_text(encoding="utf-8")
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202e.mkv" in page
    assert page.count("data:image/jpeg;base64,") == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output.name, "report.html"])
    before = report.stat().st_mtime_ns
    assert refused(capsys, folder / "sdr.mkv", output, "--report", str(report))[0] == 2
    assert report.stat().st_mtime_ns == before
    again = verified(capsys, folder / "sdr.mkv", output, "--report", str(report), "--overwrite")
    assert again == (code, record)
    assert report.read_text(encoding="utf-8") == page


def test_one_frame_gets_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = moving(1)
    source, output = write_sdr(tmp_path / "one.mkv", frames), write_hdr(tmp_path / "out.mkv", grown(frames))
    code, record = verified(capsys, source, output, "--report", str(tmp_path / "one.html"))
    assert (code, record["outcome"], record["gain_low"]) == (4, "uncertain", None)
    assert finite(record)
    assert "no interval" in (tmp_path / "one.html").read_text()


def test_shots_of_5_ms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """200 frames a second, every one another picture."""
    frames = [moving(1, seed)[0] for seed in range(20)]
    source = write_sdr(tmp_path / "in.mkv", frames, rate=200)
    output = write_hdr(tmp_path / "out.mkv", grown(frames), rate=200)
    code, record = verified(capsys, source, output)
    assert finite(record)
    assert code == (0 if record["outcome"] == "accept" else 4)


@pytest.mark.parametrize("level", [0.0, 203.0])
def test_flat_pictures_give_finite_numbers(level: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [np.full((90, 160, 3), level, np.float32)] * 4
    source, output = write_sdr(tmp_path / "in.mkv", frames), write_hdr(tmp_path / "out.mkv", frames)
    code, record = verified(capsys, source, output, "--report", str(tmp_path / "flat.html"))
    assert code == 4
    assert finite(record)


def test_variable_frame_rates_are_compared_by_their_times(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uneven = "setpts=(N+0.4*mod(N\\,2))/25/TB"
    timing = ("-fps_mode", "passthrough", "-enc_time_base", "1/1000")
    source = remade(tmp_path / "vfr.mkv", folder / "sdr.mkv", "-vf", uneven, "-c:v", "ffv1", *timing)
    output = filtered(tmp_path / "out.mkv", folder / "good.mkv", uneven, *timing)
    code, record = verified(capsys, source, output)
    assert (code, record["outcome"]) == (0, "accept"), record["reason"]
    late = filtered(tmp_path / "late.mkv", folder / "good.mkv", "setpts=(N+5*gte(N\\,6))/25/TB", *timing)
    code, words = refused(capsys, source, late)
    assert code == 3
    assert "frame 6 is shown at 0.4400 s instead of 0.2400 s" in words
    assert "variable" in words


Make = Callable[[Path, Path], Path]

REFUSALS: dict[str, tuple[Make, str]] = {
    "shorter": (lambda at, _: write_hdr(at / "o.mkv", moving(9)), "shorter.*9 frames at 25 fps against 12 frames"),
    "longer": (lambda at, _: write_hdr(at / "o.mkv", moving(14)), "longer.*14 frames at 25 fps against 12 frames"),
    "another rate": (
        lambda at, _: write_hdr(at / "o.mkv", moving(FRAMES), rate=30),
        "another rate.*30 fps against 25 fps",
    ),
    "another aspect": (
        lambda at, all_: filtered(at / "o.mkv", all_ / "good.mkv", "crop=160:68"),
        r"160x68 \(2\.353:1\).*160x90 \(1\.778:1\).*same aspect",
    ),
    "too small": (
        lambda at, all_: filtered(at / "o.mkv", all_ / "good.mkv", "scale=64:36"),
        r"64x36 .*too small.*at least 160x90",
    ),
    "SDR": (lambda at, all_: remade(at / "o.mkv", all_ / "sdr.mkv", "-c", "copy"), "not HDR.*bt709.*PQ or HLG"),
    "P3 primaries": (
        lambda at, _: write_hdr(at / "o.mkv", moving(FRAMES), coding=P3_FFV1),
        "primaries 'smpte432'.*only BT.2020",
    ),
    "ICtCp": (lambda at, _: write_hdr(at / "o.mkv", moving(FRAMES), coding=ICTCP_FFV1), "matrix 'ictcp'"),
    "audio only": (
        lambda at, _: remade(at / "o.m4a", Path("sine=duration=0.2"), before=("-f", "lavfi")),
        "no picture",
    ),
    "no video": (lambda at, _: _written(at / "o.mkv", b"no video" * 100), "not a video"),
    "truncated": (
        lambda at, all_: _written(at / "o.mkv", (all_ / "good.mkv").read_bytes()[:-5000]),
        "truncated|damaged",
    ),
    "empty": (lambda at, _: _written(at / "o.mkv", b""), "is empty"),
    "missing": (lambda at, _: at / "nothing.mkv", "does not exist"),
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_compared_is_named(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    make, words = REFUSALS[name]
    report = tmp_path / "report.html"
    code, sentence = refused(capsys, folder / "sdr.mkv", make(tmp_path, folder), "--report", str(report))
    assert code == 3
    assert re.search(words, sentence), sentence
    assert not report.exists()


def test_a_source_that_is_hdr_or_the_output_itself_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = refused(capsys, folder / "good.mkv", folder / "plain.mkv")
    assert code == 3
    assert "HDR already" in words
    assert "SRC must be the SDR source" in words
    link = tmp_path / "link.mkv"
    link.symlink_to(folder / "sdr.mkv")
    code, words = refused(capsys, folder / "sdr.mkv", link)
    assert code == 2
    assert "same file" in words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("page.mkv", "must end in .html"),
        ("none/page.html", "does not exist"),
        ("taken.html", "exists already: pass --overwrite"),
        ("folder.html", "is a folder"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    name: str, words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    code, sentence = refused(capsys, folder / "sdr.mkv", folder / "good.mkv", "--report", str(tmp_path / name))
    assert code == 2
    assert words in sentence
    assert (tmp_path / "taken.html").read_text() == "mine"
