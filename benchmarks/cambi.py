"""CAMBI, Netflix's banding index, from the libvmaf inside imageio-ffmpeg's program."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from toolchain.errors import SubprocessFailed

MAX_LOG_CONTRAST = 5
"""Steps of up to 2^5 codes count; the default misses coarse ones (16-code steps score 0)."""

GREY = 512
TIMEOUT_S = 120


def cambi(luma: NDArray[np.uint16], eotf: Literal["bt1886", "pq"] = "bt1886") -> float:
    """Banding of one picture, 0 (none) to about 24: its 10-bit luma codes, HxW of even sides, shown by `eotf`.

    CAMBI looks at luma alone. Raises SubprocessFailed when the program fails.
    """
    height, width = luma.shape
    with tempfile.TemporaryDirectory() as folder:
        raw, log = Path(folder) / "picture.yuv", Path(folder) / "log.json"
        raw.write_bytes(luma.astype("<u2").tobytes() + np.full(luma.size // 2, GREY, "<u2").tobytes())
        source = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-video_size", f"{width}x{height}", "-i", str(raw)]
        feature = rf"feature='name=cambi\:max_log_contrast={MAX_LOG_CONTRAST}\:eotf={eotf}'"
        measure = ["-lavfi", f"[0:v][1:v]libvmaf={feature}:log_fmt=json:log_path={log}", "-f", "null", "-"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", *source, *source, *measure]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise SubprocessFailed(command, done.returncode, done.stderr)
        metrics = json.loads(log.read_text())["frames"][0]["metrics"]
    return next(float(value) for name, value in metrics.items() if name.startswith("cambi"))
