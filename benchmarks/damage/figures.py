"""From measured values to figures: catch rates, false alarms, and the limits that follow from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor, log10, sqrt

import numpy as np

from analysis.vqa.spec import DO_NOTHING, Limits
from analysis.vqa.verdict import BASELINE_GATES
from benchmarks.damage.clips import entries
from benchmarks.damage.kinds import DAMAGES, GAIN, STRENGTHS, Damage, Strength
from benchmarks.damage.renditions import MASTER
from benchmarks.damage.suite import Measured, failed_gates, worse_than_nothing

SPLITS = ("calibration", "held-out")
REFERENCE: dict[str, float] = {
    "fidelity_median": 5.0,
    "fidelity_p95": 15.0,
    "exposure": 0.5,
    "structure": 8.5,
    "banding": 1.0,
    "clipping": 0.5,
    "crushing": 0.5,
    "noise": 1.3,
    "flicker": 0.03,
    "flicker_tile": 0.06,
    "shot_jump": 0.25,
    "hue_median": 3.0,
    "hue_p95": 6.0,
    "skin": 6.0,
    "gamut": 0.0,
    "gamut_p3": 1.0,
    "graphics": 300.0,
}
"""The limits proposed where the gates were specified. A gate that is not listed had none."""

BENEFIT_GATES = frozenset({"harm"})
"""They ask whether a result is nearer to a graded master than doing nothing, which good renditions are to different
degrees: no damage, so no false alarm either. docs/vqa.md measures them against true masters; here they are counted
beside the gain, and no limit is proposed for them."""

CLEAN_PERCENTILE = 99.5
CLEAN_MARGIN = 1.1
DAMAGE_PERCENTILE = 5.0


@dataclass(frozen=True)
class Share:
    """`count` of `total` with the 95 % interval of Wilson's score."""

    count: int
    total: int

    @property
    def percent(self) -> float:
        return 100 * self.count / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """In percent; 0 to 100 where there is nothing to count."""
        if not self.total:
            return 0.0, 100.0
        z, n, share = 1.959964, self.total, self.count / self.total
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        reach = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return 100 * max(middle - reach, 0.0), 100 * min(middle + reach, 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count}/{self.total} ({self.percent:.1f} %, {low:.1f} to {high:.1f})"

    def as_json(self) -> dict[str, float]:
        """Counts, percent and interval."""
        low, high = self.interval
        rounded = {"percent": self.percent, "low": low, "high": high}
        return {"count": self.count, "total": self.total, **{k: round(v, 2) for k, v in rounded.items()}}


def split_of(row: Measured) -> str:
    """Calibration or held-out."""
    return SPLITS[row.held_out]


def gate_names(rows: Sequence[Measured]) -> tuple[str, ...]:
    """The gates that were measured, in the registry's order."""
    return tuple(gate["gate"] for gate in rows[0].gates)


def damage_gates(rows: Sequence[Measured]) -> tuple[str, ...]:
    """Those of them that look for damage."""
    return tuple(name for name in gate_names(rows) if name not in BENEFIT_GATES)


def value_of(row: Measured, name: str) -> float | None:
    """A gate's value; None where it was not measured."""
    return next(gate["value"] for gate in row.gates if gate["gate"] == name)


def rejecting(row: Measured, limits: Limits) -> tuple[str, ...]:
    """The gates that find damage, as the verdict has it: doing nothing is excused what is the coding's."""
    excused = BENEFIT_GATES | (BASELINE_GATES if row.what == DO_NOTHING else frozenset())
    return tuple(name for name in failed_gates(row, limits) if name not in excused)


def no_benefit(row: Measured, limits: Limits) -> bool:
    """Whether the gain, or a gate about benefit, turns the result away."""
    return worse_than_nothing(row, limits) or bool(BENEFIT_GATES & set(failed_gates(row, limits)))


def select(rows: Iterable[Measured], wanted: Callable[[Measured], bool]) -> list[Measured]:
    """The rows for which `wanted` holds."""
    return [row for row in rows if wanted(row)]


# Good results


def clean_rows(rows: Sequence[Measured], split: str, masters: bool) -> list[Measured]:
    """The catalogue's results of a split, or its masters."""
    return select(rows, lambda r: r.group == "clean" and split_of(r) == split and (r.what == MASTER) == masters)


def rejected_outputs(rows: Sequence[Measured], limits: Limits) -> Share:
    """Results that any gate rejects."""
    return Share(sum(bool(rejecting(row, limits)) for row in rows), len(rows))


def rejected_cells(rows: Sequence[Measured], limits: Limits) -> Share:
    """(Result, gate) pairs in which the gate rejects."""
    names = {gate["gate"] for row in rows for gate in row.gates} - BENEFIT_GATES
    cells = sum(g["gate"] in names and g["state"] != "not_measured" for row in rows for g in row.gates)
    return Share(sum(len(rejecting(row, limits)) for row in rows), cells)


def false_alarms(rows: Sequence[Measured], name: str, limits: Limits) -> Share:
    """Results that this gate rejects."""
    return Share(sum(name in rejecting(row, limits) for row in rows), len(rows))


