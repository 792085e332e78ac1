"""The numbers a decision was based on, flat and versioned, for the decision record and for learning from it."""

from __future__ import annotations

from typing import get_args

from analysis.schema import Analysis, DistortionType, Severity

FEATURES_VERSION = "signals-1"
"""Raise it whenever a name, a unit or a meaning below changes: records of different versions do not mix."""

SIGNALS = (
    "stops", "p0_5", "p50", "p99_5", "clipped_share", "crushed_share", "face_share", "saturation", "blockiness",
    "noise_sigma", "blur", "banding", "flatness", "graphics_share",
)  # fmt: skip
CATEGORIES = ("live_action", "animation", "game", "screen", "mixed")


def features(analysis: Analysis) -> dict[str, float]:
    """Flat features of a whole video; always the same keys, all finite.

    Pooled signals in the units of analysis.schema.Signals; `face_ev` is 0 without a face (`face_share` tells);
    `spread.*` is the range of a signal over the shots; `severity.*` is 0 none .. 3 severe; `category.*` is 0 or 1.
    """
    pooled, report = analysis.pooled_signals, analysis.pooled
    values = {f"signal.{name}": float(getattr(pooled, name)) for name in SIGNALS}
    values["signal.face_ev"] = pooled.face_ev or 0.0
    values["signal.letterbox"] = float(pooled.letterbox is not None)
    values["shots"] = float(len(analysis.shots))
    for name in ("p50", "p99_5", "stops"):
        over_shots = [getattr(shot.signals, name) for shot in analysis.shots] or [0.0]
        values[f"spread.{name}"] = float(max(over_shots) - min(over_shots))
    severities = {item.type: 1.0 + get_args(Severity).index(item.severity) for item in report.distortions}
    values |= {f"severity.{kind}": severities.get(kind, 0.0) for kind in get_args(DistortionType)}
    values |= {f"category.{name}": float(report.content.category == name) for name in CATEGORIES}
    values["quality"] = report.quality.score
    return values
