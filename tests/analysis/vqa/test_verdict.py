"""Verdicts: every outcome, the gains, the interval, and the limits file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.schema import GateResult
from analysis.vqa import gain as gains
from analysis.vqa.judge import Judge
from analysis.vqa.registry import GATE_NAMES, METRICS, make_gates, required_gates, stage_metric
from analysis.vqa.spec import JudgeControls, judge_controls, load_limits, output_nits, source_nits
from analysis.vqa.verdict import Gain, bootstrap_interval, decide, judge_candidate, verify_pairs
from analysis.vqa.view import View, to_ictcp, to_pu21
from tests.analysis.vqa.pictures import BT709, LIMITS, expanded, guarded, pair, scene
from toolchain.color.ictcp import ictcp_from_nits
from toolchain.color.pu21 import pu21_encode
from toolchain.color.transfer import pq_eotf_inverse
from toolchain.errors import AgentError, UsageError
from toolchain.models.spec import Controls

CONTROLS = JudgeControls()


def _film(peak_nits: float = 1000.0, shots: int = 3):
    for number in range(3 * shots):
        source = scene(number // 3, number % 3)
        output = expanded(source, peak_nits) if peak_nits > 203 else source
        yield pair(source, output, number, number // 3, number // 3)


def _gates(**states: str) -> list[GateResult]:
    return [
        GateResult(gate=name, state=states.get(name, "passed"), value=2.0, limit=1.0, unit="stop", frames=(7,))  # type: ignore[arg-type]
        for name in GATE_NAMES
    ]


def test_an_expansion_is_accepted_and_doing_nothing_gains_exactly_zero():
    better = verify_pairs(_film(), "bt2446a", LIMITS, CONTROLS)
    same = verify_pairs(_film(203), "direct203", LIMITS, CONTROLS)
    assert (better.outcome, same.outcome) == ("accept", "accept_no_gain")
    assert better.gain_low is not None
    assert 0 < better.gain_low <= better.gain
    assert same.gain == same.gain_low == same.gain_high == 0


def test_a_copy_under_another_name_is_no_gain_either():
    assert verify_pairs(_film(203), "bt2446a", LIMITS, CONTROLS).outcome == "accept_no_gain"


@pytest.mark.parametrize(
    ("model_id", "gates", "gain", "outcome", "words"),
    [
        ("m", _gates(exposure="failed"), Gain(9, 8, 10, 1), "reject", "exposure 2 stop is over its limit of 1"),
        ("m", _gates(hue_p95="failed"), Gain(9, 8, 10, 1), "reject", "frames 7"),
        ("direct203", _gates(hue_p95="failed", noise="failed"), Gain(0, 0, 0, 1), "accept_no_gain", "hue_p95 2 stop"),
        ("direct203", _gates(hue_p95="failed", skin="not_measured"), Gain(0, 0, 0, 1), "uncertain", "skin"),
        ("direct203", _gates(hue_p95="failed", clipping="failed"), Gain(0, 0, 0, 1), "reject", "clipping"),
        ("direct203", _gates(exposure="failed"), Gain(0, 0, 0, 1), "reject", "exposure"),
        ("direct203", _gates(flicker="failed"), Gain(0, 0, 0, 1), "reject", "flicker"),
        ("direct203", _gates(shot_jump="failed"), Gain(0, 0, 0, 1), "reject", "shot_jump"),
        ("direct203", _gates(gamut="failed"), Gain(0, 0, 0, 1), "reject", "gamut"),
        ("m", _gates(exposure="failed", skin="not_measured"), Gain(9, 8, 10, 1), "reject", "exposure"),
        ("m", _gates(skin="not_measured"), Gain(9, 8, 10, 1), "uncertain", "skin"),
        ("m", _gates()[1:], Gain(9, 8, 10, 1), "uncertain", GATE_NAMES[0]),
        ("direct203", _gates(), Gain(0.3, 0.2, 0.4, 0.1), "accept_no_gain", "Doing nothing"),
        ("m", _gates(), Gain(-5, -6, -4, 1), "reject", "Worse than doing nothing"),
        ("m", _gates(), Gain(-0.5, -2, 1, 1), "accept_no_gain", "No measured improvement"),
        ("m", _gates(), Gain(0.9, 0.8, 1.0, 1), "accept_no_gain", "test-retest noise 1.00"),
        ("m", _gates(), Gain(5, -1, 11, 1), "uncertain", "includes 0"),
        ("m", _gates(), Gain(5, None, None, 1), "uncertain", "interval"),
        ("m", _gates(), Gain(5, 4, 6, 1), "accept", "+5.00 (+4.00 to +6.00)"),
        ("m", _gates(), Gain(np.nan, np.nan, np.nan, 1), "uncertain", "no number"),
    ],
)
def test_every_outcome_and_its_reason(model_id: str, gates: list[GateResult], gain: Gain, outcome: str, words: str):
    assert decide(model_id, gates, gain, "verify")[0] == outcome
    assert words in decide(model_id, gates, gain, "verify")[1]
    assert not decide(model_id, gates, gain, "verify")[1].endswith(".")


def test_doing_nothing_after_restoring_is_excused_nothing():
    """What stands there then is the restoring's doing, not the coding of the file."""
    outcome, words = decide("direct203", _gates(noise="failed"), Gain(0, 0, 0, 1), "verify", restored=True)
    assert outcome == "reject"
    assert "noise 2" in words
    assert decide("direct203", _gates(), Gain(0, 0, 0, 1), "verify", restored=True)[0] == "accept_no_gain"


