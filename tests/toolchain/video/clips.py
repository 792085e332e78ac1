"""Small clips made by imageio-ffmpeg's binary from synthetic sources, so that their truth is known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg


def make(path: Path, *arguments: str) -> Path:
    """Run ffmpeg with `arguments` into `path`."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-threads", "2", *arguments, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def lavfi(source: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", source)


def pattern(size: str = "320x240", rate: str = "25", duration: float = 1) -> tuple[str, ...]:
    """A moving test picture with a frame counter."""
    return lavfi(f"testsrc2=size={size}:rate={rate}:duration={duration}")
