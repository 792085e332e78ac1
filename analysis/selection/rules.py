"""From analysis to plan by rules ("rules-2"): restoration where it pays, and the models worth trying, best first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from analysis.report import DISTORTION_OF, SEVERITY
from analysis.schema import Analysis, Candidate, DistortionType, Plan, RestoreStep, Severity
from analysis.selection.profile import Profile
from toolchain.errors import UsageError
from toolchain.models.restore_strength import compression_strength, softness_strength
from toolchain.models.spec import COST_ORDER, Controls, ModelSpec

POLICY = "rules-2"
DO_NOTHING = "direct203"
REFERENCE_WHITE_NITS = 203.0
EXPLORE_EPSILON = 0.04
"""Explore mode gives this much of the probability, in equal parts, to the eligible models that are not first."""

# Where each model starts: how often it is right when nothing special is known of the content.
# The lumen models stand where they came out against held-out masters (docs/sdr2hdr.md). Over all of them lumen-shot
# is ahead, but not on photographs, which are what a real video is more like.
BASE_SCORE = {
    "lumen-fixed": 1.05,
    "spline": 1.0,
    "lumen-shot": 0.9,
    "bt2446c": 0.8,
    "bt2446a": 0.7,
    "bt2446b": 0.6,
    DO_NOTHING: 0.2,
}
OTHER_MODEL_SCORE = 0.5
PREFERRED_SCORE = 0.8
"""Added for a model that the profile prefers: enough to lead by, unless several rules speak against it."""
LOWER_PEAK_SHARE = 0.5  # of the headroom above 203 nits that is left where expansion would show defects
BASE_REASON = {
    "lumen-shot": "learned from graded masters how a shot like this was brighter",
    "spline": "follows each shot's own highlights",
    "lumen-fixed": "the curve that fits graded masters best on the whole",
    "bt2446c": "gives back a filmic highlight roll-off",
    "bt2446a": "suits a graded picture with its highlights intact",
    "bt2446b": "expands little and safely",
    DO_NOTHING: "carries the picture unchanged, the result that every other has to beat",
}


@dataclass(frozen=True)
class Rule:
    """Where `applies`, scores change by `scores` and parameters are set by `parameters`, for `reason`."""

    reason: str
    applies: Callable[[Analysis], bool]
    scores: dict[str, float]
    parameters: dict[str, dict[str, float]] = field(default_factory=dict)


def _severity(analysis: Analysis, kind: DistortionType) -> Severity | None:
    return next((item.severity for item in analysis.pooled.distortions if item.type == kind), None)


def _at_least_moderate(analysis: Analysis, *kinds: DistortionType) -> bool:
    return any(_severity(analysis, kind) in ("moderate", "severe") for kind in kinds)


def _is_damaged(analysis: Analysis) -> bool:
    """Noise and coding defects grow with the highlights they sit in."""
    return _at_least_moderate(analysis, "noise", "blocking_artifacts", "color_banding")


def _is_clipped(analysis: Analysis) -> bool:
    return analysis.pooled.luminance.highlight_clipping in ("moderate", "severe")


def _is_dark(analysis: Analysis) -> bool:
    return analysis.pooled.luminance.brightness in ("very_low", "low")


def _has_intact_grade(analysis: Analysis) -> bool:
    luminance, content = analysis.pooled.luminance, analysis.pooled.content
    intact = luminance.highlight_clipping == "none" and luminance.contrast != "low"
    return content.category == "live_action" and intact and not _is_damaged(analysis)


RULES: tuple[Rule, ...] = (
    Rule(
        "drawn pictures keep their painted tones under a gentle curve",
        lambda a: a.pooled.content.category == "animation",
        {"spline": 0.3, "bt2446a": -0.3},
        {"spline": {"strength": 0.7}},
    ),
    Rule(
        "screen content is meant to be seen at reference white",
        lambda a: a.pooled.content.category == "screen",
        {DO_NOTHING: 1.5},
        {"spline": {"strength": 0.5}},
    ),
    Rule(
        "a picture of one colour has nothing to expand",
        lambda a: _severity(a, "meaningless_solid_color") is not None,
        {DO_NOTHING: 2.0},
    ),
    Rule(
        "a dark picture's few highlights are found per shot, and its shadows stay where they are",
        _is_dark,
        {"spline": 0.2, "bt2446a": 0.1, "bt2446c": -0.2},
    ),
    Rule(
        "clipped highlights hold no detail, so a small expansion is safer",
        _is_clipped,
        {"bt2446b": 0.5, "bt2446a": -0.3, "spline": -0.1},
        {"spline": {"strength": 0.7}},
    ),
    Rule(
        "highlights and contrast are intact, as in graded film",
        _has_intact_grade,
        {"bt2446a": 0.25},
    ),
    Rule(
        "the picture is bright all over, and large bright areas should not glare",
        lambda a: a.pooled.luminance.brightness == "very_high",
        {"bt2446b": 0.2, DO_NOTHING: 0.2, "bt2446a": -0.2},
    ),
    Rule(
        "a face darker than its surround must not be dazzled by it",
        lambda a: a.pooled.luminance.face_surround == "darker",
        {"bt2446b": 0.1, "bt2446a": -0.2},
    ),
    Rule(
        "noise and coding defects grow with the highlights",
        _is_damaged,
        {"bt2446b": 0.2, "bt2446a": -0.2},
    ),
)


def make_plan(
    analysis: Analysis,
    specs: Sequence[ModelSpec],
    profile: Profile,
    pinned_model: str | None = None,
    controls: Controls | None = None,
    unavailable: Mapping[str, str] | None = None,
    mode: Literal["greedy", "explore"] = "greedy",
) -> Plan:
    """What to restore, and which models to try in which order, each with a plain reason.

    `specs` is the catalogue of both tasks. A `pinned_model` is the only one tried, beside `direct203`; UsageError
    names the allowed ids when it is not an SDR-to-HDR model. `controls` are what the caller asked for in so many
    words: with them the rules leave the peak alone; without, they may lower the profile's. `Candidate.parameters`
    holds only what differs from the job's controls. `unavailable`: models that cannot run here, with the reason each
    is given; they are never chosen. Models dearer than the profile's `max_cost` are left to a caller who names them.
    Probabilities sum to 1 over the eligible.
    """
    ids = [spec.id for spec in specs if spec.task == "sdr2hdr"]
    if pinned_model is not None and pinned_model not in ids:
        raise UsageError(f"there is no SDR-to-HDR model {pinned_model!r}; choose one of {', '.join(ids)}")
    if DO_NOTHING not in ids:
        raise UsageError(f"the catalogue holds {', '.join(ids) or 'nothing'}; {DO_NOTHING} must be among it: add it")
    by_id = {spec.id: spec for spec in specs}
    matching = [rule for rule in RULES if rule.applies(analysis)]
    scores = {i: _score(i, matching, profile) for i in ids}
    ranked = sorted(ids, key=lambda model_id: -scores[model_id])
    barred = _barred(by_id, ids, profile, pinned_model, unavailable or {})
    eligible = _eligible([i for i in ranked if i not in barred], profile.shortlist_size, pinned_model)
    lower_peak = None if controls else _lower_peak(analysis, profile)
    probabilities = _probabilities(eligible, "greedy" if pinned_model else mode)
    inside = tuple(
        Candidate(
            model_id=model_id,
            eligible=True,
            reason=_reason(model_id, matching, pinned_model, profile),
            parameters=_parameters(by_id[model_id], matching, lower_peak),
            probability=probabilities[model_id],
        )
        for model_id in eligible
    )
    outside = tuple(
        Candidate(
            model_id=i,
            eligible=False,
            reason=barred.get(i)
            or _reason_out(i, [r for r in ranked if r not in barred], profile, pinned_model, matching),
            probability=0.0,
        )
        for i in ranked
        if i not in eligible
    )
    return Plan(
        policy=POLICY,
        mode="pinned" if pinned_model else mode,
        restore=_restore_steps(analysis, _usable(by_id, profile, unavailable or {})),
        candidates=inside + outside,
    )


def _score(model_id: str, matching: Sequence[Rule], profile: Profile) -> float:
    base = BASE_SCORE.get(model_id, OTHER_MODEL_SCORE) + (PREFERRED_SCORE if model_id in profile.prefer else 0.0)
    return base + sum(rule.scores.get(model_id, 0.0) for rule in matching)


def _barred(
    by_id: Mapping[str, ModelSpec],
    ids: Sequence[str],
    profile: Profile,
    pinned_model: str | None,
    unavailable: Mapping[str, str],
) -> dict[str, str]:
    """Models that take no part, each with its reason."""
    dearest = COST_ORDER.index(profile.max_cost)
    dear = {
        i: f"its cost is {by_id[i].cost_class}, and profile {profile.name} goes up to {profile.max_cost}"
        for i in ids
        if COST_ORDER.index(by_id[i].cost_class) > dearest and i != pinned_model
    }
    return dear | {i: unavailable[i] for i in ids if i in unavailable}


def _usable(by_id: Mapping[str, ModelSpec], profile: Profile, unavailable: Mapping[str, str]) -> dict[str, ModelSpec]:
    """Restoring networks only where they can run and the profile affords them; filters always."""
    dearest = COST_ORDER.index(profile.max_cost)
    return {
        i: spec
        for i, spec in by_id.items()
        if spec.weights is None or (i not in unavailable and COST_ORDER.index(spec.cost_class) <= dearest)
    }


def _eligible(ranked: Sequence[str], shortlist_size: int, pinned_model: str | None) -> list[str]:
    """In rank order; `direct203` is always in and takes no place of the shortlist. A pinned model comes first."""
    if pinned_model is not None:
        return list(dict.fromkeys((pinned_model, DO_NOTHING)))
    best = [model_id for model_id in ranked if model_id != DO_NOTHING][:shortlist_size]
    return [model_id for model_id in ranked if model_id in best or model_id == DO_NOTHING]


def _probabilities(eligible: Sequence[str], mode: Literal["greedy", "explore"]) -> dict[str, float]:
    others = eligible[1:]
    epsilon = EXPLORE_EPSILON if mode == "explore" and others else 0.0
    return {eligible[0]: 1.0 - epsilon, **{model_id: epsilon / len(others) for model_id in others}}


def _lower_peak(analysis: Analysis, profile: Profile) -> float | None:
    """The peak in nits at which a damaged picture is expanded; None where the profile's is right."""
    if not _is_damaged(analysis):
        return None
    return REFERENCE_WHITE_NITS + LOWER_PEAK_SHARE * (profile.peak_nits - REFERENCE_WHITE_NITS)


