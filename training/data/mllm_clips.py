"""Frames of real SDR clips for the second held-out set. They test; nothing is ever trained on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from toolchain.errors import InputError

Frame = NDArray[np.uint8]
CLIPS = (
    "internal_emulator_transformer_output.mp4",
    "sample.mp4",
    "sample_with_increasing_timestamps_360p.mp4",
    "portrait_4k60.mp4",
    "bbb_960x540_60fps_vp8.webm",
    "bbb_800x640_768kbps_30fps_avc_pyramid_3b.mp4",
)
"""SDR, each of other content."""
SHRINK = {"portrait_4k60.mp4": 3.0, "sample_with_increasing_timestamps_360p.mp4": 1.25, "sample.mp4": 1.6}
"""By how much a clip is shrunk so that its own coding is gone; `USUAL_SHRINK` for the others."""
USUAL_SHRINK = 1.5
RUN = 10
"""Frames that are coded together: the damage is that of a picture that was predicted from others."""


def clip_frames(folder: Path, count: int) -> list[tuple[str, int, Callable[[], list[Frame]]]]:
    """(clip name, index, how to read the frames up to it) of `count` frames spread over each clip that is there."""
    return [
        (path.stem.replace("_", "-"), index, partial(read_frames, path, (index + 0.5) / count))
        for name in CLIPS
        for path in [folder / name]
        if path.is_file()
        for index in range(count)
    ]


def read_frames(path: Path, place: float) -> list[Frame]:
    """Up to `RUN` consecutive frames, (H, W, 3) uint8 R'G'B' with even sides, shrunk; the last lies at that share of
    the clip. InputError if it cannot be decoded."""
    try:
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            last = min(int(place * len(frames)), len(frames) - 1)
            pictures = [frame.to_ndarray(format="rgb24") for frame in frames[max(0, last - RUN + 1) : last + 1]]
            height, width = pictures[-1].shape[:2]
    except (FFmpegError, IndexError) as error:
        raise InputError(f"{path} cannot be decoded ({error}): give an intact clip.") from error
    factor = SHRINK.get(path.name, USUAL_SHRINK)
    size = (round(width / factor / 2) * 2, round(height / factor / 2) * 2)
    return [np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8) for picture in pictures]
