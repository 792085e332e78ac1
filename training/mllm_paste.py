"""More samples with damaged regions out of stored ones: parts of frames damaged all over, laid into sound frames.

Cells are measured one by one, so a cell of another frame is nearly what that damage would have made of a cell here;
where a region's edge runs through a cell, its statistics are mixed by share. The content inside a region is another
frame's, so a part of a sound frame is laid in now and then too: what only looks strange is no damage.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.mllm.frame_report import FrameReport
from analysis.schema import Box
from training.data.distortions_layout import LOCAL_COUNTS, Damage
from training.data.distortions_regions import WHOLE, draw_boxes, pixels_of
from training.data.distortions_score import report
from training.data.mllm_shards import Line
from training.mllm_collate import coverage
from training.mllm_rows import Rows

SOUND_SHARE = 0.2
"""Of the parts that are laid in."""

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], FrameReport]
"""Picture (140, 224, 3), statistics (9, 16, 48), and the truth."""


class Pasting:
    """Draws samples from the sound frames of a split, and those that are damaged all over."""

    def __init__(self, rows: Rows):
        self._rows = rows
        damages = [whole_damage(rows.line(row)) for row in range(len(rows))]
        self._sound = [row for row, found in enumerate(damages) if found == ()]
        self._damaged = {row: found[0] for row, found in enumerate(damages) if found}
        self._places = list(self._damaged)

    def __bool__(self) -> bool:
        return bool(self._sound and self._places)

    def draw(self, rng: np.random.Generator) -> Sample:
        """A sound frame with one to three parts of others. The same for the same state of `rng`."""
        base = self._sound[int(rng.integers(len(self._sound)))]
        picture, statistics = self._rows.picture(base), self._rows.statistics(base)
        kept: list[Damage] = []
        for box in draw_boxes(rng, 1 + int(rng.choice(len(LOCAL_COUNTS), p=LOCAL_COUNTS))):
            is_sound = rng.random() < SOUND_SHARE
            places = self._sound if is_sound else self._places
            other = places[int(rng.integers(len(places)))]
            picture, statistics = laid_in(picture, statistics, self._rows, other, box)
            if not is_sound:
                kept.append(replace(self._damaged[other], box=box))
        truth = self._rows.line(base).report
        return picture, statistics, report(kept, truth.dynamic_range, truth.contrast)


def whole_damage(line: Line) -> tuple[Damage, ...] | None:
    """The one distortion of a frame damaged all over, none of a sound frame's.

    None for any other frame, and where how bad it is depends on how large a part is damaged.
    """
    items = list(line.report.distortions)
    if len(items) != 1:
        return None if items else ()
    item = items[0]
    strength = line.extra.get("strengths", {}).get(f"{item.type}@{','.join(map(str, WHOLE))}")
    if strength is None or item.type == "meaningless_solid_color":
        return None
    return (Damage(item.type, int(strength), WHOLE),)


def laid_in(
    picture: NDArray[np.uint8], statistics: NDArray[np.uint8], rows: Rows, other: int, box: Box
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The box's part of another sample in place of this one's."""
    shown, (x0, y0, x1, y1) = picture.copy(), pixels_of(box, picture)
    shown[y0:y1, x0:x1] = rows.picture(other)[y0:y1, x0:x1]
    share = coverage(box)[..., None]
    mixed = statistics * (1 - share) + rows.statistics(other) * share
    return shown, np.rint(mixed).astype(np.uint8)