def _parameters(spec: ModelSpec, matching: Sequence[Rule], lower_peak: float | None) -> dict[str, float]:
    """Of the rules that set the same parameter, the gentlest (smallest) value counts."""
    wanted: dict[str, float] = {}
    for rule in matching:
        for name, value in rule.parameters.get(spec.id, {}).items():
            wanted[name] = min(value, wanted.get(name, value))
    if lower_peak is not None:
        wanted["peak_nits"] = lower_peak
    return {name: value for name, value in wanted.items() if name in spec.parameters}


def _reason(model_id: str, matching: Sequence[Rule], pinned_model: str | None, profile: Profile) -> str:
    if model_id == pinned_model:
        return "asked for by name"
    base = BASE_REASON.get(model_id, "in the catalogue")
    preferred = [f"profile {profile.name} prefers it"] if model_id in profile.prefer else []
    return "; ".join([base, *preferred, *(rule.reason for rule in matching if rule.scores.get(model_id, 0.0) > 0.0)])


def _reason_out(
    model_id: str, ranked: Sequence[str], profile: Profile, pinned_model: str | None, matching: Sequence[Rule]
) -> str:
    if pinned_model is not None:
        return f"{pinned_model} was asked for by name"
    place = [other for other in ranked if other != DO_NOTHING].index(model_id) + 1
    against = [rule.reason for rule in matching if rule.scores.get(model_id, 0.0) < 0.0]
    rank = f"ranked {place}, and profile {profile.name} tries {profile.shortlist_size} beside {DO_NOTHING}"
    return "; ".join([rank, *against])


