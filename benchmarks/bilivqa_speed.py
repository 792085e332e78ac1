"""CPU seconds of one video's distortion-ranking score, decoding included.

    python -m benchmarks.bilivqa_speed CLIP [--repeat 5] [--out docs/benchmarks/bilivqa_speed.json]

The network is opened before; what it takes for that is given beside.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from analysis.vqa.bilivqa import Scorer, score_video, shipped_model
from analysis.vqa.bilivqa_clips import open_clips
from benchmarks.machine import describe_machine, write_report


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/bilivqa_speed.json"))
    options = parser.parse_args(arguments)
    video = open_clips(options.clip).video
    started = time.process_time()
    provider = Scorer().provider
    opened_cpu_s = time.process_time() - started
    cpu_s, wall_s, clips = [], [], 0
    for _ in range(options.repeat):
        scorer = Scorer(shipped_model())
        cpu, wall = time.process_time(), time.monotonic()
        clips = len(score_video(options.clip, scorer=scorer).clips)
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.monotonic() - wall)
    report = {
        **describe_machine(),
        "video": {"size": f"{video.width}x{video.height}", "codec": video.codec, "duration_s": video.duration_s},
        "provider": provider,
        "clips": clips,
        "cpu_s": {"median": statistics.median(cpu_s), "least": min(cpu_s), "most": max(cpu_s)},
        "wall_s": {"median": statistics.median(wall_s), "least": min(wall_s), "most": max(wall_s)},
        "open_cpu_s": opened_cpu_s,
    }
    write_report(options.out, report)
    sys.stdout.write(f"{report['cpu_s']} CPU s, {report['wall_s']} s wall, written to {options.out}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