def test_a_pilot_needs_no_flicker_and_takes_a_single_frame():
    blind = _gates(flicker="not_measured", flicker_tile="not_measured")
    assert decide("m", blind, Gain(5, None, None, 1), "pilot")[0] == "accept"
    assert decide("m", blind, Gain(5, 4, 6, 1), "verify")[0] == "uncertain"
    assert set(required_gates("verify")) - set(required_gates("pilot")) == {"flicker", "flicker_tile"}


def test_no_frames_are_uncertain():
    verdict = verify_pairs([], "m", LIMITS, CONTROLS)
    assert (verdict.outcome, verdict.gain, verdict.metrics) == ("uncertain", 0.0, {})


def _at_exposure(mid_gain_ev: float, model_id: str = ""):
    """Two shots through a model at that exposure, or the source there with nothing done to it."""
    for number in range(4):
        one = pair(source := scene(number // 2, number % 2), source, number, number // 2, number // 2)
        nothing_done = View(one, controls=JudgeControls(mid_gain_ev=mid_gain_ev)).reference.rgb
        output = guarded(model_id, source, mid_gain_ev) if model_id else nothing_done
        yield replace(one, output_nits=output)


@pytest.mark.parametrize("mid_gain_ev", [-2.0, -1.0, 0.3, 0.8, 2.0])
def test_an_exposure_that_was_asked_for_is_neither_gain_nor_harm(mid_gain_ev: float):
    asked = JudgeControls(mid_gain_ev=mid_gain_ev)
    verdict = verify_pairs(_at_exposure(mid_gain_ev), "m", LIMITS, asked)
    assert verdict.outcome == "accept_no_gain", verdict.reason
    assert verdict.gain == verdict.metrics["expected_gain"] == 0


@pytest.mark.parametrize("mid_gain_ev", [-2.0, -1.0, 0.3, 0.5, 0.8, 1.5])
def test_an_expansion_gains_much_the_same_at_any_exposure_that_was_asked_for(mid_gain_ev: float):
    asked = JudgeControls(mid_gain_ev=mid_gain_ev)
    verdict = verify_pairs(_at_exposure(mid_gain_ev, "bt2446a"), "bt2446a", LIMITS, asked)
    assert verdict.outcome == "accept", verdict.reason
    level = verify_pairs(_at_exposure(0, "bt2446a"), "bt2446a", LIMITS, CONTROLS)
    assert 0.5 * level.gain < verdict.gain < 1.5 * level.gain


def test_a_white_that_goes_down_with_the_mid_tones_is_harm():
    darker = [replace(one, output_nits=one.source_nits * np.float32(0.25)) for one in _at_exposure(0)]
    verdict = verify_pairs(darker, "m", LIMITS, JudgeControls(mid_gain_ev=-2))
    assert (verdict.outcome, verdict.gain < 0, verdict.metrics["expected_gain"] < 0) == ("reject", True, True)


@pytest.mark.parametrize("mid_gain_ev", [-1.0, 0.8, 1.5])
def test_where_no_exposure_was_asked_for_the_models_own_is_neither_gain_nor_harm(mid_gain_ev: float):
    verdict = verify_pairs(_at_exposure(mid_gain_ev), "m", LIMITS, JudgeControls(mid_gain_ev=None))
    assert verdict.outcome == "accept_no_gain", verdict.reason
    assert verdict.gain == pytest.approx(0, abs=0.06)


def test_the_reference_of_an_exposure_stays_below_the_peak_and_is_made_once():
    one = pair(scene(), scene())
    controls = JudgeControls(peak_nits=300, mid_gain_ev=2)
    view = View(one, controls=controls)
    assert view.reference.rgb.max() == 300
    assert View(one, view.of_source, controls).reference is view.reference
    assert View(one, view.of_source).reference is view.of_source


def test_doing_nothing_is_held_to_no_exposure():
    asked = Controls(peak_nits=600, mid_gain_ev=0.8)
    assert judge_controls("spline", asked) == JudgeControls(peak_nits=600, mid_gain_ev=0.8)
    held = judge_controls("direct203", asked, single_frame=True)
    assert held == JudgeControls(peak_nits=600, mid_gain_ev=0, single_frame=True)
    assert (
        verify_pairs(_film(203), "direct203", LIMITS, judge_controls("direct203", asked)).outcome == "accept_no_gain"
    )
    assert verify_pairs(_film(203), "direct203", LIMITS, judge_controls("spline", asked)).outcome == "reject"


def test_selection_and_acceptance_are_two_metrics():
    select, accept = stage_metric("pilot"), stage_metric("verify")
    assert select.name != accept.name
    assert select.measure is not accept.measure
    assert [metric.role for metric in METRICS].count("selection") == 1
    assert [metric.role for metric in METRICS].count("acceptance") == 1
    judge = Judge(LIMITS, CONTROLS)
    for one in _film():
        judge.add(one)
    pilot, verify = (judge_candidate("m", judge, stage) for stage in ("pilot", "verify"))  # type: ignore[arg-type]
    assert pilot.gain == pilot.metrics["expected_gain"]
    assert verify.gain == verify.metrics["acceptance_gain"]
    assert pilot.gain != verify.gain


def test_contrast_is_gained_by_highlights_and_lost_by_brightness():
    source = scene()
    louder, expanded_a_little = (View(pair(source, output)) for output in (source * 1.6, expanded(source, 320.0)))
    assert gains.acceptance_gain(louder) < 0 < gains.acceptance_gain(expanded_a_little)
    white = np.full_like(source, 203)
    assert gains.acceptance_gain(View(pair(white, white * 4))) < 0


def test_frames_of_a_window_must_rise_and_shots_may_come_in_any_order():
    pairs = list(_film())
    forward, backward = Judge(LIMITS, CONTROLS), Judge(LIMITS, CONTROLS)
    for one in pairs:
        forward.add(one)
    for one in [*pairs[6:], *pairs[3:6], *pairs[:3]]:
        backward.add(one)
    assert forward.gates() == backward.gates()
    assert forward.metrics() == backward.metrics()
    with pytest.raises(AgentError, match="must rise"):
        forward.add(pairs[0])


def test_the_same_pairs_give_the_same_verdict_with_any_number_of_threads():
    before = cv2.getNumThreads()
    try:
        verdicts = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            verdicts.append(verify_pairs(_film(shots=2), "m", LIMITS, CONTROLS))
    finally:
        cv2.setNumThreads(before)
    assert verdicts[0] == verdicts[1]


def test_units_are_shots_then_windows_then_frames():
    source = scene()
    for places, count in ((((0, 0), (1, 0)), 2), (((0, 0), (0, 1), (0, 1)), 2), (((0, 0), (0, 0), (0, 0)), 3)):
        judge = Judge(LIMITS, CONTROLS)
        for number, (shot, window) in enumerate(places):
            judge.add(pair(source, source, number, shot, window))
        assert judge.units("acceptance_gain").shape == (count,)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_the_interval_lies_within_the_units_and_does_not_change(units: list[float]):
    low, high = bootstrap_interval(np.array(units), 200)
    assert min(units) - 1e-9 <= low <= high <= max(units) + 1e-9
    assert bootstrap_interval(np.array(units), 200) == (low, high)


def test_gate_names_are_those_of_the_gates():
    assert tuple(gate.name for gate in make_gates(LIMITS, CONTROLS)) == GATE_NAMES


def test_tables_agree_with_the_colour_functions():
    nits = np.geomspace(0.006, 9999, 3000).astype(np.float32).reshape(-1, 10, 3)
    assert np.abs(to_pu21(nits) - pu21_encode(nits)).max() < 0.05
    assert np.abs(to_ictcp(nits) - ictcp_from_nits(nits)).max() < 5e-4


def test_constructors_read_signals_in_nits():
    white = np.ones((2, 2, 3))
    assert source_nits(white, BT709) == pytest.approx(203 * np.ones((2, 2, 3)), rel=1e-5)
    assert output_nits(white * pq_eotf_inverse(203.0), "hdr10") == pytest.approx(203 * white, rel=1e-3)
    assert output_nits(white * 0.75, "hlg") == pytest.approx(203 * white, rel=5e-3)
    assert source_nits(white, BT709).dtype == output_nits(white, "hlg").dtype == np.float32


def test_pictures_of_different_sizes_are_our_mistake():
    with pytest.raises(AgentError, match="same size"):
        pair(scene(), scene()[:10])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_limit_switches_its_gate_off(tmp_path: Path, value: float):
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(load_limits().model_dump(mode="json") | {"hue_p95": value}))
    with pytest.raises(UsageError, match=r"hue_p95.*finite"):
        load_limits(path)


@pytest.mark.parametrize("text", ["exposure: 0.5", "[1, 2]", "exposure: [", "\xff"])
def test_unusable_limits_are_refused(tmp_path: Path, text: str):
    path = tmp_path / "limits.yaml"
    path.write_text(text, "latin-1")
    with pytest.raises(UsageError, match="Gate limits") as refused:
        load_limits(path)
    assert "\n" not in str(refused.value)
    assert "further information" not in str(refused.value)
    with pytest.raises(UsageError, match="Gate limits"):
        load_limits(tmp_path / "missing.yaml")
