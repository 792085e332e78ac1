"""Listens to the one decode pass (toolchain.video.scan) and yields each shot's signals, tone and graphics mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from analysis.schema import DistortionType, Signals
from analysis.signals import banding, chroma, faces, tone
from analysis.signals.blockiness import blockiness
from analysis.signals.blur import blur
from analysis.signals.boxes import Box, Fractions, displayed_box, hull, quarter_turns
from analysis.signals.flatness import flatness
from analysis.signals.graphics import GraphicsTracker, block_mask
from analysis.signals.letterbox import active_picture
from analysis.signals.native import native_luma
from analysis.signals.noise import noise_sigma
from toolchain.models.spec import ShotTone
from toolchain.video.facts import VideoFacts
from toolchain.video.picture import rgb_signal, working_size
from toolchain.video.scan import SmallFrame
from toolchain.video.shots import Shot

FloatImage = NDArray[np.float32]

SMALL_WIDTH = 480
FACE_SIDE = 360
LOCAL_SHARE = 0.6  # a region that spans more of the frame than this is not local
MEAN_SIGNALS = ("face_share", "blockiness", "noise_sigma", "blur", "banding", "flatness")


@dataclass(frozen=True)
class ShotSignals:
    """What is known of one shot.

    `graphics`: float32 weights 0..1 of the decoded frame's 16x16 luma blocks, ceil(h/16) x ceil(w/16).
    `boxes`: where a defect is local, in 0..1000 of the displayed frame.
    """

    shot: Shot
    signals: Signals
    tone: ShotTone
    graphics: NDArray[np.float32]
    boxes: dict[DistortionType, Box] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyFrameFacts:
    """One key frame's measurements; `regions` are shares of the decoded frame."""

    values: dict[str, float]
    face_ev: float | None
    active: Fractions | None
    regions: dict[DistortionType, Fractions]


class SignalObserver:
    """A toolchain.video.scan.ScanObserver; `shots` fills with one ShotSignals a shot, in order."""

    def __init__(self, facts: VideoFacts):
        self.shots: list[ShotSignals] = []
        self._facts = facts
        self._tick = facts.time_base or Fraction(1, 1000)
        self._begin_shot()

    def _begin_shot(self) -> None:
        self._full_range = self._facts.color.range == "full"
        self._graphics = GraphicsTracker()
        self._counts = np.zeros(tone.BINS, np.int64)
        self._chroma: list[tuple[float, float]] = []
        self._key_frames: list[KeyFrameFacts] = []

    def on_frame(self, number: int, pts: int, small: SmallFrame) -> None:
        """Measure what is cheap on every frame: luma histogram, clipping, saturation, graphics."""
        self._full_range = small.color.range == "full"
        rgb = chroma.rgb_planes(small.y, small.cb, small.cr, small.color.matrix, self._full_range)
        self._counts += tone.code_counts(small.y)
        self._chroma.append((float(chroma.clipped_mask(rgb).mean()), chroma.saturation(rgb)))
        self._graphics.push(float(pts * self._tick), small.y, small.cb, small.cr, self._full_range)

    def on_key_frame(self, shot_index: int, number: int, frame: VideoFrame) -> None:
        """Measure what needs native resolution, or a detector, on a frame that speaks for its shot."""
        self._key_frames.append(measure_key_frame(frame, self._facts))

    def on_shot(self, shot: Shot) -> None:
        """Close a shot: all its frames and key frames have been seen."""
        graphics = block_mask(self._graphics.finish(), self._facts.width, self._facts.height)
        active = common_picture([key.active for key in self._key_frames])
        picture_share = 1.0 if active is None else _area(active)
        counts = tone.without_bars(self._counts, 1.0 - picture_share)
        clipped, saturation = np.mean(self._chroma or [(0.0, 0.0)], axis=0) / picture_share
        face_evs = [key.face_ev for key in self._key_frames if key.face_ev is not None]
        shot_tone = tone.shot_tone(counts, self._full_range)
        low, middle, high = (shot_tone.percentile(percent) for percent in (0.5, 50.0, 99.5))
        signals = Signals(
            stops=tone.stops(low, high),
            p0_5=low,
            p50=middle,
            p99_5=high,
            clipped_share=min(1.0, float(clipped)),
            crushed_share=tone.crushed_share(counts, self._full_range),
            saturation=min(1.0, float(saturation)),
            graphics_share=float(graphics.mean()),
            letterbox=None if active is None else displayed_box(active, self._facts.rotation_deg),
            face_ev=float(np.mean(face_evs)) if face_evs else None,
            **_mean_values(self._key_frames),
        )
        self.shots.append(ShotSignals(shot, signals, shot_tone, graphics, self._local_boxes(self._key_frames)))
        self._begin_shot()

    def _local_boxes(self, key_frames: Sequence[KeyFrameFacts]) -> dict[DistortionType, Box]:
        boxes: dict[DistortionType, Box] = {}
        for key in key_frames:
            for kind, region in key.regions.items():
                boxes.setdefault(kind, displayed_box(region, self._facts.rotation_deg))
        return boxes


