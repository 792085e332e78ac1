"""libvmaf's metrics (CAMBI, VMAF, SSIM ...) of luma pictures, from the program that imageio-ffmpeg brings.

Pictures are streamed to files that have no name, so nothing is left behind however the process ends, and only numbers
come back. One run may compute several features. libvmaf works on the 10-bit codes it is given and knows no light:
what the codes stand for (PQ, PU21) is the caller's matter, and `cambi:eotf=pq` is how CAMBI is told.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from toolchain.errors import AgentError, EnvironmentNotReady, SubprocessFailed
from toolchain.video.ffmpeg_cli import run_ffmpeg

MAX_CODE = 1023
MIN_SIDE = 216
"""CAMBI refuses pictures that are lower or narrower (libvmaf, feature/cambi.c, CAMBI_MIN_WIDTH_HEIGHT); multi-scale
SSIM needs 176. Smaller ones are continued by their mirror image, which adds neither edges nor steps."""

NEG_MODEL = r"version=vmaf_v0.6.1neg:motion.motion_force_zero=true"
"""VMAF without enhancement gain; each frame is taken as a still, so they need not follow each other."""

CPU_LIMIT_S = 600


class LibvmafUnavailable(EnvironmentNotReady):
    """libvmaf is not there, lacks a feature, or failed: nothing was measured."""


class LumaFile:
    """Luma pictures of one size on disk, in a file without a name: gone when closed, collected or killed.

    `folder`: where; None is the system's temporary folder.
    """

    def __init__(self, width: int, height: int, folder: Path | None = None):
        if min(width, height) < 1:
            raise AgentError(f"A picture of {width}x{height} cannot be measured; both sides must be 1 or more.")
        self.width, self.height = width, height
        self.stored_width, self.stored_height = (max(side + side % 2, MIN_SIDE) for side in (width, height))
        self.frames = 0
        self._grey = np.full(self.stored_width * self.stored_height // 2, (MAX_CODE + 1) // 2, "<u2").tobytes()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this object
        weakref.finalize(self, self._file.close)

    def append(self, luma: NDArray[np.integer]) -> None:
        """Add one picture: HxW codes 0..1023."""
        if luma.shape != (self.height, self.width):
            raise AgentError(f"A picture of {luma.shape} was given to a file of {(self.height, self.width)}.")
        margins = ((0, self.stored_height - self.height), (0, self.stored_width - self.width))
        whole = np.pad(np.clip(luma, 0, MAX_CODE).astype("<u2"), margins, mode="symmetric")
        self._file.write(whole.tobytes())
        # libvmaf takes no grey pictures: ffmpeg would convert them, and change their codes.
        self._file.write(self._grey)
        self.frames += 1

    def fileno(self) -> int:
        """The open file with all pictures in it, for a child process."""
        self._file.flush()
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> LumaFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()


def measure(
    distorted: LumaFile, reference: LumaFile | None, features: Sequence[str], model: str = ""
) -> list[dict[str, float]]:
    """libvmaf's numbers of each frame, by libvmaf's own names; NaN where it has none (an infinite PSNR, for one).

    `features`: as libvmaf writes them, e.g. "name=cambi:eotf=pq:max_log_contrast=5"; options it does not know are
    ignored by it. `model`: none unless given. `reference` None compares the file with itself, which is right for
    features that need none. Values do not depend on threads; one is used.

    Raises LibvmafUnavailable where libvmaf is missing, lacks a feature, fails, or takes over CPU_LIMIT_S.
    """
    reference = reference or distorted
    if (distorted.stored_width, distorted.stored_height) != (reference.stored_width, reference.stored_height):
        raise AgentError("libvmaf compares pictures of the same size only.")
    if not distorted.frames or distorted.frames != reference.frames:
        raise AgentError(f"libvmaf compares frame by frame: {distorted.frames} and {reference.frames} were given.")
    with tempfile.TemporaryFile() as log:
        pictures = [_input(file) for file in (distorted, reference)]
        options = {"feature": "|".join(features)} if features else {}
        measured = ffmpeg.filter(
            pictures, "libvmaf", model=model, log_fmt="json", log_path=f"/dev/fd/{log.fileno()}", **options
        )
        graph = measured.output("-", format="null").global_args("-loglevel", "error", "-filter_complex_threads", "1")
        _run(graph, (distorted.fileno(), reference.fileno(), log.fileno()))
        log.seek(0)
        rows = _rows(log.read())
    if len(rows) != distorted.frames:
        raise LibvmafUnavailable(f"libvmaf measured {len(rows)} of {distorted.frames} frames")
    return rows


def pick(row: dict[str, float], prefix: str) -> float:
    """The value whose name begins with `prefix`: libvmaf appends options to names, by rules that changed between
    versions. Raises LibvmafUnavailable where there is none."""
    for name, value in row.items():
        if name.startswith(prefix):
            return value
    raise LibvmafUnavailable(f"libvmaf gave no {prefix}")


def _input(file: LumaFile) -> Any:
    size = (file.stored_width, file.stored_height)
    name = f"file:/dev/fd/{file.fileno()}"
    return ffmpeg.input(name, format="rawvideo", pix_fmt="yuv420p10le", video_size=size, threads=1)


def _run(graph: Any, descriptors: tuple[int, ...]) -> None:
    try:
        run_ffmpeg(graph, CPU_LIMIT_S, descriptors)
    except SubprocessFailed as error:
        words = [line.strip() for line in error.stderr.strip().splitlines()[-4:]]
        raise LibvmafUnavailable(f"libvmaf failed: {' | '.join(words) or f'status {error.returncode}'}") from error
    except (RuntimeError, OSError) as error:
        # imageio-ffmpeg says with a RuntimeError that it has no program.
        raise LibvmafUnavailable(f"ffmpeg could not be started: {error}") from error


def _rows(log: bytes) -> list[dict[str, float]]:
    try:
        frames = json.loads(log)["frames"]
        return [
            {name: float("nan") if value is None else float(value) for name, value in frame["metrics"].items()}
            for frame in frames
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LibvmafUnavailable(f"libvmaf wrote a log that cannot be read: {error}") from error
