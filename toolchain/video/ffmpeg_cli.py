"""imageio-ffmpeg's program as a child: a fixed argument list, bounded, and gone when its parent is."""

from __future__ import annotations

import ctypes
import resource
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

import ffmpeg
import imageio_ffmpeg

from toolchain.errors import SubprocessFailed

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def run_ffmpeg(graph: Any, cpu_limit_s: int = 60, pass_fds: Sequence[int] = ()) -> str:
    """Runs a graph made with ffmpeg-python and returns its stderr; SubprocessFailed when it fails.

    The child gets `cpu_limit_s` seconds of CPU time, because what it reads may be hostile, and dies with its parent.
    `pass_fds`: open files that it may use, as /dev/fd/N.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", *ffmpeg.get_args(graph, True)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit_s, cpu_limit_s))
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", preexec_fn=limit, pass_fds=pass_fds
    )
    if done.returncode:
        raise SubprocessFailed(command, done.returncode, done.stderr)
    return done.stderr
