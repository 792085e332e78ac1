"""The versions of one clip: its master, its SDR picture, what models make of that, and each of them damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.vqa.display import DISPLAY_PEAK_NITS
from toolchain.color.primaries import luminance_coefficients
from toolchain.models.guards import bind_guarded
from toolchain.models.spec import Controls, ShotContext, ShotTone
from training.data.grading import CURVES, grade
from training.data.itm_grades import compensate, mid_gain_ev, sample_recipe
from training.data.masters import roll_off
from training.data.vqa_damages import DAMAGES, STRENGTHS, Strength, damaged
from training.data.vqa_media import HDR, SDR, Clip, expanded
from training.data.vqa_sources import Shot

Model = Literal["lumen-fixed", "lumen-shot", "spline", "bt2446a", "bt2446b", "bt2446c"]
MODELS: tuple[Model, ...] = get_args(Model)
Carrier = Literal["master", "direct203", "model", "expanded"]
"""What is damaged: the HDR master, the SDR picture as shown at 203 nits, a model's rendition, or the SDR picture
before a model expands it."""
CARRIERS: tuple[Carrier, ...] = ("master", "direct203", "model", "expanded")
CARRIER_SHARES = (0.45, 0.2, 0.2, 0.15)
BASE = 1
"""The version that is `direct203`; 0 is the master."""
GOOD_CRF = (10, 18)
NATIVE_SHARE = 0.3
"""Of the renditions by published operators, those at their own mid-tones instead of the SDR picture's."""
SPREAD = 0.15
UNTOUCHED_NITS = 300.0
"""The BT.2390 roll-off to 1000 nits begins above this, whatever the master's peak up to 10000."""
_LUMA_709 = luminance_coefficients("bt709").astype(np.float32)
_NATIVE: tuple[Model, ...] = ("bt2446a", "bt2446b", "bt2446c", "spline")


@dataclass(frozen=True)
class Plan:
    """How one version is made. `damages` have one strength; none: the carrier itself."""

    carrier: Carrier
    model: Model | None = None
    damages: tuple[str, ...] = ()
    strength: Strength | Literal["none"] = "none"

    @property
    def kind(self) -> str:
        return "+".join(self.damages) or self.model or self.carrier


@dataclass(frozen=True)
class Pair:
    """A title's truth: the anchored master in nits within the display's peak, and its SDR signal of 8 bits."""

    master: Clip
    sdr: Clip


def plans(order: int, damages: int, renditions: int, seed: int) -> list[Plan]:
    """The versions of the title that is number `order`: master, direct203, renditions, then damages.

    Kinds and strengths come from shuffled decks that every cell of the table is in once, so that over the titles
    each is drawn equally often. A fifth of the damaged versions have a second damage of the same strength.
    """
    rng = np.random.default_rng([seed, order, 91])
    first = [Plan("master"), Plan("direct203")]
    models: list[Model] = [MODELS[i] for i in _dealt(len(MODELS), order * renditions, renditions, seed)]
    cells: list[tuple[str, Strength]] = [(kind, strength) for kind in DAMAGES for strength in STRENGTHS]
    dealt = [cells[i] for i in _dealt(len(cells), order * damages, damages, seed + 1)]
    return [*first, *(Plan("model", model) for model in models), *(_plan(*cell, rng) for cell in dealt)]