def percentiles(rows: Sequence[Measured], name: str, better: str) -> tuple[float, float, float] | None:
    """Median, the worst `CLEAN_PERCENTILE` and the worst value of a gate; None where nothing was measured."""
    values = [value for row in rows if (value := value_of(row, name)) is not None]
    if not values:
        return None
    sign = -1.0 if better == "higher" else 1.0
    bad = sign * np.array(values)
    median, high = np.percentile(bad, (50, CLEAN_PERCENTILE))
    return sign * float(median), sign * float(high), sign * float(bad.max())


# Damage


@dataclass(frozen=True)
class Caught:
    """What became of one damage in one strength: how often its own gate, any gate, or gate or gain rejects it."""

    own: Share
    any_gate: Share
    verdict: Share
    median: float | None
    missed: tuple[str, ...]


def catch(rows: Sequence[Measured], damage: Damage, strength: Strength, split: str, limits: Limits) -> Caught:
    """A gate that already rejects the undamaged result earns nothing."""
    chosen = select(
        rows,
        lambda r: (r.group, r.what, r.strength, split_of(r)) == ("damage", damage.name, strength, split),
    )
    before = {(r.clip, r.what): r for r in rows if r.group == "clean" and r.encoder == "x265"}
    own, anyone, verdict, values, missed = [], [], [], [], []
    for row in chosen:
        clean = before[row.clip, row.base]
        new = set(failed_gates(row, limits)) - set(failed_gates(clean, limits))
        worse = worse_than_nothing(row, limits) and not worse_than_nothing(clean, limits)
        own.append(bool(new & set(damage.gates)) or (GAIN in damage.gates and worse))
        anyone.append(bool(new))
        verdict.append(bool(new) or worse)
        values.append(value_of(row, damage.gates[0]) if damage.gates[0] in gate_names(rows) else None)
        if not verdict[-1]:
            missed.append(row.clip)
    known = [value for value in values if value is not None]
    median = float(np.median(known)) if known else None
    total = len(chosen)
    return Caught(
        Share(sum(own), total), Share(sum(anyone), total), Share(sum(verdict), total), median, tuple(missed)
    )


def total_caught(rows: Sequence[Measured], strength: Strength, split: str, limits: Limits) -> dict[str, Share]:
    """Over all damages: by their own gate, by any gate, by the verdict."""
    each = [catch(rows, damage, strength, split, limits) for damage in DAMAGES]
    shares = {
        "own": [c.own for c in each],
        "any_gate": [c.any_gate for c in each],
        "verdict": [c.verdict for c in each],
    }
    return {name: Share(sum(s.count for s in parts), sum(s.total for s in parts)) for name, parts in shares.items()}


# Limits


@dataclass(frozen=True)
class Proposal:
    """A limit, from what is clean and what is damaged among calibration clips. `overlap`: no limit parts the two."""

    gate: str
    clean: float | None
    damaged: float | None
    reference: float | None
    limit: float | None
    overlap: bool


def propose(rows: Sequence[Measured], name: str, better: str) -> Proposal:
    """The reference's limit or the clean results' worst with a margin, whichever is wider, yet no wider than damage
    of medium strength where clean results leave room.

    Worst clean: percentile 99.5 over calibration renditions of the catalogue, times 1.1. Damage: percentile 5 of the
    medium strength of the damages whose first gate this is. Without a reference: their geometric mean.
    """
    sign = -1.0 if better == "higher" else 1.0  # below, larger is always worse
    clean = percentiles(clean_rows(rows, SPLITS[0], masters=False), name, better)
    damaged = [sign * value for value in _medium_values(rows, name)]
    top = float(np.percentile(damaged, DAMAGE_PERCENTILE)) if damaged else None
    reference = REFERENCE.get(name)
    if clean is None:
        return Proposal(name, None, None if top is None else sign * top, reference, reference, overlap=False)
    worst = sign * clean[1]
    least = worst * CLEAN_MARGIN if worst >= 0 else worst / CLEAN_MARGIN
    overlap = top is not None and top < least
    limit = least if reference is None else max(least, sign * reference)
    if top is not None and not overlap:
        limit = min(limit, top) if reference is not None else sign * float(np.sqrt(least * top))
    shown = None if top is None else sign * top
    return Proposal(name, clean[1], shown, reference, rounded(sign * limit, up=sign > 0), overlap)


def _medium_values(rows: Sequence[Measured], name: str) -> list[float]:
    first = {damage.name for damage in DAMAGES if damage.gates[0] == name}
    medium = select(rows, lambda r: not r.held_out and r.what in first and r.strength == STRENGTHS[1])
    return [value for row in medium if (value := value_of(row, name)) is not None]


def rounded(value: float, up: bool) -> float:
    """To two digits, towards letting pass."""
    if value == 0:
        return 0.0
    step = 10.0 ** (floor(log10(abs(value))) - 1)
    return round((ceil if up else floor)(round(value / step, 6)) * step, 10)


# Identity


def clips_digest() -> str:
    """Of the names of the clips and which are held out."""
    names = [(entry.kind, entry.name, held_out) for entry, held_out in entries()]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


def values_digest(rows: Sequence[Measured]) -> str:
    """Of every measured value."""
    return hashlib.sha256(json.dumps([asdict(row) for row in rows]).encode()).hexdigest()[:16]
