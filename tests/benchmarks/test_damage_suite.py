"""The damage suite: its split, its damages, its figures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.vqa.registry import GATE_NAMES, GATES
from analysis.vqa.spec import Image, load_limits
from benchmarks.damage import figures, suite
from benchmarks.damage.clips import CALIBRATION, FRAMES, HELD_OUT, MORE_CALIBRATION, Clip, to_nits
from benchmarks.damage.coding import decode, encode
from benchmarks.damage.figures import Share, propose, rounded
from benchmarks.damage.kinds import DAMAGES, GAIN, STRENGTHS, Damage
from benchmarks.damage.overlay import Overlay, add_overlay
from benchmarks.damage.place import Place
from benchmarks.damage.suite import Measured
from benchmarks.damage.tables import every_table
from tests.analysis.vqa.pictures import expanded
from toolchain.color.primaries import luminance_coefficients

HEIGHT, WIDTH = 96, 160
NOT_ASKED_FOR = {"structure"}
"""ColorVideoVDP runs only where a profile asks for it: seconds a frame."""


def _codes(frame: int = 0) -> np.ndarray:
    """Coloured shapes with skin, shadows, a sky and edges; moves with the frame."""
    random = np.random.default_rng(1)
    wide = cv2.GaussianBlur(random.random((HEIGHT, WIDTH + 32, 3)), (0, 0), 5)
    signal = (wide - wide.min()) / (wide.max() - wide.min())
    signal[:40] = np.linspace(0.5, 0.72, WIDTH + 32)[None, :, None] * [0.7, 0.85, 1.0]
    signal[60:, :60] = np.array([0.62, 0.45, 0.36])
    signal[60:, 90:120] = np.linspace(0.02, 0.2, 30)[None, :, None]
    signal[40:50, 60:130:6] = 1.0
    signal[40:] += random.normal(0, 0.002, signal[40:].shape)
    return np.rint(np.clip(signal[:, frame : frame + WIDTH], 0, 1) * 255).astype(np.uint8)


def _clip() -> Clip:
    overlay = Overlay.subtitles((HEIGHT, WIDTH), 0)
    shots = tuple(
        tuple(to_nits(add_overlay(_codes(4 * shot + n), overlay)) for n in range(FRAMES)) for shot in range(2)
    )
    return Clip("drawn", False, shots, None, (overlay, overlay), faces=True)


CLIP = _clip()
GOOD = tuple(
    tuple(overlay.keep(frame, expanded(frame)) for frame in shot)
    for shot, overlay in zip(CLIP.sources, CLIP.overlays, strict=True)
)


def _place(shot: int = 0, frame: int = 0) -> Place:
    sources = CLIP.sources[shot]
    return Place(shot, frame, sources[frame], CLIP.overlays[shot].mask, sources[0], GOOD[shot][0], faces=True)


def _done(damage: Damage, strength: float) -> list[Image]:
    return [damage.apply(GOOD[s][n], _place(s, n), strength) for s in range(2) for n in range(FRAMES)]


def _distance(damaged: list[Image]) -> float:
    good = [frame for shot in GOOD for frame in shot]
    both = zip(damaged, good, strict=True)
    return float(np.mean([np.abs(_stops(after) - _stops(before)).mean() for after, before in both]))


def _stops(nits: Image) -> Image:
    return np.log2(np.nan_to_num(np.maximum(nits, 0), nan=1e4) + 1)


def test_the_split_is_by_title_and_large_enough():
    parts = (CALIBRATION + MORE_CALIBRATION, HELD_OUT)
    calibration, held_out = ({(entry.kind, entry.name) for entry in part} for part in parts)
    assert not calibration & held_out
    assert len(calibration) == len(CALIBRATION) + len(MORE_CALIBRATION) >= 10
    assert len(held_out) == len(HELD_OUT) >= 15


def test_every_gate_is_damaged_and_every_damage_has_a_gate():
    owned = {gate for damage in DAMAGES for gate in damage.gates}
    assert owned == (set(GATE_NAMES) - NOT_ASKED_FOR) | {GAIN}
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_grows_with_its_strength_and_is_the_same_twice(damage: Damage):
    assert damage.suits(GOOD[0][0], _place(), damage.strength("medium"))
    done = {name: _done(damage, damage.strength(name)) for name in STRENGTHS}
    assert 0 < _distance(done["light"]) < _distance(done["medium"]) < _distance(done["severe"])
    again = _done(damage, damage.strength("medium"))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(done["medium"], again, strict=True))
    assert all(frame.dtype == np.float32 and frame.shape == (HEIGHT, WIDTH, 3) for frame in again)


@pytest.mark.parametrize("damage", [d for d in DAMAGES if d.coded], ids=lambda damage: damage.name)
def test_coded_damage_is_light_that_a_signal_can_carry(damage: Damage):
    for frame in _done(damage, damage.strength("severe")):
        assert np.isfinite(frame).all()
        assert frame.min() >= -1e-3


def test_still_damage_does_not_move_and_moving_damage_does():
    for damage in DAMAGES:
        if damage.coded and damage.name not in ("noise", "shot jump"):
            stops = [
                float(np.log2(d.mean() / g.mean()))
                for d, g in zip(_done(damage, damage.strength("severe"))[:FRAMES], GOOD[0], strict=True)
            ]
            assert (np.ptp(stops) > 0.02) == damage.moving, damage.name


def test_graphics_keep_the_sources_light_in_good_results():
    overlay = CLIP.overlays[0]
    kept = overlay.keep(CLIP.sources[0][0], GOOD[0][0])
    inside = overlay.mask == 1
    assert np.allclose(kept[inside], CLIP.sources[0][0][inside], rtol=1e-3, atol=1e-3)
    assert np.array_equal(kept[overlay.mask == 0], GOOD[0][0][overlay.mask == 0])
    assert Overlay.none((HEIGHT, WIDTH)).keep(CLIP.sources[0][0], GOOD[0][0]) is GOOD[0][0]


@pytest.mark.parametrize("encoder", ["x265", "svtav1", "x265-crf12"])
def test_the_encoders_return_what_went_in(encoder):
    frames = [frame for shot in GOOD for frame in shot]
    decoded = decode(encode(frames, encoder))
    assert len(decoded) == len(frames)
    weights = luminance_coefficients("bt2020")
    for before, after in zip(frames, decoded, strict=True):
        ratio = np.log2((after @ weights + 1) / (before @ weights + 1))
        assert np.median(np.abs(ratio)) < 0.05


def test_intervals_are_wilsons():
    assert Share(95, 100).interval == pytest.approx((88.8250, 97.8457), abs=1e-3)
    assert Share(0, 20).interval == pytest.approx((0.0, 16.1125), abs=1e-3)
    assert Share(0, 0).interval == (0.0, 100.0)
    assert str(Share(19, 20)) == "19/20 (95.0 %, 76.4 to 99.1)"


def test_limits_are_rounded_to_let_pass():
    assert rounded(0.0312, up=True) == 0.032
    assert rounded(8.47, up=False) == 8.4
    assert rounded(0.0, up=True) == 0.0
    assert rounded(15.0, up=True) == 15.0


def _row(
    group: str,
    what: str,
    value: float,
    strength: str = "",
    held_out: bool = False,
    clip: str = "a",
    gate: str = "noise",
) -> Measured:
    direction = next(spec.gate_direction for spec in GATES if spec.name == gate)
    result = {"gate": gate, "state": "passed", "value": value, "unit": "", "direction": direction, "detail": ""}
    base = what if group == "clean" else "spline"
    return Measured(clip, held_out, group, what, strength, base, "x265", (result,), (1.0, 0.5, 1.5))


@pytest.mark.parametrize(
    ("clean", "damaged", "limit", "overlap"),
    [
        ((1.0, 1.1), (4.0, 5.0), 1.3, False),  # the reference holds
        ((1.0, 1.5), (4.0, 5.0), 1.7, False),  # the worst clean value and a tenth
        ((0.5, 0.6), (1.0, 1.0), 1.0, False),  # no wider than what is damaged
        ((1.0, 1.5), (1.2, 1.2), 1.7, True),  # nothing parts them: clean results win
    ],
)
def test_the_rule_that_proposes_limits(clean, damaged, limit, overlap):
    rows = [_row("clean", "spline", value) for value in clean]
    rows += [_row("damage", "noise", value, "medium") for value in damaged]
    rows += [_row("clean", "spline", 99.0, held_out=True), _row("damage", "noise", 0.0, "medium", held_out=True)]
    proposal = propose(rows, "noise", "lower")
    assert (proposal.limit, proposal.overlap) == (limit, overlap)


def test_a_limit_without_a_reference_lies_between_clean_and_damaged():
    rows = [_row("clean", "spline", 0.1, gate="sharpness")]
    rows += [_row("damage", "blur", 0.44, "medium", gate="sharpness")]
    assert propose(rows, "sharpness", "lower").limit == 0.22


def test_higher_is_better_turns_the_rule_round():
    rows = [_row("clean", "spline", 88.0, gate="structure_vmaf")]
    rows += [_row("damage", "bent", 20.0, "medium", gate="structure_vmaf")]
    assert propose(rows, "structure_vmaf", "higher").limit == 40.0


def test_want_of_benefit_is_no_false_alarm():
    row = _row("clean", "bt2446a", 99.0, gate="harm")
    assert not figures.rejecting(row, load_limits())
    assert figures.no_benefit(row, load_limits())
    assert figures.rejected_cells([row], load_limits()).total == 0


def test_a_gate_that_rejects_the_undamaged_result_catches_nothing():
    limits = load_limits()
    noise = next(damage for damage in DAMAGES if damage.name == "noise")
    bad, good = limits.noise + 1, limits.noise - 0.1
    rows = [_row("clean", "spline", bad, clip="a"), _row("clean", "spline", good, clip="b")]
    rows += [_row("damage", "noise", bad + 1, "medium", clip=clip) for clip in ("a", "b")]
    caught = figures.catch(rows, noise, "medium", "calibration", limits)
    assert (caught.own.count, caught.own.total, caught.missed) == (1, 2, ("a",))


def test_a_clip_is_measured_once_and_its_tables_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    few = [d for d in DAMAGES if d.name in ("too bright", "flicker", "negative light")]
    monkeypatch.setattr(suite, "DAMAGES", few)
    monkeypatch.setattr(suite, "WAYS", 1)
    monkeypatch.setattr(suite, "renditions_of", lambda clip: ("direct203", "bt2446a"))
    monkeypatch.setattr(suite, "read_clip", lambda *_: CLIP)
    rows = suite.run_clip(CALIBRATION[0], False, 0, tmp_path, tmp_path)
    assert len(rows) == 2 * 2 + 3 * len(few)
    assert {gate["gate"] for gate in rows[0].gates} == {spec.name for spec in GATES}
    monkeypatch.setattr(suite, "read_clip", lambda *_: pytest.fail("measured again"))
    assert suite.run_clip(CALIBRATION[0], False, 0, tmp_path, tmp_path) == rows
    limits = load_limits()
    medium = {row.what: row for row in rows if row.strength == "medium"}
    assert "exposure" in suite.failed_gates(medium["too bright"], limits)
    assert "gamut" in suite.failed_gates(medium["negative light"], limits)
    assert any("too bright" in line for line in every_table(rows, limits))
    assert json.dumps(figures.values_digest(rows))


def test_the_limits_in_force_name_a_run_over_these_clips():
    run = load_limits().calibration
    assert run is not None
    assert run.clips == {"calibration": len(CALIBRATION) + len(MORE_CALIBRATION), "held-out": len(HELD_OUT)}
    assert run.clips_sha256 == figures.clips_digest()
