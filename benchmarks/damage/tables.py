"""The tables of docs/gates.md, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.vqa.registry import GATES
from analysis.vqa.spec import Limits
from benchmarks.damage.figures import (
    SPLITS,
    Share,
    catch,
    clean_rows,
    damage_gates,
    false_alarms,
    no_benefit,
    percentiles,
    propose,
    rejected_cells,
    rejected_outputs,
    rejecting,
    select,
    total_caught,
    value_of,
)
from benchmarks.damage.kinds import DAMAGES, STRENGTHS
from benchmarks.damage.suite import Measured

BETTER = {spec.name: spec.gate_direction for spec in GATES}


def every_table(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """All of them, with headings."""
    for title, table in (
        ("Totals", totals),
        ("Good results, by gate", clean_by_gate),
        ("Good results, by rendition", clean_by_rendition),
        ("False alarms one by one", alarms),
        ("Damage", damage),
        ("Medium damage that is missed", missed),
        ("Limits", limits_table),
    ):
        yield f"### {title}"
        yield ""
        yield from table(rows, limits)
        yield ""


def totals(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """The two bars: false alarms and what is caught, calibration beside held-out."""
    yield from _head("figure", *SPLITS)
    for masters, what in ((False, "catalogue"), (True, "masters")):
        groups = [clean_rows(rows, split, masters) for split in SPLITS]
        yield _row(f"{what}: results rejected by a gate", *(rejected_outputs(group, limits) for group in groups))
        yield _row(f"{what}: (result, gate) cells that fail", *(rejected_cells(group, limits) for group in groups))
        turned_away = (Share(sum(no_benefit(row, limits) for row in group), len(group)) for group in groups)
        yield _row(f"{what}: results turned away for want of benefit", *turned_away)
    for strength in STRENGTHS:
        caught = [total_caught(rows, strength, split, limits) for split in SPLITS]
        for key, how in (("own", "its own gate"), ("any_gate", "any gate"), ("verdict", "any gate, or the gain")):
            yield _row(f"{strength} damage caught by {how}", *(shares[key] for shares in caught))


def clean_by_gate(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """Median, 99.5th percentile and worst value over the catalogue's results, and false alarms."""
    yield from _head(
        "gate", "limit", *(f"{split}: {c}" for split in SPLITS for c in ("p50", "p99.5", "worst", "fails"))
    )
    for name in damage_gates(rows):
        cells = []
        for split in SPLITS:
            group = clean_rows(rows, split, masters=False)
            spread = percentiles(group, name, BETTER[name])
            alarms_ = false_alarms(group, name, limits)
            cells += [*(_number(value) for value in spread or (None, None, None)), f"{alarms_.count}/{alarms_.total}"]
        yield _row(name, _number(getattr(limits, name)), *cells)


def clean_by_rendition(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """Who is rejected, by any gate and by the gain, and by which gates."""
    yield from _head(
        "rendition", "encoder", *(f"{split}: {c}" for split in SPLITS for c in ("rejected", "by", "no benefit"))
    )
    clean = select(rows, lambda r: r.group == "clean")
    for what in dict.fromkeys(row.what for row in clean):
        for encoder in dict.fromkeys(row.encoder for row in clean):
            cells = []
            for split in SPLITS:
                group = [r for r in clean if (r.what, r.encoder, SPLITS[r.held_out]) == (what, encoder, split)]
                by = [name for row in group for name in rejecting(row, limits)]
                worse = sum(no_benefit(row, limits) for row in group)
                named = ", ".join(f"{name} {by.count(name)}" for name in dict.fromkeys(by))
                cells += [str(rejected_outputs(group, limits)), named, f"{worse}/{len(group)}"]
            yield _row(what, encoder, *cells)


def alarms(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """Each good result that is rejected."""
    yield from _head("split", "clip", "rendition", "encoder", "gates")
    for row in rows:
        failed = rejecting(row, limits) if row.group == "clean" else ()
        if failed:
            values = ", ".join(f"{name} {_number(value_of(row, name))}" for name in failed)
            yield _row(SPLITS[row.held_out], row.clip, row.what, row.encoder, values)


def damage(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """Each damage in each strength: its first gate's median value, and what caught it."""
    columns = (f"{split}: {c}" for split in SPLITS for c in ("value", "own gate", "any gate", "with gain"))
    yield from _head("damage", "its gates", "strength", *columns)
    for kind in DAMAGES:
        for strength in STRENGTHS:
            cells = []
            for split in SPLITS:
                c = catch(rows, kind, strength, split, limits)
                shares = (c.own, c.any_gate, c.verdict)
                cells += [_number(c.median), *(f"{share.count}/{share.total}" for share in shares)]
            yield _row(
                kind.name, ", ".join(kind.gates), f"{strength}, {kind.strength(strength):g} {kind.unit}", *cells
            )


def missed(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """The clips on which medium damage passes everything."""
    yield from _head("damage", *SPLITS)
    for kind in DAMAGES:
        names = [catch(rows, kind, "medium", split, limits).missed for split in SPLITS]
        if any(names):
            yield _row(kind.name, *(", ".join(each) or "-" for each in names))


def limits_table(rows: Sequence[Measured], limits: Limits) -> Iterator[str]:
    """What the rule proposes beside what is in force."""
    yield from _head("gate", "clean p99.5", "medium damage p5", "reference", "proposed", "in force", "")
    for name in damage_gates(rows):
        p = propose(rows, name, BETTER[name])
        numbers = (_number(value) for value in (p.clean, p.damaged, p.reference, p.limit, getattr(limits, name)))
        yield _row(name, *numbers, "clean and damaged overlap" if p.overlap else "")


def _head(*cells: object) -> Iterator[str]:
    yield _row(*cells)
    yield "|---" * len(cells) + "|"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.3g}"
