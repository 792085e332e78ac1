"""`agent sample`: the demo clip. Imported by the command alone, since it needs the training package."""

from __future__ import annotations

import re
from pathlib import Path

from agent.cli.render import human_events, show
from toolchain.errors import UsageError
from training.data.sample import write_sample


def write(output: Path, with_master: bool, size: str, seconds_per_shot: float, seed: int, overwrite: bool) -> int:
    """Parse the size, write the clip, and the master as `<stem>.master<suffix>` beside it, and say where they are."""
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", size)
    if not match:
        raise UsageError(f"size '{size}' is not understood: write width x height, e.g. 640x360")
    width, height = int(match[1]), int(match[2])
    master = output.with_name(f"{output.stem}.master{output.suffix}") if with_master else None
    with human_events() as emit:
        write_sample(
            output,
            master=master,
            width=width,
            height=height,
            seconds_per_shot=seconds_per_shot,
            seed=seed,
            overwrite=overwrite,
            emit=emit,
        )
    show(output)
    if master:
        show(master)
    return 0
