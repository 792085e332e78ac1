"""What a frame costs the shipped analyser: from the native picture to its report.

    python -m benchmarks.analyser_speed [--threads 2] [--out docs/benchmarks/analyser_speed.json]

Frames of drawn scenes at 960x540 and 1920x1080; the model's opening, imports and all, is given beside.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

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
    """A drawn scene in SDR codes."""
    from training.data.grading import GradeRecipe, grade
    from training.data.titles import make_title, render_title

    master = render_title(make_title(index, 77), width, height)[0]
    return np.rint(grade(master, GradeRecipe(curve="clip", exposure_ev=0.0)) * 255).astype(np.uint8)


if __name__ == "__main__":
    main(sys.argv[1:])
