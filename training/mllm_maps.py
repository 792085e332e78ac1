"""Simulated cell maps: what a trained eye would say of frames that nobody made, and the report that belongs to them.

Free and without end. The reader learns from them to find regions, to write boxes and to weigh what it is told; how
real pictures look it learns later. An eye's doubts are there too: damage half seen, taken for another, or imagined.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.mllm.code import SEVERITIES
from analysis.mllm.diagnostic import CELLS
from analysis.mllm.frame_report import CONTRASTS, GRADES, FrameReport
from analysis.schema import Box, DistortionType
from training.boxes import is_local
from training.data.distortions import DISTORTIONS, STRENGTHS, permitted
from training.data.distortions_layout import ALSO_GLOBAL, GLOBAL_COUNTS, LOCAL_COUNTS, Damage
from training.data.distortions_regions import WHOLE, draw_boxes
from training.data.distortions_score import report
from training.mllm_collate import REGION_SHARE, TYPES, cell_targets, coverage, edge_waves, picture_targets
from training.mllm_model import REGION_WAVES

LAYOUT_ODDS = (0.2, 0.4, 0.4)
"""Pristine, global, local."""
CERTAIN = 4.0
"""Logit that an eye gives at most to what it is sure of, for or against."""
DOUBT = -2.0
"""Logit of what an eye cannot tell."""
EDGE_ERROR = 0.06
"""Of the picture's width or height, by which an eye of poor ability misses the edge of a region."""


@dataclass(frozen=True)
class Maps:
    """A frame as the cell head would describe it: logits of cells (9, 16, types, severities), of grades (6,), and
    the edges of regions (9, 16, 4, waves)."""

    cells: NDArray[np.float32]
    grades: NDArray[np.float32]
    regions: NDArray[np.float32]
    report: FrameReport


def draw_maps(rng: np.random.Generator) -> Maps:
    """One frame with the odds of the training set, as an eye of a random ability sees it."""
    truth = _draw_report(rng)
    clear = rng.uniform(0.35, 1.0)
    cells = _logits(cell_targets(truth))
    seen = rng.uniform(clear / 2, 1.0, (len(TYPES), 1)).astype(np.float32)  # some types are seen worse than others
    cells = DOUBT + (cells - DOUBT) * np.where(cells > DOUBT, seen, 1.0)
    cells += _mistakes(truth, rng) + _blotches(rng, 1.6 * (1.1 - clear))
    cells += rng.normal(0, 0.8, cells.shape).astype(np.float32)
    grades = _logits(picture_targets(truth)) * np.float32(rng.uniform(0.3, 1.0))
    grades += rng.normal(0, 1.0, grades.shape).astype(np.float32)
    return Maps(cells.astype(np.float32), grades.astype(np.float32), _regions(truth, clear, rng), truth)


def _logits(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    limit = 1.0 / (1.0 + np.exp(CERTAIN))
    inside = np.clip(shares, limit, 1.0 - limit)
    return np.log(inside / (1.0 - inside))


def _draw_report(rng: np.random.Generator) -> FrameReport:
    layout = int(rng.choice(len(LAYOUT_ODDS), p=LAYOUT_ODDS))
    whole: list[Damage] = []
    over_all = 1 + int(rng.choice(len(GLOBAL_COUNTS), p=GLOBAL_COUNTS)) if layout == 1 else 0
    if layout == 2 and rng.random() < ALSO_GLOBAL:
        over_all = 1
    for _ in range(over_all):
        whole += _draw_damage(whole, WHOLE, rng)
    damages = list(whole)
    if layout == 2:
        for box in draw_boxes(rng, 1 + int(rng.choice(len(LOCAL_COUNTS), p=LOCAL_COUNTS))):
            damages += _draw_damage(whole, box, rng)
    grade = GRADES[int(rng.integers(len(GRADES)))]
    return report(damages, grade, CONTRASTS[int(rng.integers(len(CONTRASTS)))])


def _draw_damage(under: list[Damage], box: Box, rng: np.random.Generator) -> list[Damage]:
    """One that may lie over the others; none where nothing may, as over a frame of one colour."""
    kinds: list[DistortionType] = [
        kind for kind in DISTORTIONS if all(permitted(kind, other.kind) for other in under)
    ]
    return [Damage(kinds[int(rng.integers(len(kinds)))], int(rng.choice(STRENGTHS)), box)] if kinds else []


def _regions(truth: FrameReport, clear: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Edges a little aside, less sure where the eye sees less, and a murmur everywhere."""
    out = np.zeros((*CELLS, 4, REGION_WAVES), np.float32)
    for box in dict.fromkeys(item.bbox_1000 for item in truth.distortions if is_local(item.bbox_1000)):
        cells = coverage(box) >= REGION_SHARE
        aside = rng.normal(0, 1000 * EDGE_ERROR * (1.2 - clear), (cells.sum(), 4)) + rng.normal(0, 8, 4)
        waves = np.stack([edge_waves(np.clip(np.add(box, one), 0, 1000).tolist()) for one in aside])
        out[cells] = waves * rng.uniform(clear, 1.0, (len(waves), 1, 1))
    return (out + rng.normal(0, 0.1, out.shape)).astype(np.float32)


def _mistakes(truth: FrameReport, rng: np.random.Generator) -> NDArray[np.float32]:
    """Real damage that also looks a little like another type, and regions where there is nothing."""
    out = np.zeros((*CELLS, len(TYPES), len(SEVERITIES)), np.float32)
    real = cell_targets(truth)
    for item in truth.distortions:
        if rng.random() < 0.3:
            other = int(rng.integers(len(TYPES)))
            out[:, :, other] += real[:, :, TYPES.index(item.type)] * np.float32(rng.uniform(0.5, 3.0))
    for box in draw_boxes(rng, 1) if rng.random() < 0.4 else []:
        x0, y0, x1, y1 = (round(edge * size / 1000) for edge, size in zip(box, CELLS[::-1] * 2, strict=True))
        out[y0:y1, x0:x1, int(rng.integers(len(TYPES)))] += np.float32(rng.uniform(0.5, 2.5))
    return out


def _blotches(rng: np.random.Generator, size: float) -> NDArray[np.float32]:
    """Errors that neighbouring cells and all severities of a type share."""
    raw = rng.normal(0, 1, (*CELLS, len(TYPES))).astype(np.float32)
    soft = cv2.GaussianBlur(raw, (5, 5), 1.0)
    return (soft / soft.std() * np.float32(size) * rng.random(len(TYPES)).astype(np.float32))[..., None]