def _mean_values(key_frames: Sequence[KeyFrameFacts]) -> dict[str, float]:
    """Mean of each key-frame measurement; neutral values without key frames."""
    neutral = {name: 1.0 if name == "blockiness" else 0.0 for name in MEAN_SIGNALS}
    rows = [key.values for key in key_frames] or [neutral]
    return {name: float(np.mean([row[name] for row in rows])) for name in MEAN_SIGNALS}


def common_picture(active: Sequence[Fractions | None]) -> Fractions | None:
    """Smallest region that holds every key frame's picture; None when one of them fills the frame."""
    found = [region for region in active if region is not None]
    if not found or len(found) < len(active):
        return None
    lefts, tops, rights, bottoms = zip(*found, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def measure_key_frame(frame: VideoFrame, facts: VideoFacts) -> KeyFrameFacts:
    """All measurements of one full-resolution frame: those of the picture at 480 px, those at native resolution."""
    rgb = rgb_signal(frame, facts.color, SMALL_WIDTH)
    luma = _luma(rgb, facts.color.matrix)
    active = active_picture((np.minimum(luma, 1.0) * 255.0).astype(np.uint8), full_range=True)
    upright = _upright(rgb, facts.rotation_deg)
    found = faces.find_faces(upright)
    values, banded = _native_values(*native_luma(frame, active))
    values["face_share"] = faces.face_share(upright.shape, found)
    regions: dict[DistortionType, Fractions | None] = {
        "overexposure": hull(rgb.max(axis=2) >= chroma.CLIPPED_SIGNAL),
        "underexposure": hull((luma <= tone.CRUSHED_SIGNAL) & _inside(luma.shape, active)),
        "color_banding": banded,
    }
    local: dict[DistortionType, Fractions] = {
        kind: region for kind, region in regions.items() if region is not None and _area(region) <= LOCAL_SHARE
    }
    return KeyFrameFacts(values, faces.face_ev(_luma(upright, facts.color.matrix), found), active, local)


def _native_values(luma: FloatImage, window: Fractions) -> tuple[dict[str, float], Fractions | None]:
    """Measurements at native resolution, and where the stepped areas lie in the frame."""
    smooth, stepped = banding.stepped_blocks(luma)
    values = {
        "blockiness": blockiness(luma),
        "noise_sigma": noise_sigma(luma),
        "blur": blur(luma),
        "banding": banding.banding(smooth, stepped),
        "flatness": flatness(luma),
    }
    region = hull(stepped > 0)
    if region is None:
        return values, None
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    left, top, right, bottom = region
    return values, (x0 + left * width, y0 + top * height, x0 + right * width, y0 + bottom * height)


def _luma(rgb: FloatImage, matrix: str) -> FloatImage:
    kr, kb = chroma.LUMA_WEIGHTS[matrix]
    return rgb @ np.array([kr, 1.0 - kr - kb, kb], np.float32)


def _upright(rgb: FloatImage, rotation_deg: int) -> FloatImage:
    turned = np.ascontiguousarray(np.rot90(rgb, -quarter_turns(rotation_deg)))
    height, width = working_size(turned.shape[0], turned.shape[1], FACE_SIDE, FACE_SIDE)
    return cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def _inside(shape: tuple[int, ...], active: Fractions | None) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    x0, y0, x1, y1 = active or (0.0, 0.0, 1.0, 1.0)
    mask[round(y0 * shape[0]) : round(y1 * shape[0]), round(x0 * shape[1]) : round(x1 * shape[1])] = True
    return mask


def _area(region: Fractions) -> float:
    return (region[2] - region[0]) * (region[3] - region[1])
