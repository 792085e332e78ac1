"""Why results that are truly better than doing nothing are not accepted, by kind of case."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.verifier_error import Judged

HARM = "harm"
REASONS = ("accepted", "harm alone", "harm and other gates", "other gates", "no gain", "doubt")


def reason(each: Judged) -> str:
    """The one of REASONS that fits the case."""
    if each.outcome == "accept":
        return "accepted"
    if each.failed:
        if HARM not in each.failed:
            return "other gates"
        return "harm alone" if each.failed == (HARM,) else "harm and other gates"
    return "doubt" if each.outcome == "uncertain" else "no gain"


def reasons(found: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """How many truly better results of each kind end in which way."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in found:
        if each.truth == "better":
            counts[each.row.kind][reason(each)] += 1
    return {kind: {name: counted[name] for name in REASONS} for kind, counted in counts.items()}


def gates_that_reject(found: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Of truly better results: how many each gate fails, and how many of them nothing but that gate rejects."""
    failed, alone = Counter[str](), Counter[str]()
    for each in found:
        if each.truth == "better":
            failed.update(each.failed)
            alone.update(each.failed if len(each.failed) == 1 else ())
    return {gate: {"failed": count, "alone": alone[gate]} for gate, count in failed.most_common()}


def table(found: Sequence[Judged]) -> Iterable[str]:
    """Both as Markdown."""
    yield "| truly better | " + " | ".join(REASONS) + " |"
    yield "|---" * (1 + len(REASONS)) + "|"
    for kind, row in reasons(found).items():
        yield f"| {kind} | " + " | ".join(str(row[name]) for name in REASONS) + " |"
    yield ""
    for gate, row in gates_that_reject(found).items():
        yield f"- {gate}: fails {row['failed']}, the only one in {row['alone']}"
