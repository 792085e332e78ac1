"""CPU time of restoring a 1080p frame, for benchmarks.restoration."""

from __future__ import annotations

import resource
import subprocess
import time
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

from toolchain.models.restorer import Restorer
from toolchain.models.sessions import session

FRAMES = 2
REPETITIONS = 3
SOURCE = f"testsrc2=size=1920x1080:rate=10:duration={FRAMES / 10},format=yuv420p10le"


def filter_cost_ms(filters: str) -> float:
    """CPU-ms a frame of FFmpeg's filters, less what the program takes without them."""
    return round((_run_ms(filters) - _run_ms("null")) / FRAMES, 1)


def _run_ms(filters: str) -> float:
    source = ["-f", "lavfi", "-i", SOURCE]
    sink = ["-vf", f"{filters},format=yuv420p10le", "-f", "null", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", *source, *sink]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def network_cost_ms(model_id: str) -> float:
    """Least CPU-ms of restoring a frame, conversion to planes and back included."""
    codes = np.random.default_rng(0).integers(100, 120, (1620, 1920), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(codes, "yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    restorer = Restorer(model_id, {}, session(model_id, "restore"))
    times_ms = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        restorer.restore(frame)
        times_ms.append(1000 * (time.process_time() - start))
    return round(min(times_ms), 1)
