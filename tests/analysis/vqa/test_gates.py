"""Every gate passes what is good and fails what is known to be damaged, at three strengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.vqa.pooling import pooled
from analysis.vqa.registry import GATE_NAMES, GATES
from analysis.vqa.spec import FramePair, JudgeControls, source_nits
from analysis.vqa.view import luminance
from tests.analysis.vqa import damage
from tests.analysis.vqa.pictures import BT709, HEIGHT, WIDTH, Image, expanded, judged, pair, scene, skin_patch
from toolchain.color.pu21 import pu21_decode

AS_EXPECTED = dict.fromkeys(GATE_NAMES, "passed") | {"structure": "not_measured"}
"""ColorVideoVDP takes seconds and measures only where it is asked for."""


def _film(change: Callable[[Image, int, int], Image], good: Callable[[Image], Image] = expanded) -> list[FramePair]:
    """Two shots of three consecutive frames; `change` gets the good output, the shot and the frame."""
    return [
        pair(source := scene(shot, n), change(good(source), shot, n), 3 * shot + n, shot, shot)
        for shot in (0, 1)
        for n in range(3)
    ]


DAMAGE: list[tuple[str, Callable[[Image, int, int, float], Image], tuple[float, float, float]]] = [
    ("exposure", lambda o, s, n, x: o * 2**x, (-1.0, 0.75, 1.0)),
    ("hue_median", lambda o, s, n, x: damage.turned(o, x), (8.0, 12.0, 20.0)),
    ("hue_p95", lambda o, s, n, x: damage.turned(o, x), (8.0, 12.0, 20.0)),
    ("crushing", lambda o, s, n, x: np.where(luminance(o)[..., None] < x, 0, o), (4.0, 8.0, 16.0)),
    ("clipping", lambda o, s, n, x: np.minimum(o, x), (40.0, 80.0, 150.0)),
    ("noise", lambda o, s, n, x: damage.grainy(o, x), (0.06, 0.12, 0.25)),
    ("flicker", lambda o, s, n, x: o * (1 + x * (-1) ** n), (0.05, 0.1, 0.2)),
    ("flicker_tile", lambda o, s, n, x: damage.in_the_middle(o, 1 + x * (-1) ** n), (0.07, 0.1, 0.2)),
    ("shot_jump", lambda o, s, n, x: o * 2 ** (x * s), (0.35, 0.5, 1.0)),
    ("gamut", lambda o, s, n, x: damage.saturated(o, x), (4.0, 6.0, 8.0)),
    ("gamut_p3", lambda o, s, n, x: np.maximum(damage.saturated(o, x), 0), (3.0, 4.0, 6.0)),
    ("unevenness", lambda o, s, n, x: damage.stained(o, x), (0.2, 0.3, 0.4)),
    ("fidelity_median", lambda o, s, n, x: damage.blotched(o, x), (30.0, 40.0, 80.0)),
    ("fidelity_p95", lambda o, s, n, x: damage.blotched(o, x), (10.0, 20.0, 40.0)),
]


@pytest.mark.parametrize(
    ("gate", "change", "strength"),
    [pytest.param(g, c, x, id=f"{g}-{x}") for g, c, strengths in DAMAGE for x in strengths],
)
def test_damage_is_caught(gate: str, change: Callable[..., Image], strength: float):
    result = judged(*_film(lambda o, s, n: change(o, s, n, strength)))[gate]
    assert result.state == "failed", result
    assert result.value is not None
    assert result.limit is not None
    assert result.value > result.limit
    assert result.frames


@pytest.mark.parametrize("good", [lambda x: x, expanded, lambda x: expanded(x, 400.0)], ids=["direct", "1000", "400"])
def test_good_results_pass_every_gate(good: Callable[[Image], Image]):
    results = judged(*_film(lambda output, shot, n: output, good))
    assert {name: gate.state for name, gate in results.items()} == AS_EXPECTED


def test_doing_nothing_measures_nothing_but_zero():
    results = judged(*_film(lambda output, shot, n: output, lambda x: x))
    assert results["noise"].value == 1.0
    assert max(results[spec.name].value or 0.0 for spec in GATES if spec.neutral == 0) < 0.1


@pytest.mark.parametrize(
    ("gate", "change", "strength"),
    [
        *(("sharpness", damage.blurred, sigma) for sigma in (1.0, 1.5, 2.0)),
        *(("sharpness", damage.haloed, amount) for amount in (1.5, 2.0, 3.0)),
        *(("ringing", damage.haloed, amount) for amount in (1.0, 1.5, 3.0)),
    ],
)
def test_damaged_edges_are_caught(gate: str, change: Callable[[Image, float], Image], strength: float):
    source = damage.rich_scene()
    good = expanded(source)
    assert judged(pair(source, good))[gate].state == "passed"
    assert judged(pair(source, change(good, strength)))[gate].state == "failed"


def test_a_steeper_tone_curve_is_neither_sharpness_nor_ringing():
    source = damage.rich_scene()
    for peak_nits in (203.0, 400.0, 1000.0):
        gates = judged(pair(source, expanded(source, peak_nits)))
        assert abs(gates["sharpness"].value or 0) < 0.05
        assert (gates["ringing"].value or 0) < 1


def test_a_grade_that_cut_bright_components_leaves_their_hue_open():
    """A sunset whose red and green were cut at white: the master's orange is no error, the opposite turn is one."""
    signal = np.ones((HEIGHT, WIDTH, 3)) * [0.9, 0.7, 0.55] * np.linspace(0.8, 1, WIDTH)[None, :, None]
    master, graded = source_nits(signal * 1.5, BT709), source_nits(np.minimum(signal * 1.5, 1), BT709)
    assert judged(pair(graded, master))["hue_p95"].state == "passed"
    assert judged(pair(graded, damage.turned(graded, 25) * np.float32(2.5)))["hue_p95"].state == "failed"
    kept = judged(pair(graded, damage.turned(graded, 12)))["hue_p95"]
    assert kept.state == "failed", "what raises no highlight has no such freedom"


