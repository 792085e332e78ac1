"""Brings what a model sees and what is measured into one content report.

The one rule: where the two contradict each other, the measurement stands, and the contradiction is listed. What is
measured is computed and not asked: brightness, clipping, crushing, faces, category. Of the rest, a contradiction is

- a grade (dynamic range, contrast) more than one step from the measured one;
- a distortion that the measured picture cannot have, such as overexposure where nothing is bright: it is left out;
- a defect that is measured directly (burnt-out or sunk areas, a picture of one colour) more than one step more severe
  than the model says, "none" being a step: it is put in as measured.

One step apart is no contradiction: the same thing was judged twice, near the border of two grades.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from pydantic import BaseModel, ConfigDict

from analysis.mllm.code import SEVERITIES
from analysis.mllm.frame_report import CONTRASTS, GRADES, FrameReport
from analysis.report import build_report, describe
from analysis.schema import Amount, Box, ContentReport, Distortion, DistortionType, Luminance, Quality, Signals

AMOUNTS: tuple[Amount, ...] = get_args(Amount)
MEASURED_DEFECTS: tuple[DistortionType, ...] = ("overexposure", "underexposure", "meaningless_solid_color")
NONE_BRIGHT_P99_5, NONE_DARK_P0_5, NO_PIXELS = 0.70, 0.10, 0.001
GREY_SATURATION, COLOURLESS_SATURATION, NO_FLAT_SHARE = 0.02, 0.005, 0.001

# Why the measured picture cannot have a distortion; "" where it can. Limits far from any doubtful case.
IMPOSSIBLE: dict[DistortionType, Callable[[Signals], str]] = {
    "overexposure": lambda s: (
        f"P99.5 of the luma is {s.p99_5:.2f} and {s.clipped_share:.2%} is clipped"
        if s.p99_5 < NONE_BRIGHT_P99_5 and s.clipped_share < NO_PIXELS
        else ""
    ),
    "underexposure": lambda s: (
        f"P0.5 of the luma is {s.p0_5:.2f} and {s.crushed_share:.2%} is black"
        if s.p0_5 > NONE_DARK_P0_5 and s.crushed_share < NO_PIXELS
        else ""
    ),
    "meaningless_solid_color": lambda s: "no area is flat" if s.flatness < NO_FLAT_SHARE else "",
    "oversaturation": lambda s: f"mean saturation is {s.saturation:.3f}" if s.saturation < GREY_SATURATION else "",
    "color_cast": lambda s: f"mean saturation is {s.saturation:.3f}" if s.saturation < COLOURLESS_SATURATION else "",
}


class Contradiction(BaseModel):
    """What the model said, what was measured instead and stands. `shot` is None for the video as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: int | None
    subject: str
    model: str
    measured: str


def combine(
    seen: FrameReport,
    signals: Signals,
    measured: ContentReport | None = None,
    boxes: Mapping[DistortionType, Box] | None = None,
    shot: int | None = None,
) -> tuple[ContentReport, tuple[Contradiction, ...]]:
    """The content report of a shot or a video, and the contradictions that it settles.

    `seen`: what the model said of its pictures. `measured`: the report by rules of the same `signals`; made here from
    `boxes` where it is not given.
    """
    measured = measured or build_report(signals, boxes)
    found: list[Contradiction] = []

    def contradicted(subject: str, model: str, fact: str) -> None:
        found.append(Contradiction(shot=shot, subject=subject, model=model, measured=fact))

    luminance = _luminance(seen, measured.luminance, contradicted)
    kept = _possible(seen, signals, contradicted)
    distortions, key = _with_measured(kept, measured, contradicted)
    content = measured.content.model_copy(
        update={"description": _description(measured, signals, luminance, distortions, key)}
    )
    report = ContentReport(
        content=content,
        luminance=luminance,
        distortions=distortions,
        key_distortions=key,
        quality=Quality(level=seen.level, score=round(seen.score, 2)),
    )
    return report, tuple(found)


_Contradicted = Callable[[str, str, str], None]


def _luminance(seen: FrameReport, measured: Luminance, contradicted: _Contradicted) -> Luminance:
    kept: dict[str, str] = {}
    for name, grades in (("dynamic_range", GRADES), ("contrast", CONTRASTS)):
        said, fact = getattr(seen, name), getattr(measured, name)
        if abs(grades.index(said) - grades.index(fact)) > 1:
            contradicted(name, said, fact)
            said = fact
        kept[name] = said
    return Luminance.model_validate(measured.model_dump() | kept)


def _possible(seen: FrameReport, signals: Signals, contradicted: _Contradicted) -> list[tuple[Distortion, bool]]:
    """The distortions that the measured picture can have, each with whether it is key."""
    why_not = {kind: impossible(signals) for kind, impossible in IMPOSSIBLE.items()}
    absent: list[DistortionType] = [item.type for item in seen.distortions if why_not.get(item.type)]
    for kind in dict.fromkeys(absent):
        contradicted(kind, _worst(kind, list(seen.distortions)), f"none: {why_not[kind]}")
    return [(item, i in seen.key) for i, item in enumerate(seen.distortions) if not why_not.get(item.type)]


def _with_measured(
    kept: list[tuple[Distortion, bool]], measured: ContentReport, contradicted: _Contradicted
) -> tuple[tuple[Distortion, ...], tuple[int, ...]]:
    for item in measured.distortions:
        said = _worst(item.type, [other for other, _ in kept])
        if item.type in MEASURED_DEFECTS and AMOUNTS.index(item.severity) - AMOUNTS.index(said) > 1:
            contradicted(item.type, said, item.severity)
            kept = [pair for pair in kept if pair[0].type != item.type]
            kept.append((item, item.severity == "severe"))
    distortions = tuple(item for item, _ in kept)
    key = tuple(place for place, (_, is_key) in enumerate(kept) if is_key)
    if not key and distortions:
        key = (max(range(len(distortions)), key=lambda i: SEVERITIES.index(distortions[i].severity)),)
    return distortions, key


def _worst(kind: DistortionType, distortions: list[Distortion]) -> Amount:
    ranks = [AMOUNTS.index(item.severity) for item in distortions if item.type == kind]
    return AMOUNTS[max(ranks, default=0)]


def _description(
    measured: ContentReport,
    signals: Signals,
    luminance: Luminance,
    distortions: tuple[Distortion, ...],
    key: tuple[int, ...],
) -> str:
    text = describe(measured.content.category, signals, luminance)
    if not distortions:
        return f"{text} No distortions."
    named = [f"{item.severity} {item.type.replace('_', ' ')}" for item in distortions]
    named = [f"{name} (key)" if place in key else name for place, name in enumerate(named)]
    return f"{text} Distortions: {', '.join(dict.fromkeys(named))}."
