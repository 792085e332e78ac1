"""Plans made by rules: the shortlist, the reasons, the distribution, and restoration only where it pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import build_report
from analysis.schema import Analysis, Distortion, ShotAnalysis, Signals
from analysis.selection.features import FEATURES_VERSION, features
from analysis.selection.profile import load_profile
from analysis.selection.rules import DO_NOTHING, EXPLORE_EPSILON, make_plan
from toolchain.errors import UsageError
from toolchain.models import registry
from toolchain.models.spec import COST_ORDER, Controls

SPECS = registry.specs()
BALANCED, BEST, FAST = (load_profile(name) for name in ("balanced", "best", "fast"))
CLEAN = Signals(
    stops=8.0, p0_5=0.05, p50=0.4, p99_5=0.9, clipped_share=0.0, crushed_share=0.0, saturation=0.1, blockiness=1.0,
    noise_sigma=0.3, blur=0.3, banding=0.2, flatness=0.05,
)  # fmt: skip


def analysis(**changes):
    measured = CLEAN.model_copy(update=changes)
    report = build_report(measured)
    shot = ShotAnalysis(shot=0, signals=measured, report=report)
    return Analysis(analyser="rules-1", shots=(shot,), pooled_signals=measured, pooled=report)


CONTENT = st.fixed_dictionaries(
    {
        "p50": st.floats(0, 1),
        "p99_5": st.floats(0, 1),
        "clipped_share": st.floats(0, 1),
        "noise_sigma": st.floats(0, 10),
        "blockiness": st.floats(1, 10),
        "banding": st.floats(0, 1),
        "blur": st.floats(0, 1),
        "flatness": st.floats(0, 1),
        "saturation": st.floats(0, 1),
    }
)


@given(CONTENT, st.sampled_from([FAST, BALANCED, BEST]), st.sampled_from(["greedy", "explore"]))
def test_any_plan_is_sound(changes, profile, mode):
    plan = make_plan(analysis(**changes), SPECS, profile, mode=mode)
    eligible = plan.shortlist
    assert plan.candidates[: len(eligible)] == eligible
    assert {item.model_id for item in plan.candidates} == set(registry.model_ids("sdr2hdr"))
    assert DO_NOTHING in [item.model_id for item in eligible]
    dearest = COST_ORDER.index(profile.max_cost)
    affordable = sum(s.task == "sdr2hdr" and COST_ORDER.index(s.cost_class) <= dearest for s in SPECS) - 1
    assert len(eligible) == min(profile.shortlist_size, affordable) + 1
    assert sum(item.probability for item in plan.candidates) == pytest.approx(1.0)
    assert all(item.probability > 0 for item in eligible) or mode == "greedy"
    assert all(item.probability == 0 for item in plan.candidates if not item.eligible)
    assert all(item.reason for item in plan.candidates)
    for item in (*plan.candidates, *plan.restore):
        registry.check_parameters(registry.get_spec(item.model_id), item.parameters)


def test_greedy_takes_the_first_and_explore_gives_the_others_a_share():
    greedy = make_plan(analysis(), SPECS, BALANCED)
    assert [item.probability for item in greedy.shortlist] == [1.0, *[0.0] * BALANCED.shortlist_size]
    explore = make_plan(analysis(), SPECS, BALANCED, mode="explore")
    assert explore.shortlist[0].probability == pytest.approx(1 - EXPLORE_EPSILON)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, "lumen-fixed"),
        ({"p50": 0.1}, "spline"),
        ({"flatness": 0.4, "saturation": 0.3}, "spline"),
        ({"clipped_share": 0.2, "p50": 0.6}, "bt2446b"),
        ({"flatness": 0.8, "saturation": 0.02, "p50": 0.9}, DO_NOTHING),
        ({"p0_5": 0.5, "p50": 0.5, "p99_5": 0.5}, DO_NOTHING),
    ],
)
def test_content_decides_the_order(changes, first):
    assert make_plan(analysis(**changes), SPECS, BALANCED).candidates[0].model_id == first


def test_animation_gets_a_gentle_curve():
    plan = make_plan(analysis(flatness=0.4, saturation=0.3), SPECS, BALANCED)
    assert plan.candidates[0].parameters["strength"] < 1.0


def test_a_damaged_picture_gets_a_lower_peak_unless_the_caller_chose_one():
    noisy = analysis(noise_sigma=3.0)
    free = make_plan(noisy, SPECS, BALANCED)
    assert all(203 < item.parameters["peak_nits"] < 1000 for item in free.shortlist if item.model_id != DO_NOTHING)
    fixed = make_plan(noisy, SPECS, BALANCED, controls=Controls(peak_nits=1000))
    assert all("peak_nits" not in item.parameters for item in fixed.candidates)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, []),
        ({"noise_sigma": 1.2, "banding": 0.6, "blockiness": 2.0}, []),
        ({"noise_sigma": 2.5}, ["denoise"]),
        ({"banding": 0.8}, ["deband"]),
        ({"blockiness": 3.0}, ["deblock"]),
        ({"blockiness": 3.0, "banding": 0.8, "noise_sigma": 3.0}, ["deblock", "denoise", "deband"]),
        ({"blur": 0.9}, ["sharpen"]),
        ({"blur": 0.9, "noise_sigma": 3.0}, ["denoise"]),
    ],
)
def test_restoration_needs_a_moderate_defect(changes, steps):
    assert [step.model_id for step in make_plan(analysis(**changes), SPECS, BALANCED).restore] == steps


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"noise_sigma": 2.5}, {"codec-clean": {"sigma": 2.5}}),
        ({"blockiness": 3.0, "banding": 0.8, "noise_sigma": 3.0}, {"codec-clean": {"sigma": 3.0}, "deband": {}}),
        ({"blur": 0.9}, {"clarity": {}}),
        ({"blur": 0.9, "noise_sigma": 3.0}, {"codec-clean": {"sigma": 3.0}}),
    ],
)
def test_where_networks_may_run_they_take_the_filters_place_at_measured_strengths(changes, steps):
    found = make_plan(analysis(**changes), SPECS, BEST).restore
    assert [step.model_id for step in found] == list(steps)
    for step in found:
        assert step.parameters.items() >= steps[step.model_id].items()
    networks = dict.fromkeys(("codec-clean", "clarity"), "not installed")
    filters = [step.model_id for step in make_plan(analysis(**changes), SPECS, BEST, unavailable=networks).restore]
    assert filters == [step.model_id for step in make_plan(analysis(**changes), SPECS, BALANCED).restore]
    assert not set(filters) & set(networks)


def test_the_network_is_told_how_much_a_picture_is_compressed():
    told = [
        make_plan(analysis(blockiness=value), SPECS, BEST).restore[0].parameters["compression"] for value in (2.6, 4)
    ]
    assert 0.9 < told[0] < told[1] <= 1


def test_what_a_model_sees_and_the_measurement_misses_is_cleaned_no_less_than_it_says():
    quiet = analysis(noise_sigma=0.5)
    seen = Distortion(type="noise", severity="severe", bbox_1000=(0, 0, 1000, 1000))
    pooled = quiet.pooled.model_copy(update={"distortions": (seen,)})
    plan = make_plan(quiet.model_copy(update={"pooled": pooled}), SPECS, BALANCED)
    assert [(step.model_id, step.parameters) for step in plan.restore] == [("denoise", {"sigma": 4.0})]


def test_denoise_is_told_the_measured_sigma_within_its_range():
    assert make_plan(analysis(noise_sigma=2.5), SPECS, BALANCED).restore[0].parameters == {"sigma": 2.5}
    limit = registry.get_spec("denoise").parameters["sigma"].maximum
    assert make_plan(analysis(noise_sigma=99.0), SPECS, BALANCED).restore[0].parameters == {"sigma": limit}


def test_a_model_that_is_not_installed_is_never_chosen_and_says_why():
    missing = dict.fromkeys(("spline", "bt2446a"), "pull it first")
    plan = make_plan(analysis(), SPECS, BEST, unavailable=missing)
    reasons = {item.model_id: item.reason for item in plan.candidates if not item.eligible}
    assert reasons["spline"] == reasons["bt2446a"] == "pull it first"
    assert not set(missing) & {item.model_id for item in plan.shortlist}


def test_a_profile_does_not_try_what_it_cannot_afford_unless_it_is_asked_for_by_name():
    heavy = next(s.id for s in SPECS if s.task == "sdr2hdr" and s.cost_class == "heavy")
    plan = make_plan(analysis(), SPECS, FAST)
    found = next(item for item in plan.candidates if item.model_id == heavy)
    assert not found.eligible
    assert "its cost is heavy, and profile fast goes up to light" in found.reason
    assert make_plan(analysis(), SPECS, FAST, pinned_model=heavy).candidates[0].model_id == heavy


def test_what_a_profile_prefers_leads_unless_the_content_speaks_against_it():
    broadcast = load_profile("broadcast")
    first = make_plan(analysis(), SPECS, broadcast).candidates[0]
    assert first.model_id == "bt2446a"
    assert "profile broadcast prefers it" in first.reason
    screen = analysis(flatness=0.8, saturation=0.02, p50=0.9)
    assert make_plan(screen, SPECS, broadcast).candidates[0].model_id == "direct203"


@pytest.mark.parametrize("pinned", registry.model_ids("sdr2hdr"))
def test_a_pinned_model_is_the_only_one_beside_doing_nothing(pinned):
    plan = make_plan(analysis(), SPECS, BALANCED, pinned_model=pinned, mode="explore")
    assert plan.mode == "pinned"
    assert plan.candidates[0].model_id == pinned
    assert plan.candidates[0].probability == 1.0
    assert {item.model_id for item in plan.shortlist} == {pinned, DO_NOTHING}


@pytest.mark.parametrize("pinned", ["magic", "deband", ""])
def test_pinning_something_else_names_the_allowed(pinned):
    with pytest.raises(UsageError, match="direct203, bt2446a"):
        make_plan(analysis(), SPECS, BALANCED, pinned_model=pinned)


def test_a_catalogue_without_doing_nothing_is_refused():
    with pytest.raises(UsageError, match=DO_NOTHING):
        make_plan(analysis(), [spec for spec in SPECS if spec.id != DO_NOTHING], BALANCED)


def test_plans_repeat():
    assert make_plan(analysis(p50=0.2), SPECS, BEST) == make_plan(analysis(p50=0.2), SPECS, BEST)


@given(CONTENT)
def test_features_are_finite_and_always_the_same_keys(changes):
    values = features(analysis(**changes))
    assert values.keys() == features(analysis()).keys()
    assert all(np.isfinite(value) for value in values.values())
    assert FEATURES_VERSION == "signals-1"