def test_shadows_that_lose_two_stops_are_crushed_before_they_are_black():
    source = np.full((HEIGHT, WIDTH, 3), 30, np.float32)
    source[:10] = 0.6
    for left, state in ((0.4, "passed"), (0.2, "failed"), (0.0, "failed")):
        output = source.copy()
        output[:10] *= np.float32(left)
        assert judged(pair(source, output))["crushing"].state == state, left


@pytest.mark.parametrize("codes", [6.0, 8.0, 16.0])
def test_staircases_are_caught_where_the_source_is_smooth(codes: float):
    source = damage.sky(codes=48)
    assert judged(pair(source, expanded(source)))["contours"].state == "passed"
    assert judged(pair(source, damage.stepped(expanded(source), codes)))["contours"].state == "failed"
    both = judged(pair(damage.stepped(source, codes), expanded(damage.stepped(source, codes))))["contours"]
    assert both.state == "passed", "the source's own steps are no fault of the output"


def test_a_flat_top_is_seen_under_an_encoders_overshoot():
    source = damage.rich_scene()
    cut = np.minimum(expanded(source), np.float32(150))
    ringing = (
        cut * np.float32(1.2) ** np.random.default_rng(0).choice([0, 1], cut.shape[:2], p=[0.97, 0.03])[..., None]
    )
    assert judged(pair(source, ringing.astype(np.float32)))["clipping"].state == "failed"


@pytest.mark.parametrize("degrees", [8.0, 12.0, 20.0])
def test_turned_skin_is_caught(degrees: float):
    source = skin_patch()
    assert judged(pair(source, expanded(source)))["skin"].state == "passed"
    assert judged(pair(source, damage.turned(expanded(source), degrees)))["skin"].state == "failed"


@pytest.mark.parametrize("nits", [320.0, 500.0, 800.0])
def test_glaring_text_is_caught(nits: float):
    source, mask = scene(), np.zeros((HEIGHT, WIDTH), np.float32)
    source[70:80, 40:120], mask[70:80, 40:120] = 203, 1
    good, bad = source.copy(), source.copy()
    bad[70:80, 40:120] = nits
    assert judged(FramePair(0, 0, 0, source, good, mask))["graphics"].state == "passed"
    assert judged(FramePair(0, 0, 0, source, bad, mask))["graphics"].state == "failed"


def test_exposure_follows_the_mid_gain_that_was_asked_for():
    source = scene()
    raised = pair(source, source * np.float32(2**0.8))
    assert judged(raised)["exposure"].state == "failed"
    assert judged(raised, controls=JudgeControls(mid_gain_ev=0.8))["exposure"].value == pytest.approx(0, abs=0.02)
    free = judged(raised, controls=JudgeControls(mid_gain_ev=None))["exposure"]
    assert (free.state, free.value) == ("passed", 0.0)
    assert "left to the model" in free.detail


@pytest.mark.parametrize("mid_gain_ev", [-2.0, -1.0, 0.5, 2.0])
def test_an_exposure_that_was_asked_for_fails_no_gate(mid_gain_ev: float):
    frames = _film(lambda output, shot, n: output * np.float32(2**mid_gain_ev), lambda source: source)
    results = judged(*frames, controls=JudgeControls(mid_gain_ev=mid_gain_ev))
    assert {name: gate.state for name, gate in results.items()} == AS_EXPECTED


def test_dark_tones_are_crushed_by_more_than_was_asked_for():
    source = np.full((HEIGHT, WIDTH, 3), 0.3, np.float32)
    asked = JudgeControls(mid_gain_ev=-2)
    assert judged(pair(source, source * np.float32(0.06)), controls=asked)["crushing"].value == 0
    assert judged(pair(source, source * np.float32(0.06)))["crushing"].state == "failed"
    assert judged(pair(source * 4, source * np.float32(0.06)), controls=asked)["crushing"].state == "failed"


