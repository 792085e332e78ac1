"""The videos that the shipped percentile scale is made on: short, clean and damaged, SDR and HDR, as real files.

    python -m benchmarks.vqa_benchmark DATA OUT [--videos 240]
    agent vqa calibrate OUT --out analysis/vqa/shipped/percentiles.json --overwrite

Each video is one version of another shot, in the mixture of `training.data.vqa_versions`; none of their pictures has
trained the judging network (split `test`, a seed of their own). A file that is there is kept.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from toolchain.color.transfer import pq_eotf_inverse
from training.data.clip_writer import SDR_H264, ClipWriter, VideoCoding
from training.data.frames import to_yuv420
from training.data.vqa_media import SDR, Clip
from training.data.vqa_sources import VqaTitle, drawn_titles, photo_titles, scene_titles
from training.data.vqa_versions import graded_pair, plans, rendered

SEED = 1717
DRAWN, SCENES, PHOTO_SHOTS = 900, 20, 12
FPS = 24
_X265 = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:chromaloc=2:pools=none:log-level=error"
)
HDR_HEVC = VideoCoding("libx265", "yuv420p10le", {"crf": "12", "preset": "ultrafast", "x265-params": _X265}, 9, 16, 9)


def titles(data: Path) -> list[VqaTitle]:
    """Shots that nothing has trained on, photographs first."""
    found = [*photo_titles(data, PHOTO_SHOTS, SEED), *scene_titles(SCENES, SEED), *drawn_titles(DRAWN, SEED)]
    return [title for title in found if title.split == "test"]


def write(title: VqaTitle, order: int, folder: Path) -> None:
    """One version of the title: the deck's next card, SDR where the card says so."""
    stem = f"{order:04d}-{title.name}"
    if list(folder.glob(f"{stem}.*")):
        return
    pair = graded_pair(title.render(), np.random.default_rng([SEED, order]))
    every = plans(order, damages=6, renditions=2, seed=SEED)
    plan = every[order % len(every)]
    (nits,) = rendered(pair, [plan], (SEED, order))
    sdr = plan.carrier == "direct203"
    suffix, coding = (".mp4", SDR_H264) if sdr else (".mkv", HDR_HEVC)
    partial = folder / f"partial{suffix}"
    size = (nits.shape[2], nits.shape[1])
    with ClipWriter(partial, "mp4" if sdr else "matroska", coding, size, Fraction(FPS)) as clip:
        for picture in SDR.signal(nits) if sdr else _pq(nits):
            clip.write(to_yuv420(picture, "bt709" if sdr else "bt2020nc", 8 if sdr else 10))
    partial.rename(folder / f"{stem}{suffix}")


def _pq(nits: Clip) -> Clip:
    return pq_eotf_inverse(nits).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="write the benchmark of the percentile scale")
    parser.add_argument("data", type=Path, help="the development data's folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=int, default=240)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = titles(options.data)[: options.videos]
    for order, title in enumerate(chosen):
        write(title, order, options.out)
        sys.stderr.write(f"{order + 1} of {len(chosen)} videos\n")


if __name__ == "__main__":
    main()