def _dealt(cards: int, start: int, count: int, seed: int) -> list[int]:
    """Cards `start` to `start + count` of one shuffled deck after another."""
    places = range(start, start + count)
    return [
        int(np.random.default_rng([seed, place // cards, 92]).permutation(cards)[place % cards]) for place in places
    ]


def _plan(kind: str, strength: Strength, rng: np.random.Generator) -> Plan:
    damages = [kind]
    if rng.random() < 0.2:
        damages.append(str(rng.choice([other for other in DAMAGES if other != kind])))
    carrier = CARRIERS[int(rng.choice(len(CARRIERS), p=CARRIER_SHARES))]
    if any(DAMAGES[name].hdr_only for name in damages) and carrier in ("direct203", "expanded"):
        carrier = "model"
    model = MODELS[int(rng.integers(len(MODELS)))] if carrier in ("model", "expanded") else None
    return Plan(carrier, model, tuple(damages), strength)


# Making them


def graded_pair(shot: Shot, rng: np.random.Generator) -> Pair:
    """The shot graded to SDR with a curve of its own, and its master anchored: mid-tones as SDR at 203-nit white."""
    master, sdr = shot.master, shot.sdr
    if sdr is None:
        recipe = sample_recipe(rng, CURVES[int(rng.integers(len(CURVES)))], float(master.max()))
        recipe = compensate(recipe, master[len(master) // 2], float(rng.uniform(0.4, 1.0)))
        sdr = np.stack([grade(picture, recipe) for picture in master])
    gain_ev = np.median([mid_gain_ev(sdr[index], master[index]) for index in (4, 16, 28)])
    anchored = _within_peak(master * np.float32(2.0**-gain_ev))
    if rng.random() < 0.4:
        sdr = SDR.coded(sdr, int(rng.integers(*GOOD_CRF)))
    return Pair(anchored, (np.rint(sdr * 255) / 255).astype(np.float32))


def _within_peak(master: Clip) -> Clip:
    """Highlights rolled off to the display's peak; what is dark enough to stay as it is is passed over."""
    if master.max() > DISPLAY_PEAK_NITS:
        bright = master.max(axis=-1) > UNTOUCHED_NITS
        master[bright] = roll_off(master[bright], DISPLAY_PEAK_NITS)
    return master


def rendered(pair: Pair, todo: list[Plan], seed: tuple[int, ...]) -> Iterator[Clip]:
    """Each version in nits, in the order of the plans."""
    for index, plan in enumerate(todo):
        yield _version(pair, plan, np.random.default_rng([*seed, index, 93]))


def _version(pair: Pair, plan: Plan, rng: np.random.Generator) -> Clip:
    medium = SDR if plan.carrier in ("direct203", "expanded") else HDR
    if plan.carrier == "master":
        signal = HDR.signal(pair.master)
    elif plan.carrier == "model":
        signal = _expanded(pair.sdr, plan, rng)
    else:
        signal = pair.sdr
    for kind in plan.damages:
        signal = damaged(signal, medium, kind, _strength(plan), rng, SPREAD)
    if plan.carrier == "expanded":
        return HDR.light(_expanded(signal, plan, rng))
    if plan == Plan("master") or (medium == HDR and not plan.damages and rng.random() < 0.5):
        signal = HDR.coded(signal, int(rng.integers(*GOOD_CRF)))
    return medium.light(signal)


def _strength(plan: Plan) -> Strength:
    if plan.strength == "none":
        raise ValueError(f"{plan.kind} has no strength")
    return plan.strength


def _expanded(sdr: Clip, plan: Plan, rng: np.random.Generator) -> Clip:
    """The PQ signal of the model's rendition, bound to the clip's middle frame."""
    if plan.model is None:
        raise ValueError(f"a version of the carrier {plan.carrier} names a model")
    native = plan.model in _NATIVE and rng.random() < NATIVE_SHARE
    controls = Controls(peak_nits=DISPLAY_PEAK_NITS, mid_gain_ev=None if native else 0.0)
    return expanded(sdr, bind_guarded(plan.model, shot_context(sdr[len(sdr) // 2]), controls))


def shot_context(signal: Clip) -> ShotContext:
    """A shot known by one frame of its SDR signal."""
    shares, _ = np.histogram(signal @ _LUMA_709, bins=256, range=(0.0, 1.0))
    light = SDR.light(signal) / np.float32(203.0)
    tone = ShotTone(histogram=tuple((shares / shares.sum()).tolist()))
    return ShotContext(tone, (light,), (signal.shape[0], signal.shape[1]))
