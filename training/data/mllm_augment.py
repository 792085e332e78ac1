"""A stored sample mirrored left to right, as if its frame had been: a second one for nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.mllm.diagnostic import STATISTICS
from analysis.mllm.frame_report import FrameReport
from training.data.distortions_regions import flipped

_SWAPPED = {
    "curve1_45": "curve1_135",
    "curve1_135": "curve1_45",
    "curve3_45": "curve3_135",
    "curve3_135": "curve3_45",
}
_FROM = np.array([STATISTICS.index(_SWAPPED.get(name, name)) for name in STATISTICS])
_SINE = STATISTICS.index("direction_sin")


def mirrored(
    picture: NDArray[np.uint8], statistics: NDArray[np.uint8], report: FrameReport
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], FrameReport]:
    """Picture (H, W, 3) of any size, statistics (9, 16, 48), both uint8, and the report of the mirrored frame.

    Cells change places, slanting directions are exchanged, boxes are flipped and put in raster order again. Exact but
    for where cell edges, grid phases and walks from left to right fall on other pixels: a few codes in 255.
    """
    turned = np.ascontiguousarray(statistics[:, ::-1, _FROM])
    turned[..., _SINE] = 255 - turned[..., _SINE]
    return np.ascontiguousarray(picture[:, ::-1]), turned, mirrored_report(report)


def mirrored_report(report: FrameReport) -> FrameReport:
    """The report of the mirrored frame, in raster order; the key distortions stay the same ones."""
    items = [item.model_copy(update={"bbox_1000": flipped(item.bbox_1000)}) for item in report.distortions]
    order = sorted(range(len(items)), key=lambda index: (items[index].bbox_1000[1], items[index].bbox_1000[0]))
    return report.model_copy(
        update={
            "distortions": tuple(items[index] for index in order),
            "key": tuple(sorted(order.index(index) for index in report.key)),
        }
    )
