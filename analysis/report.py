"""From measured signals to the content report: rules with their thresholds in one table ("rules-1")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from analysis.schema import (
    Amount,
    Analysis,
    Box,
    Content,
    ContentReport,
    Distortion,
    DistortionType,
    Grade,
    Luminance,
    Quality,
    Severity,
    ShotAnalysis,
    Signals,
)
from analysis.signals.boxes import WHOLE_FRAME
from analysis.signals.observer import ShotSignals
from analysis.signals.tone import stops
from toolchain.models.spec import ShotTone

ANALYSER = "rules-1"
Category = Literal["live_action", "animation", "game", "screen", "mixed"]

# From which value on a measured amount is minor, moderate, severe. Units: analysis.schema.Signals.
SEVERITY: dict[str, tuple[float, float, float]] = {
    "clipped_share": (0.01, 0.05, 0.15),
    "crushed_share": (0.02, 0.08, 0.20),
    "blockiness": (1.8, 2.5, 4.0),
    "noise_sigma": (1.0, 2.0, 4.0),
    "blur": (0.65, 0.75, 0.83),
    "banding": (0.55, 0.70, 0.85),
    "saturation": (0.50, 0.60, 0.70),
}
# Upper limits of very_low, low, medium, high; above the last: very_high.
BRIGHTNESS_P50 = (0.12, 0.30, 0.55, 0.75)
DYNAMIC_RANGE_STOPS = (3.0, 5.0, 7.5, 10.0)
CONTRAST_SPAN = (0.45, 0.75)  # P99.5 - P0.5: upper limits of low and medium
FACE_EV = 0.7  # a face this many stops from its surround is darker or brighter
DARK_P99_5 = 0.40  # a picture whose highlights stay below is underexposed ...
DARK_P50 = 0.12  # ... if its middle does too
SOLID_SPAN = 0.02  # P99.5 - P0.5 of a picture of one colour
ANIMATION_FLATNESS = 0.15
ANIMATION_SATURATION = 0.17
ANIMATION_NOISE = 0.6  # a drawing has no sensor noise
CEL_FLATNESS = 0.50  # as flat as this needs no further cue
SCREEN_FLATNESS = 0.60
SCREEN_SATURATION = 0.12
SCREEN_BLUR = 0.35
MIXED_SHARE = 0.25  # a category held by this share of the frames beside another makes the video mixed
# Points off 5 for each technical distortion; more severe always costs more, so the score is monotone.
PENALTY: dict[Severity, float] = {"minor": 0.3, "moderate": 0.8, "severe": 1.6}
QUALITY_LEVELS = ((4.2, "excellent"), (3.4, "good"), (2.6, "fair"), (1.8, "poor"))
MAX_KEY_DISTORTIONS = 2

DISTORTION_OF: tuple[tuple[str, DistortionType], ...] = (
    ("banding", "color_banding"),
    ("blockiness", "blocking_artifacts"),
    ("noise_sigma", "noise"),
    ("blur", "low_clarity"),
    ("saturation", "oversaturation"),
)
MEANS = ("clipped_share", "crushed_share", "face_share", "saturation", "blockiness", "noise_sigma", "blur", "banding",
         "flatness", "graphics_share")  # fmt: skip


def amount(signal: str, value: float) -> Amount:
    """Grade a value by its row of SEVERITY."""
    steps: tuple[Amount, ...] = ("none", "minor", "moderate", "severe")
    return steps[sum(value >= limit for limit in SEVERITY[signal])]


def build_report(
    signals: Signals, boxes: Mapping[DistortionType, Box] | None = None, category: Category | None = None
) -> ContentReport:
    """The report of one shot, or of a pooled video.

    `boxes` locates distortions (0..1000 of the displayed frame); one without a box covers the active picture.
    `category` overrides the rule, for a pooled video. Raising any defect never raises the quality score.
    """
    category = category or _category(signals)
    luminance = _luminance(signals)
    distortions = _distortions(signals, luminance, boxes or {})
    score = max(1.0, 5.0 - sum(PENALTY[distortion.severity] for distortion in distortions))
    level = next((name for limit, name in QUALITY_LEVELS if score >= limit), "bad")
    content = Content(
        description=describe(category, signals, luminance), category=category, has_face=signals.face_share > 0
    )
    return ContentReport(
        content=content,
        luminance=luminance,
        distortions=distortions,
        key_distortions=_key_distortions(distortions),
        quality=Quality.model_validate({"level": level, "score": round(score, 2)}),
    )


def pool(shots: Sequence[ShotSignals]) -> tuple[Signals, ContentReport]:
    """Signals and report of a whole video: means weighted by frames, percentiles of the merged histogram.

    `shots` must not be empty. `letterbox` is the smallest box that holds every shot's picture. Boxes are kept where
    the shots that have the defect agree on one hull.
    """
    weights = np.array([max(1, item.shot.frame_count) for item in shots], dtype=np.float64)
    weights /= weights.sum()
    tone = ShotTone(histogram=tuple((weights @ np.array([item.tone.histogram for item in shots])).tolist()))
    low, middle, high = (tone.percentile(percent) for percent in (0.5, 50.0, 99.5))
    means = {name: float(weights @ [getattr(item.signals, name) for item in shots]) for name in MEANS}
    faces = [(w, item.signals.face_ev) for w, item in zip(weights, shots, strict=True)]
    faces = [(w, ev) for w, ev in faces if ev is not None]
    signals = Signals(
        stops=stops(low, high),
        p0_5=low,
        p50=middle,
        p99_5=high,
        face_ev=sum(w * ev for w, ev in faces) / sum(w for w, _ in faces) if faces else None,
        letterbox=_common_box([item.signals.letterbox for item in shots]),
        **means,
    )
    categories: list[Category] = [_category(item.signals) for item in shots]
    return signals, build_report(signals, _shared_boxes(shots), _pooled_category(categories, weights))


def build_analysis(shots: Sequence[ShotSignals]) -> Analysis:
    """Every shot's report and the pooled view. `shots` must not be empty."""
    pooled_signals, pooled = pool(shots)
    return Analysis(
        analyser=ANALYSER,
        shots=tuple(
            ShotAnalysis(shot=item.shot.index, signals=item.signals, report=build_report(item.signals, item.boxes))
            for item in shots
        ),
        pooled_signals=pooled_signals,
        pooled=pooled,
    )


