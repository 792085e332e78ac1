"""A small folder of pairs in the layout of training.data, whose SDR is the master under a known shoulder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.data.grading import Curve, GradeRecipe, grade

TITLES = {
    "noise-a": ("fold0", "procedural"),
    "noise-b": ("fold1", "procedural"),
    "room-a": ("masters", "polyhaven"),
    "room-b": ("masters", "polyhaven"),
}
FAMILIES: tuple[tuple[Curve, bool], ...] = (("shoulder", False), ("reinhard", False), ("bt2446c", True))


def write_pairs(folder: Path) -> Path:
    """Four titles of smooth coloured light from 0.1 to 1000 nits."""
    for seed, (title, (split, source)) in enumerate(TITLES.items()):
        (folder / split).mkdir(parents=True, exist_ok=True)
        _write_title(folder / split / f"{title}.npz", title, source, seed)
    (folder / "manifest.json").write_text(json.dumps({"titles": list(TITLES)}))
    return folder


def _write_title(path: Path, title: str, source: str, seed: int) -> None:
    y, x = np.mgrid[0:144, 0:256] / (144, 256)[0]
    rng = np.random.default_rng(seed)
    exponent = 1.2 * np.sin(3 * x + rng.uniform(0, 6)) * np.cos(4 * y + rng.uniform(0, 6))
    tint = 1 + 0.4 * np.sin(2 * x[..., None] + rng.uniform(0, 6, 3))
    hdr = np.clip(30 * 10 ** exponent[..., None] * tint, 0.1, 1000).astype(np.float32)
    sdr = [np.rint(255 * grade(hdr, GradeRecipe(curve))).astype(np.uint8) for curve, _ in FAMILIES]
    shared = {"title": title, "source": source, "category": "landscape", "spatial": False, "local": "none"}
    plain = {"profile": "anchored", "compressed": None, "frame": 0, "mid_gain_ev": 0.0, "peak_nits": 1000.0}
    metas = [{**shared, **plain, "family": curve, "unseen": unseen} for curve, unseen in FAMILIES]
    np.savez(path, sdr=np.stack(sdr), hdr=np.stack([hdr.astype(np.float16)] * len(sdr)), meta=json.dumps(metas))
