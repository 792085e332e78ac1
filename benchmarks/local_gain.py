"""What the local gain of lumen-local adds to its curve: on gain-map photographs it never saw, and where none is due.

    python -m benchmarks.local_gain --data PAIRS --photographs photo-01=DIR photo-02=DIR photo-04=DIR --titles DIR \
        [--out docs/benchmarks/local_gain.json]

PAIRS is made by `agent train itm-data`. Each DIR holds lumen-fixed.json, lumen-shot.safetensors and
lumen-local.safetensors trained without what they judge (docs/sdr2hdr.md says how). The networks' torch twins run as
training.itm_local has them, at a peak of 1000 nits and a mid-gain of 0. Prints Markdown, writes JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.machine import describe_machine, write_report
from toolchain.color.transfer import REFERENCE_WHITE_NITS
from toolchain.models.networks.lumen_local import LumenLocalNetwork
from training.itm_data import PairMeta, read_title, title_files
from training.itm_local import ANCHORED_EV, LocalConfig, curve_of, gained, slice_gain
from training.itm_local_data import LocalBatch, LocalSet, load_set
from training.itm_model import sdr_light
from training.losses import delta_e_itp, pu21_psnr

STRIDE = 6
"""Every sixth pixel is judged."""
EXPOSURES_EV = np.linspace(-1.5, 2, 36)
MODELS = ("direct203", "lumen-fixed", "lumen-shot", "lumen-local")
MOST_PHOTOGRAPHS, MOST_PAIRS = 12, 6
HELD_MASTERS = ("crissyfield", "desk", "kiara-1-dawn", "potsdamer-platz", "tree")
BOOTSTRAPS = 4000


def results(pairs: LocalSet, trained: Path) -> tuple[LocalBatch, dict[str, Tensor]]:
    """The pairs at the judged pixels, and what each model makes of them in nits."""
    count = len(pairs.metas)
    batch = pairs.take(np.arange(count), np.tile(np.arange(0, 144 * 256, STRIDE), (count, 1)))
    network = LumenLocalNetwork().eval()
    network.load_state_dict(load_file(trained / "lumen-local.safetensors"), strict=True)
    none = torch.zeros(batch.sdr.shape[:2])
    fixed = curve_of(_config("lumen-fixed", trained))(batch.small, batch.peak_nits)
    under_fixed = LocalBatch(batch.small, batch.sdr, batch.hdr, batch.place, fixed, batch.peak_nits)
    return batch, {
        "direct203": REFERENCE_WHITE_NITS * sdr_light(batch.sdr),
        "lumen-fixed": gained(under_fixed, none),
        "lumen-shot": gained(batch, none),
        "lumen-local": gained(batch, slice_gain(network.condition(batch.small), batch)),
    }


def _config(base: str, trained: Path) -> LocalConfig:
    """A recipe for its curve alone."""
    file = trained / ("lumen-fixed.json" if base == "lumen-fixed" else "lumen-shot.safetensors")
    values = {"name": "judged", "base": base, "base_weights": file, "steps": 1, "learning_rate": 1}
    return LocalConfig.model_validate(values)


def photograph(data: Path, title: str, trained: Path) -> dict[str, dict[str, float]]:
    """Means over a photograph's crops: against it as published, with its mid-tones anchored, after one exposure."""
    curve = curve_of(_config("lumen-shot", trained))
    pairs = load_set([data / "photos" / f"{title}.npz"], curve, lambda meta: True, MOST_PHOTOGRAPHS)
    batch, made = results(pairs, trained)
    mid_gain_ev = torch.tensor([meta.mid_gain_ev for meta in pairs.metas])
    anchored = batch.hdr * torch.exp2(-mid_gain_ev)[:, None, None]
    return {
        model: {
            "published_db": float(pu21_psnr(nits, batch.hdr).mean()),
            "anchored_db": float(pu21_psnr(nits, anchored).mean()),
            "anchored_delta_e": float(delta_e_itp(nits, anchored).mean()),
            "exposed_db": float(_best_exposed(nits, batch).mean()),
        }
        for model, nits in made.items()
    }