def _category(signals: Signals) -> Category:
    if signals.face_share > 0:
        return "live_action"
    screen = signals.saturation <= SCREEN_SATURATION and signals.blur <= SCREEN_BLUR
    if signals.flatness >= SCREEN_FLATNESS and screen:
        return "screen"
    painted = signals.saturation >= ANIMATION_SATURATION and signals.noise_sigma <= ANIMATION_NOISE
    if signals.flatness >= CEL_FLATNESS or (signals.flatness >= ANIMATION_FLATNESS and painted):
        return "animation"
    return "live_action"


def _pooled_category(categories: Sequence[Category], weights: np.ndarray) -> Category:
    shares: dict[Category, float] = {
        name: float(weights[[c == name for c in categories]].sum()) for name in set(categories)
    }
    large = [name for name, share in shares.items() if share >= MIXED_SHARE]
    return "mixed" if len(large) > 1 else max(shares, key=lambda name: shares[name])


def _grade(value: float, limits: tuple[float, ...]) -> Grade:
    return get_args(Grade)[sum(value >= limit for limit in limits)]


def _luminance(signals: Signals) -> Luminance:
    span = signals.p99_5 - signals.p0_5
    contrast = ("low", "medium", "high")[sum(span >= limit for limit in CONTRAST_SPAN)]
    if signals.face_ev is None:
        face = "not_applicable"
    else:
        face = ("darker", "similar", "brighter")[(signals.face_ev > -FACE_EV) + (signals.face_ev >= FACE_EV)]
    return Luminance.model_validate(
        {
            "brightness": _grade(signals.p50, BRIGHTNESS_P50),
            "contrast": contrast,
            "dynamic_range": _grade(signals.stops, DYNAMIC_RANGE_STOPS),
            "highlight_clipping": amount("clipped_share", signals.clipped_share),
            "shadow_crushing": amount("crushed_share", signals.crushed_share),
            "face_surround": face,
        }
    )


def _distortions(
    signals: Signals, luminance: Luminance, boxes: Mapping[DistortionType, Box]
) -> tuple[Distortion, ...]:
    """A picture of one colour has that single defect; otherwise every graded amount above none."""
    picture = signals.letterbox or WHOLE_FRAME
    if signals.p99_5 - signals.p0_5 <= SOLID_SPAN:
        return (Distortion(type="meaningless_solid_color", severity="severe", bbox_1000=picture),)
    amounts: list[tuple[DistortionType, Amount]] = [
        (kind, amount(signal, getattr(signals, signal))) for signal, kind in DISTORTION_OF
    ]
    # A few clipped pixels are what highlights look like; they become a defect when they fill an area.
    if luminance.highlight_clipping != "minor":
        amounts.append(("overexposure", luminance.highlight_clipping))
    amounts.append(("underexposure", _underexposure(signals, luminance)))
    return tuple(
        Distortion(type=kind, severity=severity, bbox_1000=boxes.get(kind, picture))
        for kind, severity in amounts
        if severity != "none"
    )


def _underexposure(signals: Signals, luminance: Luminance) -> Amount:
    dark = signals.p50 <= DARK_P50 and signals.p99_5 <= DARK_P99_5
    if luminance.shadow_crushing in ("moderate", "severe"):
        return luminance.shadow_crushing
    return "moderate" if dark else "none"


def _key_distortions(distortions: Sequence[Distortion]) -> tuple[int, ...]:
    """The worst defects, at most two, none of them minor."""
    order: tuple[Severity, ...] = ("severe", "moderate")
    ranked = [i for severity in order for i, item in enumerate(distortions) if item.severity == severity]
    return tuple(ranked[:MAX_KEY_DISTORTIONS])


def describe(category: Category, signals: Signals, luminance: Luminance) -> str:
    """One sentence of what is measured: subject, brightness, contrast and what stands out."""
    subject = category.replace("_", " ").capitalize()
    if signals.face_share > 0:
        subject += " with a face"
    facts = [
        f"{luminance.brightness.replace('_', ' ')} brightness",
        f"{luminance.contrast} contrast over {signals.stops:.1f} stops",
    ]
    if luminance.face_surround in ("darker", "brighter"):
        facts.append(f"the face {luminance.face_surround} than its surround")
    if luminance.highlight_clipping in ("moderate", "severe"):
        facts.append(f"{signals.clipped_share:.0%} of the picture clipped")
    if signals.graphics_share > 0:
        facts.append("text or a logo in the picture")
    if signals.letterbox is not None:
        facts.append("black bars around it")
    return f"{subject}: {', '.join(facts)}."


def _common_box(boxes: Sequence[Box | None]) -> Box | None:
    found = [box for box in boxes if box is not None]
    return _hull(found) if found and len(found) == len(boxes) else None


def _hull(boxes: Sequence[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _shared_boxes(shots: Sequence[ShotSignals]) -> dict[DistortionType, Box]:
    """One hull a defect, where every shot of the video has it in a place."""
    kinds = set.intersection(*(set(item.boxes) for item in shots))
    return {kind: _hull([item.boxes[kind] for item in shots]) for kind in kinds}
