"""Why truly better results are not accepted."""

from __future__ import annotations

import pytest

from benchmarks.verifier_error import Judged, Row
from benchmarks.verifier_reasons import gates_that_reject, reason, reasons, table


def judged(
    failed: tuple[str, ...] = (), outcome: str = "reject", truth: str = "better", kind: str = "model"
) -> Judged:
    row = Row(video="v", picture="p", kind=kind, what="spline", gates=(), units={}, psnr_db=0.0, jod=0.0)
    return Judged(row, truth, failed, outcome, 0.0)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (judged(outcome="accept"), "accepted"),
        (judged(("harm",)), "harm alone"),
        (judged(("noise", "harm")), "harm and other gates"),
        (judged(("noise",)), "other gates"),
        (judged(outcome="accept_no_gain"), "no gain"),
        (judged(outcome="reject"), "no gain"),
        (judged(outcome="uncertain"), "doubt"),
    ],
)
def test_every_end_has_one_reason(case: Judged, expected: str) -> None:
    assert reason(case) == expected


def test_only_truly_better_results_are_counted() -> None:
    found = [
        judged(("harm",)),
        judged(("harm", "noise")),
        judged(("noise",), truth="worse"),
        judged(outcome="accept"),
    ]
    assert reasons(found)["model"]["harm alone"] == 1
    assert sum(reasons(found)["model"].values()) == 3
    assert gates_that_reject(found) == {"harm": {"failed": 2, "alone": 1}, "noise": {"failed": 1, "alone": 0}}
    assert any(line.startswith("| model | 1 | 1 | 1 | 0 ") for line in table(found))
