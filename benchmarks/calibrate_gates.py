"""Calibrates the gates: what they say of good results and of known damage, on clips that limits may be set on and on
clips that are held out; proposes limits, prints the tables of docs/gates.md and the block `calibration` of
configs/gates/default.yaml.

Run from the repository root: `python -m benchmarks.calibrate_gates DATA --out docs/benchmarks/gates.json`. DATA is
the folder of the development data. A run that is broken off goes on where it stopped. Coded pictures are kept below
`--work` too: where only a metric has changed, they are measured again and not made again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import yaml

from analysis.vqa.registry import GATES
from analysis.vqa.spec import Calibration, Limits, load_limits
from benchmarks.damage import figures
from benchmarks.damage.clips import entries
from benchmarks.damage.coding import SETTINGS
from benchmarks.damage.figures import SPLITS, Share
from benchmarks.damage.kinds import DAMAGES, STRENGTHS
from benchmarks.damage.suite import Measured, run_clip
from benchmarks.damage.tables import every_table
from benchmarks.machine import describe_machine, write_report


def measure(data: Path, work: Path) -> list[Measured]:
    """Every clip, with a line of progress each."""
    rows = []
    for index, (entry, held_out) in enumerate(entries()):
        started_s = time.process_time()
        rows += run_clip(entry, held_out, index, data, work)
        seconds = time.process_time() - started_s
        sys.stderr.write(f"{index + 1}/{len(entries())} {entry.kind} {entry.name}: {seconds:.1f} CPU-s\n")
    return rows


def report(rows: list[Measured], limits: Limits) -> dict[str, Any]:
    """All figures as JSON."""
    better = {spec.name: spec.gate_direction for spec in GATES}
    return {
        "clips": {split: sorted({r.clip for r in rows if SPLITS[r.held_out] == split}) for split in SPLITS},
        "clips_sha256": figures.clips_digest(),
        "values_sha256": figures.values_digest(rows),
        "encoders": {name: {"codec": codec, **options} for name, (codec, options) in SETTINGS.items()},
        "limits": limits.model_dump(mode="json"),
        "clean": {split: _clean(rows, split, limits) for split in SPLITS},
        "damage": {split: _damage(rows, split, limits) for split in SPLITS},
        "caught": {
            split: {
                strength: {k: v.as_json() for k, v in figures.total_caught(rows, strength, split, limits).items()}
                for strength in STRENGTHS
            }
            for split in SPLITS
        },
        "proposals": [vars(figures.propose(rows, name, better[name])) for name in figures.damage_gates(rows)],
    }


def _clean(rows: list[Measured], split: str, limits: Limits) -> dict[str, Any]:
    better = {spec.name: spec.gate_direction for spec in GATES}
    catalogue, masters = (figures.clean_rows(rows, split, masters) for masters in (False, True))
    gates = {
        name: {
            "p50_p995_worst": figures.percentiles(catalogue, name, better[name]),
            "false_alarms": figures.false_alarms(catalogue, name, limits).as_json(),
        }
        for name in figures.damage_gates(rows)
    }
    return {
        "results_rejected": figures.rejected_outputs(catalogue, limits).as_json(),
        "cells_failed": figures.rejected_cells(catalogue, limits).as_json(),
        "results_without_benefit": Share(
            sum(figures.no_benefit(r, limits) for r in catalogue), len(catalogue)
        ).as_json(),
        "masters_rejected": figures.rejected_outputs(masters, limits).as_json(),
        "gates": gates,
    }


def _damage(rows: list[Measured], split: str, limits: Limits) -> list[dict[str, Any]]:
    table = []
    for damage in DAMAGES:
        for strength in STRENGTHS:
            caught = figures.catch(rows, damage, strength, split, limits)
            shares = {"own": caught.own, "any_gate": caught.any_gate, "verdict": caught.verdict}
            table.append(
                {
                    "damage": damage.name,
                    "gates": damage.gates,
                    "strength": strength,
                    "amount": damage.strength(strength),
                    "unit": damage.unit,
                    "median_value": caught.median,
                    **{name: share.as_json() for name, share in shares.items()},
                    "missed": caught.missed,
                }
            )
    return table


def calibration_of(content: dict[str, Any]) -> Calibration:
    """What a file of limits says of the run that they come from."""
    clean, caught = content["clean"], content["caught"]
    return Calibration(
        command=content["command"],
        date=content["date"],
        version=content["versions"]["sdr2hdr-agent"],
        commit=content["commit"],
        encoders=tuple(content["encoders"]),
        clips={split: len(content["clips"][split]) for split in SPLITS},
        clips_sha256=content["clips_sha256"],
        values_sha256=content["values_sha256"],
        false_alarm_percent={split: clean[split]["cells_failed"]["percent"] for split in SPLITS},
        good_results_rejected_percent={split: clean[split]["results_rejected"]["percent"] for split in SPLITS},
        medium_caught_by_own_gate_percent={split: caught[split]["medium"]["own"]["percent"] for split in SPLITS},
        medium_caught_percent={split: caught[split]["medium"]["any_gate"]["percent"] for split in SPLITS},
    )


def main() -> None:
    """Measure, print the tables as Markdown and the block for the file of limits, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/gates.json"))
    parser.add_argument("--work", type=Path, default=Path("build/gates"), help="where pictures and values are kept")
    parser.add_argument("--limits", type=Path, help="a file of limits instead of configs/gates/default.yaml")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    os.environ.setdefault("SVT_LOG", "1")  # the encoder's banner is no result
    limits = load_limits(asked.limits)
    rows = measure(asked.data, asked.work)
    content = {
        "command": "python -m benchmarks.calibrate_gates DATA --out docs/benchmarks/gates.json",
        "date": datetime.now(UTC).date().isoformat(),
        **describe_machine(),
        **report(rows, limits),
    }
    write_report(asked.out, content)
    block = {"calibration": calibration_of(content).model_dump(mode="json")}
    sys.stdout.write("\n".join([*every_table(rows, limits), yaml.safe_dump(block, sort_keys=False, width=118)]))


if __name__ == "__main__":
    main()