def test_grain_counts_beyond_what_the_exposure_makes_of_it():
    source = np.maximum(damage.grainy(np.full((HEIGHT, WIDTH, 3), 2, np.float32), 0.1), 0)
    asked = JudgeControls(mid_gain_ev=2)
    assert judged(pair(source, source * 4), controls=asked)["noise"].value == pytest.approx(1)
    assert judged(pair(source, damage.grainy(source * 4, 0.3)), controls=asked)["noise"].state == "failed"


def test_a_raised_black_frame_is_no_exposure():
    black = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    assert judged(pair(black, black))["exposure"].value == 0
    assert judged(pair(black, black + 1))["exposure"].state == "failed"


def test_what_cannot_go_wrong_passes_and_what_was_not_seen_is_not_measured():
    grey = np.full((HEIGHT, WIDTH, 3), 30, np.float32)
    results = judged(FramePair(0, 0, 0, grey, grey))
    assert (results["shot_jump"].state, results["shot_jump"].detail) == ("passed", "no cut")
    assert results["skin"].state == results["hue_median"].state == "passed"
    assert {name for name, gate in results.items() if gate.state == "not_measured"} == {
        "flicker",
        "flicker_tile",
        "graphics",
        "structure",
    }


def test_no_frames_measure_nothing_that_could_be_wrong():
    results = judged()
    assert results["fidelity_p95"].state == results["shot_jump"].state == results["flicker"].state == "not_measured"


def test_broken_numbers_fail_the_gamut_gate():
    source = scene()
    broken = source.copy()
    broken[10:20, 10:20] = np.nan
    broken[30:40, 10:20] = np.inf
    results = judged(pair(source, broken))
    assert results["gamut"].state == "failed"
    assert all(gate.value is None or np.isfinite(gate.value) for gate in results.values())


def test_a_moving_picture_does_not_flicker_under_a_static_curve():
    frames = [scene(3, 8 * n) for n in range(6)]
    assert judged(*(pair(f, expanded(f), n) for n, f in enumerate(frames)))["flicker"].value < 0.005  # type: ignore[operator]


@settings(max_examples=25, deadline=None)
@given(
    source=st.floats(0, 250, width=32),
    output=st.floats(0, 10000, width=32),
    size=st.sampled_from([(1, 1), (1, 7), (9, 16), (17, 33)]),
)
def test_flat_frames_never_give_nan(source: float, output: float, size: tuple[int, int]):
    flat = [np.full((*size, 3), value, np.float32) for value in (source, output)]
    results = judged(pair(flat[0], flat[1], 0), pair(flat[0], flat[1], 1))
    assert all(gate.value is None or np.isfinite(gate.value) for gate in results.values())


def _lamp(number: int) -> Image:
    """A dark scene into which a lamp is carried."""
    picture = scene() * np.float32(0.2)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture[((y - 40) ** 2 + (x - 60 - 4 * number) ** 2 < 400) & (number > 1)] = 180
    return picture


@pytest.mark.parametrize(
    "frame",
    [
        _lamp,
        lambda number: scene() * np.float32((number / 5) ** 2.4),
        lambda number: scene() * np.float32((1 - number / 5) ** 2.4),
    ],
    ids=["a lamp comes in", "fade in", "fade out"],
)
def test_tones_that_come_or_go_do_not_flicker_under_a_static_curve(frame: Callable[[int], Image]):
    gates = judged(*(pair(frame(number), expanded(frame(number)), number) for number in range(6)))
    assert (gates["flicker"].value or 0) < 0.005
    assert (gates["flicker_tile"].value or 0) < 0.02


def test_flicker_is_seen_in_a_fade():
    fade = [scene() * np.float32((number / 5) ** 2.4) for number in range(6)]
    gates = judged(*(pair(one, expanded(one) * np.float32(1 + 0.1 * (-1) ** n), n) for n, one in enumerate(fade)))
    assert gates["flicker"].state == gates["flicker_tile"].state == "failed"


def test_a_stair_of_small_steps_has_a_sharpness():
    """Seen coarsely the middle of the tread is an edge, and the only one; by itself it has no slope."""
    units = np.full(101, 150.0)
    units[49:52] += 10.3
    units[52:] += 20.6
    stair = np.broadcast_to(pu21_decode(units)[None, :, None], (40, 101, 3)).astype(np.float32)
    assert judged(pair(stair, stair))["sharpness"].value is not None


@pytest.mark.parametrize("direction", ["lower", "higher"])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_shot_without_a_number_fails_wherever_it_stands(broken: int, direction: Literal["lower", "higher"]):
    values = {shot: [(float("nan") if shot == broken else 1.0, shot)] for shot in (0, 1)}
    result = pooled("banding", "CAMBI", values, 1.0, direction=direction)
    assert (result.state, result.frames) == ("failed", (broken,))
