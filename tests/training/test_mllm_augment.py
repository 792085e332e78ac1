"""Mirroring a stored sample is what mirroring its frame would have been."""

from __future__ import annotations

import cv2
import numpy as np

from analysis.mllm.diagnostic import STATISTICS, picture, quantised, statistics
from training.data.distortions_layout import Damage
from training.data.distortions_score import report
from training.data.mllm_augment import mirrored, mirrored_report

TRUTH = report(
    [Damage("noise", 2, (0, 0, 1000, 1000)), Damage("motion_blur", 5, (100, 200, 300, 500)),
     Damage("color_cast", 3, (600, 200, 900, 400))],
    "low", "high",
)  # fmt: skip


def test_a_mirrored_sample_is_that_of_the_mirrored_frame() -> None:
    rng = np.random.default_rng(2)
    frame = cv2.resize(rng.integers(30, 220, (60, 107, 3), dtype=np.uint8), (640, 360), interpolation=cv2.INTER_CUBIC)
    frame = cv2.warpAffine(
        frame, np.array([[1.0, 0.6, -100], [0, 1, 0]], np.float32), (640, 360), borderMode=cv2.BORDER_REFLECT
    )
    frame = np.asarray(frame, np.uint8)
    other = np.ascontiguousarray(frame[:, ::-1])
    shown, stored, _ = mirrored(picture(frame), quantised(statistics(frame)), TRUTH)
    truth = quantised(statistics(other))
    assert np.abs(shown.astype(int) - picture(other)).max() <= 1
    error = np.abs(stored.astype(int) - truth).mean(axis=(0, 1))
    assert dict(zip(STATISTICS, error > 12, strict=True)) == dict.fromkeys(STATISTICS, False), error
    naive = np.abs(quantised(statistics(frame))[:, ::-1].astype(int) - truth).mean(axis=(0, 1))
    sine = STATISTICS.index("direction_sin")
    assert naive[sine] > 4 * error[sine]  # the picture does slant


def test_boxes_are_flipped_in_raster_order_and_the_key_stays() -> None:
    turned = mirrored_report(TRUTH)
    assert [item.bbox_1000 for item in turned.distortions] == [
        (0, 0, 1000, 1000), (100, 200, 400, 400), (700, 200, 900, 500)
    ]  # fmt: skip
    assert [turned.distortions[index].type for index in turned.key] == ["motion_blur"]
    assert mirrored_report(turned) == TRUTH
