"""What can be wrong with one picture, in five strengths, done to HxWx3 uint8 R'G'B' at its native size.

All of `analysis.schema.DistortionType` but `flicker`, which no single picture shows. `distort` works on the whole
picture; `training.data.distortions_layout` keeps what lies in a box. Spatial sizes are for 540 lines and grow with
the root of the height. To add one: write `(picture, strength, rng) -> picture` and add its line to `DISTORTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.schema import DistortionType, Severity
from training.data import distortions_coding as coding
from training.data import distortions_detail as detail
from training.data import distortions_tone as tone
from training.data.distortions_detail import Picture

STRENGTHS = (1, 2, 3, 4, 5)
SEVERITY: tuple[Severity, ...] = ("minor", "minor", "moderate", "severe", "severe")
"""Of each strength, weakest first."""
Group = Literal["sharpness", "edges", "exposure", "colour", "grain", "steps", "coding", "nothing"]
Apply = Callable[[Picture, int, np.random.Generator], Picture]


@dataclass(frozen=True)
class DistortionKind:
    """How it is done, which others it excludes, and how much of a change makes it visible."""

    apply: Apply
    group: Group
    order: int
    """What comes first on a picture's way: lens 0, light 1, colour 2, sensor 3, processing 4, coding 5, loss 6."""
    least_change: float
    """Root mean square in 8-bit codes of what strength 1 must change to count; other strengths by `_FACTOR`."""


DISTORTIONS: dict[DistortionType, DistortionKind] = {
    "low_clarity": DistortionKind(detail.low_clarity, "sharpness", 0, 1.6),
    "out_of_focus_blur": DistortionKind(detail.out_of_focus, "sharpness", 0, 2.0),
    "motion_blur": DistortionKind(detail.motion_blur, "sharpness", 0, 2.0),
    "noise": DistortionKind(coding.noise, "grain", 3, 1.5),
    "blocking_artifacts": DistortionKind(coding.blocking, "coding", 5, 1.6),
    "edge_aliasing": DistortionKind(detail.aliasing, "edges", 4, 2.0),
    "edge_ringing": DistortionKind(detail.ringing, "edges", 4, 2.0),
    "overexposure": DistortionKind(tone.overexposure, "exposure", 1, 10.0),
    "underexposure": DistortionKind(tone.underexposure, "exposure", 1, 8.0),
    "meaningless_solid_color": DistortionKind(tone.solid_color, "nothing", 6, 6.0),
    "color_banding": DistortionKind(tone.banding, "steps", 4, 1.2),
    "color_cast": DistortionKind(tone.color_cast, "colour", 2, 3.0),
    "oversaturation": DistortionKind(tone.oversaturation, "colour", 2, 4.0),
    "desaturation": DistortionKind(tone.desaturation, "colour", 2, 4.0),
}
_FACTOR = (1.0, 1.25, 1.5, 1.9, 2.4)
_EXCLUDED: tuple[tuple[Group, Group], ...] = (
    ("sharpness", "edges"),  # a blurred edge has neither stairs nor halos left to tell
    ("grain", "steps"),  # noise dithers the steps away
    ("grain", "coding"),  # a coarse coder removes the noise
    ("steps", "coding"),
    ("edges", "coding"),
)


def distort(picture: Picture, kind: DistortionType, strength: int, rng: np.random.Generator) -> Picture:
    """The whole picture with that damage; strength 1 (weakest) to 5."""
    return DISTORTIONS[kind].apply(picture, strength, rng)


def permitted(first: DistortionType, second: DistortionType) -> bool:
    """Whether both can be told apart where they lie over one another."""
    one, other = DISTORTIONS[first].group, DISTORTIONS[second].group
    if one == other or "nothing" in (one, other):
        return False
    return (one, other) not in _EXCLUDED and (other, one) not in _EXCLUDED


def visible(before: Picture, after: Picture, kind: DistortionType, strength: int) -> bool:
    """Whether the damage shows: blur on a clear sky and colour taken from a grey wall are no defects to report."""
    change = np.asarray(after, np.float32) - before
    return float(np.sqrt((change * change).mean())) >= DISTORTIONS[kind].least_change * _FACTOR[strength - 1]
