"""From the scores of training.itm_eval to the tables of docs/sdr2hdr.md: `python -m training.itm_table --help`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.files import write_atomic
from training.itm_eval import BOOTSTRAPS, read_records

Record = Mapping[str, dict]
CLIP_KEY = ("title", "family", "local", "profile", "frame")
GROUPS: dict[str, Callable[[dict], bool]] = {
    "all": lambda meta: True,
    "photographs and panoramas": lambda meta: meta["source"] in ("polyhaven", "openexr"),
    "gain-map photographs": lambda meta: meta["source"] == "ultrahdr",
    "procedural": lambda meta: meta["source"] == "procedural",
    "families seen in training": lambda meta: not meta["unseen"],
    "families never seen": lambda meta: meta["unseen"],
    "pointwise grades": lambda meta: not meta["spatial"],
    "spatial grades": lambda meta: meta["spatial"],
    "animation": lambda meta: meta["category"] == "animation",
    "low light": lambda meta: meta["category"] == "low_light",
    "BT.2446 down-conversions": lambda meta: meta["family"].startswith("bt2446"),
}


def joined(files: Sequence[Path], required: Sequence[str]) -> list[Record]:
    """One record a clip, with all that the files say of it: of the clips that all `required` models were judged on.

    Only models judged on every one of these clips are kept.
    """
    clips: dict[tuple, dict[str, dict]] = {}
    for record in (record for path in files for record in read_records(path)):
        meta = record["meta"]
        clip = clips.setdefault(tuple(meta[name] for name in CLIP_KEY), {"meta": meta, "scores": {}})
        clip["scores"] |= record["scores"]
    whole = [clip for clip in clips.values() if set(required) <= clip["scores"].keys()]
    common = set.intersection(*(set(clip["scores"]) for clip in whole)) if whole else set()
    return [
        {"meta": clip["meta"], "scores": {model: clip["scores"][model] for model in sorted(common)}} for clip in whole
    ]


def summary(records: Sequence[Record], references: Sequence[str]) -> dict[str, dict]:
    """Per group: clips, titles, and for each model its figures and its paired differences from the references."""
    groups: dict[str, dict] = {}
    for name, belongs in GROUPS.items():
        inside = [record for record in records if belongs(record["meta"])]
        if inside:
            titles = np.array([record["meta"]["title"] for record in inside])
            models = {model: _figures(inside, titles, model, references) for model in inside[0]["scores"]}
            groups[name] = {"clips": len(inside), "titles": len(set(titles)), "models": models}
    return groups


def _figures(
    records: Sequence[Record], titles: NDArray[np.str_], model: str, references: Sequence[str]
) -> dict[str, object]:
    own = {key: _values(records, model, key) for key in ("psnr_db", "delta_e", "psnr_exposed_db", "delta_e_exposed")}
    figures: dict[str, object] = {key: round(float(values.mean()), 2) for key, values in own.items()}
    figures["psnr_p5_db"] = round(float(np.percentile(own["psnr_db"], 5)), 2)
    figures["psnr_exposed_p5_db"] = round(float(np.percentile(own["psnr_exposed_db"], 5)), 2)
    figures["against"] = {
        reference: {
            key: interval(own[key] - _values(records, reference, key), titles)
            for key in ("psnr_db", "psnr_exposed_db", "delta_e")
        }
        for reference in references
        if reference in records[0]["scores"] and reference != model
    }
    return figures


def _values(records: Sequence[Record], model: str, key: str) -> NDArray[np.float64]:
    return np.array([record["scores"][model][key] for record in records])


def interval(differences: NDArray[np.float64], titles: NDArray[np.str_], seed: int = 0) -> list[float]:
    """Mean over clips with its 95 % interval [mean, low, high]; whole titles are drawn, with replacement."""
    names, place = np.unique(titles, return_inverse=True)
    sums, counts = np.bincount(place, differences), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(names), size=(BOOTSTRAPS, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return [round(float(v), 2) for v in (differences.mean(), *np.percentile(means, (2.5, 97.5)))]


def markdown(groups: Mapping[str, dict], reference: str) -> str:
    """One table a group, best model first."""
    parts = []
    for name, group in groups.items():
        ranked = sorted(group["models"].items(), key=lambda item: -item[1]["psnr_db"])
        rows = [_row(model, figures, reference) for model, figures in ranked]
        parts.append(
            f"**{name[0].upper()}{name[1:]}** ({group['clips']} clips of {group['titles']} titles)\n\n"
            f"| model | PU21-PSNR dB | p5 | dE-ITP | after one exposure: dB | dE-ITP | against {reference}, dB |\n"
            "|---|---|---|---|---|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts) + "\n"


def _row(model: str, figures: Mapping, reference: str) -> str:
    against = figures["against"].get(reference)
    difference = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*against["psnr_db"]) if against else ""
    return (
        f"| {model} | {figures['psnr_db']:.2f} | {figures['psnr_p5_db']:.2f} | {figures['delta_e']:.2f} "
        f"| {figures['psnr_exposed_db']:.2f} | {figures['delta_e_exposed']:.2f} | {difference} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Join files of scores, of several folds and of several sets of models, and write their summary."""
    parser = argparse.ArgumentParser(prog="python -m training.itm_table", description=__doc__)
    parser.add_argument("scores", type=Path, nargs="+", help="JSON lines files of training.itm_eval")
    parser.add_argument("--references", nargs="+", default=["direct203", "bt2446a", "lumen-fixed"])
    parser.add_argument("--require", nargs="+", default=["direct203"], help="only clips these were judged on")
    parser.add_argument("--out", type=Path, required=True, help="stem: <out>.json and <out>.md are written")
    options = parser.parse_args(arguments)
    records = joined(options.scores, options.require)
    if not records:
        raise InputError(f"{options.scores[0]} holds no scores: run `python -m training.itm_eval` first.")
    groups = summary(records, options.references)
    write_atomic(options.out.with_suffix(".json"), json.dumps(groups, indent=1) + "\n")
    write_atomic(options.out.with_suffix(".md"), markdown(groups, options.references[0]))


if __name__ == "__main__":
    main()