def _restore_steps(analysis: Analysis, by_id: Mapping[str, ModelSpec]) -> tuple[RestoreStep, ...]:
    """Steps for defects of at least moderate severity, coding defects first; only models of the catalogue given.

    One network takes blocks, ringing and noise together; where it may not run, a filter for each does.
    """
    signals = analysis.pooled_signals
    blocks = f"block grid {signals.blockiness:.1f} times the picture beside it"
    noise = f"noise of {signals.noise_sigma:.1f} 8-bit codes"
    sigma = {"sigma": _no_less_than_seen(analysis, "noise_sigma")}
    if "codec-clean" in by_id and _at_least_moderate(analysis, "blocking_artifacts", "noise"):
        found = sigma | {"compression": float(compression_strength(_no_less_than_seen(analysis, "blockiness")))}
        steps = [("codec-clean", found, f"{blocks}, {noise}")]
    else:
        filters: tuple[tuple[str, DistortionType, dict[str, float], str], ...] = (
            ("deblock", "blocking_artifacts", {}, blocks),
            ("denoise", "noise", sigma, noise),
        )
        steps = [
            (model_id, parameters, reason)
            for model_id, kind, parameters, reason in filters
            if model_id in by_id and _at_least_moderate(analysis, kind)
        ]
    if "deband" in by_id and _at_least_moderate(analysis, "color_banding"):
        steps.append(("deband", {}, f"{signals.banding:.0%} of the smooth area goes up in steps"))
    # Sharpening lifts every other defect too, so it is kept for a picture that is severely soft and nothing else.
    sharpener = next((model_id for model_id in ("clarity", "sharpen") if model_id in by_id), None)
    if not steps and sharpener and _severity(analysis, "low_clarity") == "severe":
        softness = {"softness": float(softness_strength(_no_less_than_seen(analysis, "blur")))}
        steps.append((sharpener, softness, f"blur of {signals.blur:.2f} and no other defect"))
    return tuple(
        RestoreStep(model_id=model_id, parameters=_allowed(by_id[model_id], parameters), reason=reason)
        for model_id, parameters, reason in steps
    )


def _no_less_than_seen(analysis: Analysis, signal: str) -> float:
    """A measured amount, or the least that has the severity which the report gives its distortion.

    A model may see a defect that the measurement misses, as a coder's blocks whose grid was smoothed away.
    """
    measured = float(getattr(analysis.pooled_signals, signal))
    seen = _severity(analysis, dict(DISTORTION_OF)[signal])
    return measured if seen is None else max(measured, SEVERITY[signal][get_args(Severity).index(seen)])


def _allowed(spec: ModelSpec, parameters: dict[str, float]) -> dict[str, float]:
    """Parameters the model knows, held inside its range."""
    limits = {name: spec.parameters[name] for name in parameters if name in spec.parameters}
    return {n: min(limit.maximum, max(limit.minimum, parameters[n])) for n, limit in limits.items()}
