"""What each part of the analyser's training is worth: runs of about equal length from one joined checkpoint.

    python -m benchmarks.analyser_ablations --data SET --model JOINED --out WORK --seed 0

Every run and its evaluation on the test split: SFT; GRPO alone; half of each, with mining and without; SFT asked one
question a prompt; SFT without diagnostic pictures. Results go to docs/benchmarks/analyser, from where
`python -m benchmarks.analyser_tables docs/analyser-quality.md` takes them. Run again after a kill, it goes on; --only
takes one run, so that two cores share the work. An SFT step of 16 samples takes a fifth of the time of a GRPO step
of 64 answers on one core: the defaults give every run the same quarter of an hour.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toolchain.files import write_atomic

RESULTS = Path("docs/benchmarks/analyser")
RECIPES = Path("configs/training")
MINED_SAMPLES = 320


@dataclass(frozen=True)
class Run:
    """One training after another, and how the last is asked. `mined`: GRPO learns from what mining kept."""

    sft: float = 0.0
    grpo: float = 0.0
    mined: bool = False
    recipe: tuple[tuple[str, Any], ...] = ()
    asked: tuple[str, ...] = ()


RUNS: dict[str, Run] = {
    "sft": Run(sft=1),
    "grpo": Run(grpo=1),
    "sft-grpo": Run(sft=0.5, grpo=0.5, mined=True),
    "sft-grpo-unmined": Run(sft=0.5, grpo=0.5),
    "unmerged": Run(sft=1, recipe=(("merged", False),), asked=("--one-by-one",)),
    "blank": Run(sft=1, recipe=(("diagnostics", False),), asked=("--no-diagnostics",)),
}
"""Of the lengths that --sft-steps and --grpo-steps give."""


@dataclass(frozen=True)
class Place:
    """Where everything is, and how long a whole training of each kind takes."""

    data: Path
    model: Path
    out: Path
    seed: int
    sft_steps: int
    grpo_steps: int

    def train(self, stage: str, name: str, changes: Mapping[str, Any], model: Path, *more: str | Path) -> Path:
        """One `agent train` stage with the compact recipe and these changes; returns its folder."""
        folder = self.out / f"{name}-{stage}-seed{self.seed}"
        recipe = folder.with_suffix(".yaml")
        base = yaml.safe_load((RECIPES / f"compact_{stage}.yaml").read_text(encoding="utf-8"))
        whole = {**base, "seed": self.seed, **changes}
        write_atomic(recipe, yaml.safe_dump(whole))
        agent("train", stage, "--config", recipe, "--data", self.data, "--model", model, "--out", folder, *more)
        return folder


def agent(*arguments: str | Path) -> str:
    """What the command prints; CalledProcessError where it fails."""
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(name: str, place: Place) -> Path:
    """Train and evaluate one run; returns the file of its figures."""
    asked, model = RUNS[name], place.model
    if asked.sft:
        # Two runs share their first half.
        first = "half" if asked.grpo else name
        steps = round(place.sft_steps * asked.sft)
        changes = {"steps": steps, "validate_every": steps, "checkpoint_every": 100, **dict(asked.recipe)}
        model = place.train("sft", first, changes, model) / "model"
    if asked.grpo:
        hard: list[str | Path] = []
        if asked.mined:
            mined = place.train("mine", name, {"samples": MINED_SAMPLES}, model)
            hard = ["--hard", mined / "hard.jsonl"]
        steps = round(place.grpo_steps * asked.grpo)
        changes = {"steps": steps, "warmup_steps": steps // 20, "learning_rate": 1e-5, "checkpoint_every": 20}
        model = place.train("grpo", name, changes, model, *hard) / "model"
    answers = place.out / f"{name}-answers-seed{place.seed}"
    agent(
        "train", "answer", "--model", model, "--data", place.data, "--split", "test", "--out", answers, *asked.asked
    )
    truth = place.data / "test"
    found = agent("train", "eval", "--format", "frames", "--pred", answers, "--truth", truth, "--json")
    figures = RESULTS / f"test-ablation-{name}-seed{place.seed}.json"
    write_atomic(figures, found)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="eye and reader joined")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sft-steps", type=int, default=700)
    parser.add_argument("--grpo-steps", type=int, default=130)
    parser.add_argument("--only", choices=list(RUNS), action="append")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    place = Place(given.data, given.model, given.out, given.seed, given.sft_steps, given.grpo_steps)
    for name in given.only or RUNS:
        print(run(name, place), flush=True)


if __name__ == "__main__":
    main()
