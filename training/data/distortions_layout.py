"""Which damage goes where: a plan of one picture's distortions, and the picture with all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from analysis.schema import Box, DistortionType
from training.data.distortions import DISTORTIONS, STRENGTHS, distort, permitted, visible
from training.data.distortions_detail import Picture
from training.data.distortions_regions import WHOLE, area_share, draw_boxes, pixels_of

Layout = Literal["pristine", "global", "local"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
GLOBAL_COUNTS = (0.62, 0.30, 0.08)
"""How often one, two and three distortions lie over the whole picture."""
LOCAL_COUNTS = (0.45, 0.33, 0.22)
"""How often there are one, two and three damaged regions."""
ALSO_GLOBAL = 0.15
"""How often a picture with damaged regions has a weak global distortion too."""
_SOLID_SHARES = (0.05, 0.12)
"""A solid surface below the first share of the picture is minor, below the second moderate: strengths 2, 3 and 4."""
_EXPOSED_TOGETHER = 3
"""Strength of the wrong exposure of a whole frame that has other damage too: black or white would hide it."""
_SOLID: DistortionType = "meaningless_solid_color"
_TRIES = 4
_STRENGTH_ODDS = (0.16, 0.17, 0.33, 0.17, 0.17)
"""Each severity a third."""
_WEIGHTS: dict[DistortionType, float] = {"motion_blur": 1.3, "overexposure": 1.3, "edge_ringing": 1.3}
"""The hard ones are drawn more often."""


@dataclass(frozen=True)
class Damage:
    """One distortion as it was done."""

    kind: DistortionType
    strength: int
    box: Box


def damaged(picture: Picture, layout: Layout, rng: np.random.Generator) -> tuple[Picture, list[Damage]]:
    """The picture (even sides) with the distortions of a random plan, and what they are.

    Damage that does not show is drawn anew, then left out: a plan may come out smaller than it was, never wrong.
    """
    if layout == "pristine":
        return picture, []
    if layout == "global":
        return _apply(picture, _global_plan(rng), rng)
    plan = []
    if rng.random() < ALSO_GLOBAL:
        plan.append((_draw(rng, [], solid_odds=0.0), int(rng.integers(1, 4)), WHOLE))
    boxes = draw_boxes(rng, 1 + int(rng.choice(3, p=LOCAL_COUNTS)))
    above = [kind for kind, _, _ in plan]
    plan += [(_draw(rng, above), _strength(rng), box) for box in boxes]
    return _apply(picture, plan, rng)


Step = tuple[DistortionType, int, Box]


def _global_plan(rng: np.random.Generator) -> list[Step]:
    kinds: list[DistortionType] = []
    for _ in range(1 + int(rng.choice(3, p=GLOBAL_COUNTS))):
        kinds.append(_draw(rng, kinds, solid_odds=0.25 if not kinds else 0.0))
        if kinds[-1] == _SOLID:
            break  # hides whatever else was done
    return [(kind, _strength(rng), WHOLE) for kind in kinds]


def _strength(rng: np.random.Generator) -> int:
    return int(rng.choice(STRENGTHS, p=_STRENGTH_ODDS))


def _draw(rng: np.random.Generator, with_these: list[DistortionType], solid_odds: float = 1.0) -> DistortionType:
    """A type that may lie over the others (none of which is a solid colour)."""
    kinds: list[DistortionType] = [
        kind for kind in DISTORTIONS if all(permitted(kind, other) for other in with_these)
    ]
    weights = np.array([solid_odds if kind == _SOLID else _WEIGHTS.get(kind, 1.0) for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


def _apply(picture: Picture, plan: list[Step], rng: np.random.Generator) -> tuple[Picture, list[Damage]]:
    """In the order of a picture's way, whatever the order of the plan; only real damage is listed."""
    done: list[Damage] = []
    out = picture
    for kind, strength, box in sorted(plan, key=lambda step: DISTORTIONS[step[0]].order):
        above: list[DistortionType] = [other.kind for other in done if WHOLE in (other.box, box)]
        for tried, force in _alternatives(kind, strength, above, rng):
            force = _allowed(tried, force, box, alone=len(plan) == 1)
            after = _in_box(out, tried, force, box, rng)
            if after is not None:
                out = after
                done.append(Damage(tried, force, box))
                break
    return out, done


def _allowed(kind: DistortionType, strength: int, box: Box, alone: bool) -> int:
    if DISTORTIONS[kind].group == "exposure" and box == WHOLE and not alone:
        return min(strength, _EXPOSED_TOGETHER)
    return solid_strength(Damage(kind, strength, box))


def _alternatives(
    kind: DistortionType, strength: int, above: list[DistortionType], rng: np.random.Generator
) -> Iterator[tuple[DistortionType, int]]:
    """The type that was planned, harder, then others that may lie there."""
    yield kind, strength
    yield kind, min(strength + 1, STRENGTHS[-1])
    for _ in range(_TRIES - 2):
        yield _draw(rng, above, solid_odds=0.0), min(strength + 1, STRENGTHS[-1])


def solid_strength(damage: Damage) -> int:
    """A solid surface's strength is in its area; every other damage keeps its own."""
    if damage.kind != _SOLID:
        return damage.strength
    share = area_share(damage.box)
    return 2 if share < _SOLID_SHARES[0] else 3 if share < _SOLID_SHARES[1] else 4 if share < 0.7 else 5


def _in_box(
    picture: Picture, kind: DistortionType, strength: int, box: Box, rng: np.random.Generator
) -> Picture | None:
    """The picture with that damage inside the box alone, its rim soft now and then; None if it does not show."""
    if box == WHOLE:
        after = distort(picture, kind, strength, rng)
        return after if visible(picture, after, kind, strength) else None
    x0, y0, x1, y1 = pixels_of(box, picture)
    # What blurs reach in from around; corners on multiples of 16 keep the coders' grid that of the frame.
    margin = 32
    top, left = max(0, y0 - margin) // 16 * 16, max(0, x0 - margin) // 16 * 16
    bottom, right = min(picture.shape[0], (y1 + margin) // 2 * 2), min(picture.shape[1], (x1 + margin) // 2 * 2)
    window = np.ascontiguousarray(picture[top:bottom, left:right])
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    changed = distort(window if kind not in _BY_REGION else np.ascontiguousarray(window[inside]), kind, strength, rng)
    after = changed if kind in _BY_REGION else changed[inside]
    if not visible(window[inside], after, kind, strength):
        return None
    out = picture.copy()
    out[y0:y1, x0:x1] = _soft_rim(window[inside], after, rng) if kind not in _HARD_RIM else after
    return out


_BY_REGION: frozenset[DistortionType] = frozenset({"overexposure", "underexposure"})
"""Their amount follows the pixels: those of the box alone."""
_HARD_RIM: frozenset[DistortionType] = frozenset({_SOLID, "blocking_artifacts"})


def _soft_rim(before: Picture, after: Picture, rng: np.random.Generator) -> Picture:
    """Two in three regions fade in over 2 to 12 pixels, so that the seam alone gives nothing away."""
    width = int(rng.integers(2, 13)) * (rng.random() < 0.67)
    if not width:
        return after
    height, columns = before.shape[:2]
    y = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None]
    x = np.minimum(np.arange(columns), np.arange(columns)[::-1])[None]
    mask = np.clip((np.minimum(y, x) + 0.5) / width, 0.0, 1.0).astype(np.float32)
    return np.asarray(cv2.blendLinear(after, before, mask, 1.0 - mask), np.uint8)
