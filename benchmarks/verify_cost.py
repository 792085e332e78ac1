"""What verification costs beside the rest of a job, and which metric costs what.

    python -m benchmarks.verify_cost CLIP [--profile balanced] [--repeat 3] [--out docs/benchmarks/verify_cost.json]

A whole job runs first, for its CPU time and its output. The output is then verified again in this process, step by
step; medians of CPU seconds over the repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

from agent.requests import scan_request
from agent.tasks.messages import VerifyRequest
from agent.tasks.scan import scan
from agent.tasks.verify import Sides
from analysis.selection.profile import Profile, load_profile
from analysis.vqa.judge import Judge
from analysis.vqa.spec import judge_controls, load_limits
from analysis.vqa.verdict import judge_candidate
from benchmarks.machine import describe_machine, write_report
from toolchain.events import ignore
from toolchain.models.spec import Controls
from toolchain.video.probe import probe

DECODING = "decode both files to light"


def job_cpu_s(clip: Path, output: Path, profile: str, home: Path) -> float:
    """CPU seconds of `agent process`, all its processes."""
    command = [sys.executable, "-m", "agent", "process", str(clip), "-o", str(output), "--profile", profile]
    before = os.times()
    environment = {**os.environ, "SDR2HDR_HOME": str(home)}
    subprocess.run(
        [*command, "--on-reject", "direct203", "--overwrite"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def verify_cpu_s(clip: Path, output: Path, profile: Profile, work: Path) -> dict[str, float]:
    """CPU seconds of each part of one verification."""
    facts = probe(clip)
    scan(scan_request(clip, profile, work, facts), ignore)
    controls = Controls(peak_nits=profile.peak_nits, mid_gain_ev=profile.mid_gain_ev)
    request = VerifyRequest(
        source=clip, facts=facts, output=output, work=work, model_id="file", controls=controls, how=profile.verify
    )
    started = _cpu_s()
    sides = Sides(request)
    judge = Judge(load_limits(), judge_controls("file", controls, structure=profile.verify.structure))
    for pair in sides.pairs(sides.windows):
        judge.add(pair)
    judge_candidate("file", judge, "verify")
    total = _cpu_s() - started
    parts = judge.cost()
    return {"all": total, DECODING: total - sum(parts.values()), **parts}


def _cpu_s() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description="what verification costs beside the rest of a job")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    profile = load_profile(options.profile)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        jobs = [
            job_cpu_s(options.clip, output, options.profile, Path(folder) / f"home{n}") for n in range(options.repeat)
        ]
        runs = []
        for number in range(options.repeat + 1):  # the first one compiles and loads
            work = Path(folder) / f"work{number}"
            work.mkdir()
            runs.append(verify_cpu_s(options.clip, output, profile, work))
    parts = {name: round(statistics.median(run[name] for run in runs[1:]), 3) for name in runs[0]}
    job = round(statistics.median(jobs), 2)
    added = round(parts["all"] / (job - parts["all"]), 4)
    report = {"clip": options.clip.name, "profile": options.profile, "job_cpu_s": job, "verify_cpu_s": parts}
    sys.stdout.write(json.dumps({**report, "added": added}, indent=1) + "\n")
    if options.out:
        write_report(options.out, {**report, "added": added, **describe_machine()})


if __name__ == "__main__":
    main()
