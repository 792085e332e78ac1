"""Tiny test clips of known content, drawn by FFmpeg's own sources."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg


def make_clip(
    path: Path,
    *,
    size: str = "160x90",
    duration_s: float = 1.0,
    rate: int | Fraction = 24,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    source: str = "testsrc2",
    audio: bool = False,
    extra_args: Sequence[str] = (),
) -> Path:
    """Write a clip of a lavfi `source` (its own options may be given: "color=c=white") and return its path.

    `audio` adds a 440 Hz tone; `extra_args` are output options, e.g. ("-vf", "setparams=color_trc=bt709").
    The same call writes the same bytes. Raises subprocess.CalledProcessError with FFmpeg's words in `stderr`.
    """
    joint = ":" if "=" in source else "="
    drawn = f"{source}{joint}size={size}:rate={rate}"
    streams = [ffmpeg.input(drawn, f="lavfi", t=duration_s)]
    if audio:
        streams.append(ffmpeg.input("sine=frequency=440:sample_rate=48000", f="lavfi", t=duration_s))
    fixed = {"fflags": "+bitexact", "flags": "+bitexact", "threads": 1, "loglevel": "error"}
    output = ffmpeg.output(*streams, str(path), vcodec=codec, pix_fmt=pix_fmt, **fixed)
    *command, target = output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    subprocess.run([*command, *extra_args, "-y", target], check=True, capture_output=True, timeout=120)
    return path
