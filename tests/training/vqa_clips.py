"""Small sets of clips for the judging network's tests: smooth pictures under noise or flicker, labels by strength."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training.data.vqa_shards import MANIFEST, Row, VqaData, load, stored, write_title

STRENGTHS = ("none", "light", "severe")


def write_clips(folder: Path, titles: dict[str, str]) -> VqaData:
    """Three versions of each title (name -> split), with the labels `one` and `two`."""
    for index, (title, split) in enumerate(titles.items()):
        rng = np.random.default_rng(index)
        still = cv2.GaussianBlur(rng.random((256, 448, 3)).astype(np.float32), (0, 0), 6)
        keys, motions, rows = [], [], []
        for version, strength in enumerate(STRENGTHS):
            amount = (0.0, 0.05, 0.3)[version]
            key = still + amount * rng.standard_normal(still.shape).astype(np.float32)
            small = cv2.resize(still, (128, 72), interpolation=cv2.INTER_AREA)
            beat = 1 + amount * (-1.0) ** np.arange(32)
            keys.append(stored(key))
            motions.append(stored(small * beat[:, None, None, None].astype(np.float32)))
            labels = {"one": 1 - 2 * amount, "two": 1 - 3 * amount}
            kind = "grain" if version else "master"
            rows.append(Row(title, split, "procedural", version, kind, strength, labels, {}, 0))
        write_title(folder, rows, np.stack(keys), np.stack(motions))
    (folder / MANIFEST).write_text(json.dumps({"titles": titles}), encoding="utf-8")
    return load(folder)


SMALL_SET = {"a-0": "train", "a-1": "train", "a-2": "train", "b-0": "validation", "b-1": "validation"} | {
    "c-0": "test",
    "c-1": "test",
}
