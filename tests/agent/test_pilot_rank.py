"""The order in which the pilot's candidates are rendered."""

from __future__ import annotations

import pytest

from agent.tasks.pilot import rank
from analysis.schema import Verdict


def _verdict(model_id: str, outcome: str, gain: float = 0.0) -> Verdict:
    return Verdict(model_id=model_id, outcome=outcome, gain=gain, gates=(), reason="")  # type: ignore[arg-type]


def test_accepted_models_come_by_falling_gain_and_equals_in_their_order():
    verdicts = [_verdict("a", "accept", 1), _verdict("b", "reject", 9), _verdict("c", "accept", 2)]
    verdicts += [_verdict("d", "accept", 1), _verdict("direct203", "accept_no_gain")]
    assert rank(verdicts, pinned=False) == ("c", "a", "d")


@pytest.mark.parametrize(
    ("outcome", "pinned", "ranking"),
    [("accept_no_gain", True, ("direct203",)), ("accept_no_gain", False, ()), ("reject", True, ())],
)
def test_doing_nothing_is_rendered_only_when_pinned_and_sound(outcome: str, pinned: bool, ranking: tuple[str, ...]):
    assert rank([_verdict("direct203", outcome)], pinned) == ranking
