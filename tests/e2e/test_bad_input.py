"""Bad input: one sentence on stderr, the right exit code, nothing left behind, the source untouched."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from agent.cli.main import main
from tests.media import make_clip

Case = Callable[[Path, Path], Path]


def truncated(share: float) -> Case:
    def make(folder: Path, sample: Path) -> Path:
        data = sample.read_bytes()
        path = folder / "truncated.mp4"
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return make


def written(name: str, content: bytes) -> Case:
    def make(folder: Path, _: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def picture(size: str) -> Case:
    def make(folder: Path, _: Path) -> Path:
        return make_clip(
            folder / "odd.mkv", size=size, codec="ffv1", pix_fmt="yuv444p", duration_s=0.2, source="color=c=gray"
        )

    return make


def audio_only(folder: Path, _: Path) -> Path:
    path = make_clip(folder / "both.mp4", audio=True, duration_s=0.3)
    only = folder / "audio.mp4"
    subprocess.run([_ffmpeg(), "-loglevel", "error", "-i", path, "-vn", "-c", "copy", only], check=True)
    path.unlink()
    return only


def no_frames(folder: Path, _: Path) -> Path:
    """A picture stream that never got a picture."""
    path = folder / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return path


def directory(folder: Path, _: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def missing(folder: Path, _: Path) -> Path:
    return folder / "nobody.mp4"


def playlist(folder: Path, sample: Path) -> Path:
    path = folder / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{sample}\n")
    return path


def not_utf8(folder: Path, sample: Path) -> Path:
    path = folder / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(sample.read_bytes())
    return path


def name_too_long(folder: Path, _: Path) -> Path:
    return folder / ("a" * 300)


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


BAD_INPUTS: dict[str, Case] = {
    "empty file": written("empty.mp4", b""),
    "text file": written("notes.mp4", b"this is not a video\n" * 50),
    "random bytes": written("noise.mp4", bytes(i * 197 % 251 for i in range(20000))),
    "truncated at 1 %": truncated(0.01),
    "truncated at 50 %": truncated(0.50),
    "truncated at 99 %": truncated(0.99),
    "audio only": audio_only,
    "directory": directory,
    "missing": missing,
    "a playlist that points elsewhere": playlist,
    "1x1 picture": picture("1x1"),
    "no frames": no_frames,
    "a name that is not UTF-8": not_utf8,
    "a name that no file can have": name_too_long,
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input(
    name: str, tmp_path: Path, sample_clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    folder = tmp_path / "in"
    folder.mkdir()
    source = BAD_INPUTS[name](folder, sample_clip)
    before = snapshot(folder)
    code = main(["process", str(source), "-o", str(folder / "out.mp4"), "--profile", "fast"])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert code == 3, captured.err
    assert len(errors) == 1, captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert snapshot(folder) == before


def test_an_unreadable_file_is_bad_input(tmp_path: Path, sample_clip: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file: run the tests as another user to cover this")
    source = tmp_path / "locked.mp4"
    source.write_bytes(sample_clip.read_bytes())
    source.chmod(0)
    assert main(["process", str(source), "-o", str(tmp_path / "out.mp4")]) == 3


def test_one_frame_is_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    source = make_clip(tmp_path / "one.mp4", size="320x180", rate=25, duration_s=0.04)
    output = tmp_path / "out.mp4"
    code = main(["process", str(source), "-o", str(output), "--profile", "fast", "--model", "direct203"])
    assert (code, output.exists()) == (0, True)


def test_a_very_wide_picture_goes_where_a_codec_can_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    source = make_clip(tmp_path / "wide.mkv", size="8192x16", codec="ffv1", duration_s=0.2)
    output = tmp_path / "out.mkv"
    command = ["process", str(source), "-o", str(output), "--profile", "fast", "--model", "direct203"]
    for codec in ("hevc", "av1"):
        assert main([*command, "--codec", codec]) == 3
        assert "8192x16" in capsys.readouterr().err
        assert not output.exists()
    assert main([*command, "--codec", "ffv1"]) == 0
    assert output.exists()


def test_a_full_disk_stops_the_run_and_leaves_nothing(tmp_path: Path, sample_clip: Path) -> None:
    """The output lies on a file system of its own, of a size that the output does not fit."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root and the permission to mount")
    try:
        result = process_in(sample_clip, small / "out.mp4", tmp_path / "home")
        assert result.returncode == 5, result.stderr
        assert "space" in result.stderr
        assert not list(small.iterdir())
    finally:
        subprocess.run(["/bin/umount", str(small)], check=True)


@pytest.mark.parametrize("limit_bytes", [12_000, 60_000])
def test_a_full_disk_under_the_runs_folder_stops_the_run(limit_bytes: int, tmp_path: Path, sample_clip: Path) -> None:
    """A file size limit makes every write beyond it fail as a full disk does."""
    output = tmp_path / "out.mp4"
    result = process_in(
        sample_clip,
        output,
        tmp_path / "home",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )
    assert result.returncode == 5, result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def process_in(source: Path, output: Path, home: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", "process", str(source), "-o", str(output), "--profile", "fast"]
    return subprocess.run(
        [*command, "--model", "direct203"],
        capture_output=True,
        text=True,
        env={**os.environ, "SDR2HDR_HOME": str(home)},
        timeout=300,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["process"], "Missing argument"),
        (["process", "{clip}", "-o", "{clip}"], "same file"),
        (["process", "{clip}", "-o", "{folder}/out.avi"], "must end in"),
        (["process", "{clip}", "-o", "{folder}/dangling.mp4", "--overwrite"], "link to a file that does not exist"),
        (["process", "{clip}", "-o", "{folder}/" + "a" * 240 + ".mp4"], "too long"),
        (["process", "{clip}", "-o", "{folder}/noted.mp4"], "noted.mp4.manifest.json exists already"),
        (["process", "{clip}", "-o", "{folder}/no/out.mp4"], "does not exist"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--profile", "warp"], "fast"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--model", "magic"], "direct203"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--model", "deband"], "restores"),
        (["plan", "{clip}", "--model", "magic"], "direct203"),
        (["process", "{clip}", "-o", "{folder}/out.mp4", "--peak-nits", "5"], "203"),
        (["models", "show", "magic"], "direct203"),
        (["runs", "resume", "nothing"], "runs list"),
        (["fly"], "No such command"),
    ],
)
def test_usage_errors(
    arguments: list[str],
    words: str,
    sample_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDR2HDR_HOME", str(tmp_path / "home"))
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "noted.mp4.manifest.json").write_text("mine")
    before = snapshot(tmp_path)
    filled = [argument.format(clip=sample_clip, folder=tmp_path) for argument in arguments]
    assert main(filled) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Finding shots" not in captured.err
    assert {name: digest for name, digest in snapshot(tmp_path).items() if not name.startswith("home")} == before


def snapshot(folder: Path) -> dict[str, str]:
    """Name and content of everything in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }
