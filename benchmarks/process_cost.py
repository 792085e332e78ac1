"""Wall time of `agent process` beside a plain ffmpeg transcode, and peak memory, on one machine.

    python -m benchmarks.process_cost CLIP ... [--repeat 3] [--out docs/benchmarks/process_cost.json]

The plain transcode is one ffmpeg run: zscale from BT.709 to BT.2020 PQ at 203-nit white, the same encoder with the
same preset, rate factor and parameters, audio copied. Both sides run in turn; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg

from analysis.selection.profile import load_profile
from benchmarks.machine import describe_machine, write_report
from toolchain.video.output import Codec, OutputSpec
from toolchain.video.probe import probe

PQ_AT_203 = (
    "zscale=matrixin=709:transferin=709:primariesin=709:rangein=limited"
    ":matrix=2020_ncl:transfer=smpte2084:primaries=2020:range=limited:npl=203,format=yuv420p10le"
)

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Measured:
    """Medians over the repetitions; spread is the largest minus the smallest wall time."""

    case: str
    wall_s: float
    spread_s: float
    cpu_s: float
    peak_mib: float


def plain_command(clip: Path, output: Path, codec: Codec) -> list[str]:
    """The transcode an operator would write by hand, with the encoder settings of the `fast` profile."""
    settings = load_profile("fast").encoders[codec]
    video = probe(clip).video
    assert video is not None
    spec = OutputSpec.for_path(output, codec, "hdr10", settings.preset, settings.crf)
    options = spec.encoder_options(video.width, video.height, video.frame_rate or Fraction(24))
    encoder = {"hevc": "libx265", "av1": "libsvtav1"}[codec]
    arguments = [item for name, value in options.items() for item in (f"-{name}", value)]
    head = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", str(clip), "-vf", PQ_AT_203]
    return [*head, "-c:v", encoder, *arguments, "-c:a", "copy", str(output)]


def agent_command(clip: Path, output: Path, codec: Codec) -> list[str]:
    head = [sys.executable, "-m", "agent", "process", str(clip), "-o", str(output)]
    return [*head, "--profile", "fast", "--codec", codec, "--on-reject", "direct203", "--overwrite"]


def run_once(command: list[str], home: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory (MiB, resident, all processes of the tree added up)."""
    before = os.times()
    started = time.monotonic()
    environment = {**os.environ, "SDR2HDR_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = PeakMemory(process.pid)
    _, stderr = process.communicate()
    wall_s = time.monotonic() - started
    peak_mib = peak.stop()
    if process.returncode != 0:
        raise SystemExit(f"{command[:5]} ended with {process.returncode}: {stderr.decode()[-500:]}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return wall_s, cpu_s, peak_mib


class PeakMemory:
    """Samples the resident memory of a process and all below it ten times a second.

    Shared libraries count once a process: the figure is an upper bound. The proportional set size would be exact, but
    reading it costs a third of a core and would be measured too.
    """

    def __init__(self, pid: int):
        self._pid = pid
        self._peak_kib = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._stop.set()
        self._thread.join()
        return self._peak_kib / 1024

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self._peak_kib = max(self._peak_kib, sum(map(_resident_kib, _tree(self._pid))))


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _resident_kib(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except (FileNotFoundError, ProcessLookupError):
        return 0


def compare(clip: Path, codec: Codec, repeat: int, label: str) -> tuple[Measured, Measured]:
    """Plain transcode and agent in turn."""
    runs: dict[str, list[tuple[float, float, float]]] = {"plain ffmpeg": [], "agent": []}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        for number in range(repeat):
            runs["plain ffmpeg"].append(run_once(plain_command(clip, output, codec), Path(folder)))
            output.unlink()
            home = Path(folder) / f"home{number}"
            runs["agent"].append(run_once(agent_command(clip, output, codec), home))
            output.unlink()
    plain, ours = (_median(f"{label}, {codec}, {name}", values) for name, values in runs.items())
    return plain, ours


def _median(case: str, runs: list[tuple[float, float, float]]) -> Measured:
    walls, cpus, peaks = zip(*runs, strict=True)
    return Measured(
        case=case,
        wall_s=round(statistics.median(walls), 2),
        spread_s=round(max(walls) - min(walls), 2),
        cpu_s=round(statistics.median(cpus), 2),
        peak_mib=round(max(peaks)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="`agent process` beside a plain ffmpeg transcode")
    parser.add_argument("clips", nargs="+", type=Path, help="SDR clips; the first is also run with AV1")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, ratios = [], []
    for number, clip in enumerate(options.clips):
        video = probe(clip).video
        assert video is not None
        label = f"{video.height}p {video.duration_s or 0:.0f} s"
        codecs: tuple[Codec, ...] = ("hevc", "av1") if number == 0 else ("hevc",)
        for codec in codecs:
            plain, ours = compare(clip, codec, options.repeat, label)
            rows += [plain, ours]
            ratios.append({"case": f"{label}, {codec}", "ratio": round(ours.wall_s / plain.wall_s, 3)})
            sys.stdout.write(f"{json.dumps(asdict(plain))}\n{json.dumps(asdict(ours))}\n{json.dumps(ratios[-1])}\n")
            sys.stdout.flush()
    if options.out:
        write_report(options.out, {"rows": [asdict(row) for row in rows], "ratios": ratios, **describe_machine()})


if __name__ == "__main__":
    main()
