"""From what was done to a picture to the report that a model should give of it.

Harm of one distortion = weight of its strength x reach of its box; score = 1 + 4 exp(-sum of harms / 1.6). Every
stronger, larger or further distortion lowers the score. The key distortion is the one of the largest harm: the most
severe, among the equally strong the largest, then the first in raster order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.mllm.frame_report import Contrast, FrameReport, level_of
from analysis.schema import Distortion, Grade
from training.data.distortions import SEVERITY
from training.data.distortions_layout import Damage
from training.data.distortions_regions import area_share

HARM = (0.25, 0.5, 0.95, 1.6, 2.6)
"""Of each strength over the whole picture. One distortion alone gives 4.4, 3.9, 3.2, 2.5, 1.8."""
_DECAY = 1.6
_LOCAL_FLOOR = 0.35
"""Share of its harm that even the smallest region keeps: eyes go to it."""


def harm(damage: Damage) -> float:
    """0 and more; grows with the strength, and with the square root of the area."""
    reach = _LOCAL_FLOOR + (1.0 - _LOCAL_FLOOR) * float(np.sqrt(area_share(damage.box)))
    return HARM[damage.strength - 1] * reach


def score(damages: Sequence[Damage]) -> float:
    """5 of a pristine picture, towards 1 with the harm done; two decimals."""
    return round(1.0 + 4.0 * float(np.exp(-sum(map(harm, damages)) / _DECAY)), 2)


def report(damages: Sequence[Damage], dynamic_range: Grade, contrast: Contrast) -> FrameReport:
    """The truth of a picture with these damages; distortions in raster order (y0, x0, then as they were done)."""
    ordered = sorted(damages, key=lambda item: (item.box[1], item.box[0]))
    harms = [harm(item) for item in ordered]
    total = score(ordered)
    return FrameReport(
        dynamic_range=dynamic_range,
        contrast=contrast,
        distortions=tuple(
            Distortion(type=item.kind, severity=SEVERITY[item.strength - 1], bbox_1000=item.box) for item in ordered
        ),
        key=(int(np.argmax(harms)),) if harms else (),
        level=level_of(total),
        score=total,
    )
