"""What a model may say of a picture, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from analysis.mllm.frame_report import LEVELS, FrameReport, level_of, middle_score
from analysis.report import QUALITY_LEVELS
from tests.analysis.mllm.frame_reports import frame_reports

NOISE = {"type": "noise", "severity": "minor", "bbox_1000": (0, 0, 500, 500)}
GRADED = {"dynamic_range": "high", "contrast": "medium", "level": "good", "score": 3.8}
GOOD = {**GRADED, "distortions": (NOISE,), "key": (0,)}


@settings(deadline=None)
@given(frame_reports(most=16, most_keys=16))
def test_the_json_of_a_report_reads_back_strictly(report: FrameReport) -> None:
    assert FrameReport.model_validate_json(report.model_dump_json(), strict=True) == report


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"distortions": ({**NOISE, "bbox_1000": (500, 0, 500, 500)},)}, "x0 < x1"),
        ({"distortions": ({**NOISE, "bbox_1000": (0, 0, 500, 1001)},)}, "<= 1000"),
        ({"distortions": ({**NOISE, "bbox_1000": (-1, 0, 500, 500)},)}, "0 <="),
        ({"distortions": (NOISE,) * 17}, "16 items"),
        ({"distortions": ()}, "not ascending indices"),
        ({"key": ()}, "at least one key"),
        ({"key": (1,)}, "not ascending indices"),
        ({"key": (0, 0)}, "not ascending indices"),
        ({"key": (-1,)}, "not ascending indices"),
        ({"level": "poor"}, "more than one level"),
        ({"score": 5.1}, "less than or equal to 5"),
        ({"contrast": "very_high"}, "'low', 'medium' or 'high'"),
        ({"remark": "nice"}, "not permitted"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(change: dict[str, object], complaint: str) -> None:
    FrameReport.model_validate(GOOD)
    with pytest.raises(ValidationError, match=complaint):
        FrameReport.model_validate(GOOD | change)


def test_the_levels_have_the_bands_of_the_rules() -> None:
    """One scale in the product: a score means the same level whether rules or a model gave it."""
    for limit, name in QUALITY_LEVELS:
        assert level_of(limit) == name
        assert level_of(limit - 1e-6) == LEVELS[LEVELS.index(name) - 1]
    assert [level_of(score) for score in (1.0, 1.79, 5.0)] == ["bad", "bad", "excellent"]
    assert [middle_score(level) for level in LEVELS] == [1.4, 2.2, 3.0, 3.8, 4.6]
    assert all(level_of(middle_score(level)) == level for level in LEVELS)
