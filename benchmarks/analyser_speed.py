"""What a frame costs the shipped analyser: from the native picture to its report.

    python -m benchmarks.analyser_speed [--threads 2] [--out docs/benchmarks/analyser_speed.json]

Drawn frames at 960x540 and 1920x1080; the model's opening, imports and all, is given beside.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.machine import describe_machine, write_report

SIZES = ((960, 540), (1920, 1080))
FRAMES = 16


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/analyser_speed.json"))
    options = parser.parse_args(arguments)
    cpu, wall = time.process_time(), time.monotonic()
    import torch

    from agent.engines import open_engine
    from analysis.mllm.analyser import read_answers
    from analysis.mllm.engine import FrameQuestion
    from analysis.mllm.settings import AnalyserSettings

    torch.set_num_threads(options.threads)
    engine = open_engine(AnalyserSettings(engine="local"))
    opened = {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall}
    found = {}
    for width, height in SIZES:
        rows = []
        for index in range(FRAMES):
            pixels = _frame(width, height, index)
            cpu, wall = time.process_time(), time.monotonic()
            answer = read_answers(engine, [FrameQuestion(engine.family.images(pixels))])[0]
            rows.append((time.process_time() - cpu, time.monotonic() - wall, answer.report is not None))
        found[f"{width}x{height}"] = {
            "cpu_s": statistics.median(row[0] for row in rows),
            "wall_s": statistics.median(row[1] for row in rows),
            "wall_s_most": max(row[1] for row in rows),
            "valid": sum(row[2] for row in rows),
            "frames": len(rows),
        }
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    report = {
        **describe_machine(), "engine": engine.name, "threads": options.threads, "opened": opened,
        "one_frame_at_a_time": found, "memory_peak_gb": peak_gb,
    }  # fmt: skip
    write_report(options.out, report)
    sys.stdout.write(f"{found}, {peak_gb:.2f} GB, opened in {opened}; written to {options.out}\n")


def _frame(width: int, height: int, index: int) -> np.ndarray:
    """Soft patches of colour under noise, which the model finds much to say of."""
    rng = np.random.default_rng(index)
    patches = rng.integers(20, 236, (height // 60, width // 60, 3), dtype=np.uint8)
    soft = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(soft + rng.integers(-8, 9, soft.shape, dtype=np.int16), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(sys.argv[1:])