def _best_exposed(nits: Tensor, batch: LocalBatch) -> Tensor:
    peak = batch.peak_nits[:, None, None]
    tried = [pu21_psnr(torch.minimum(nits * 2.0**ev, peak), batch.hdr) for ev in EXPOSURES_EV.tolist()]
    return torch.stack(tried).amax(0)


def titles(data: Path, trained: Path, spatial: bool) -> dict[str, dict[str, float]]:
    """PU21-PSNR of each held-out title with (or without) local grading: every second of fold 4, and five masters."""
    curve, found = curve_of(_config("lumen-shot", trained)), {}
    masters = [path for path in title_files(data, ("masters",)) if path.stem in HELD_MASTERS]
    for path in [*title_files(data, ("fold4",))[::2], *masters]:

        def wanted(meta: PairMeta) -> bool:
            return meta.spatial == spatial and abs(meta.mid_gain_ev) < ANCHORED_EV

        if any(map(wanted, read_title(path).metas)):
            batch, made = results(load_set([path], curve, wanted, MOST_PAIRS), trained)
            found[path.stem] = {model: float(pu21_psnr(nits, batch.hdr).mean()) for model, nits in made.items()}
    return found


def difference(found: dict[str, dict[str, float]], reference: str) -> list[float]:
    """Mean gain of lumen-local in dB with its 95 % interval, titles resampled."""
    gains = np.array([row["lumen-local"] - row[reference] for row in found.values()])
    draws = np.random.default_rng(0).integers(0, len(gains), (BOOTSTRAPS, len(gains)))
    low, high = np.percentile(gains[draws].mean(axis=1), (2.5, 97.5))
    return [float(gains.mean()), float(low), float(high)]


def summary(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "mean_db": {model: float(np.mean([row[model] for row in found.values()])) for model in MODELS},
        "against": {model: difference(found, model) for model in MODELS[:-1]},
        "titles": found,
    }


def markdown(report: dict[str, Any]) -> str:
    lines = ["| photograph | | " + " | ".join(MODELS) + " |", "|---" * (2 + len(MODELS)) + "|"]
    for title, models in report["photographs"].items():
        for kind in ("anchored", "published", "exposed"):
            figures = " | ".join(f"{models[model][f'{kind}_db']:.2f}" for model in MODELS)
            lines.append(f"| {title} | {kind} | {figures} |")
    lines += ["", "| titles | | " + " | ".join(MODELS) + " |", "|---" * (2 + len(MODELS)) + "|"]
    for kind in ("plain", "spatial"):
        found = report[kind]
        figures = [
            f"{found['mean_db'][model]:.2f}"
            + (" ({:+.2f} [{:+.2f}, {:+.2f}])".format(*found["against"][model]) if model != MODELS[-1] else "")
            for model in MODELS
        ]
        lines.append(f"| {kind} | {len(found['titles'])} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photographs", nargs="+", required=True, metavar="TITLE=DIR")
    parser.add_argument("--titles", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    named = dict(item.split("=", 1) for item in options.photographs)
    photographs = {title: photograph(options.data, title, Path(folder)) for title, folder in named.items()}
    kinds = ("anchored_db", "published_db", "exposed_db", "anchored_delta_e")
    report: dict[str, Any] = {
        "measured_on": describe_machine(),
        "photographs": photographs
        | {
            "mean": {
                model: {kind: float(np.mean([row[model][kind] for row in photographs.values()])) for kind in kinds}
                for model in MODELS
            }
        },
        "plain": summary(titles(options.data, options.titles, spatial=False)),
        "spatial": summary(titles(options.data, options.titles, spatial=True)),
    }
    print(markdown(report))
    if options.out:
        write_report(options.out, report)


if __name__ == "__main__":
    main()
