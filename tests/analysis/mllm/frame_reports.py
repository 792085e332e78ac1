"""Frame reports as hypothesis draws them."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from analysis.mllm.frame_report import CONTRASTS, GRADES, FrameReport, level_of
from analysis.schema import Box, Distortion, DistortionType, Severity

WHOLE: Box = (0, 0, 1000, 1000)


def boxes(limit: int = 1000) -> st.SearchStrategy[Box]:
    """Boxes with an area, in 0..limit, the whole frame among them."""
    side = st.tuples(st.integers(0, limit - 1), st.integers(1, limit)).map(lambda s: (s[0], max(s[0] + 1, s[1])))
    local = st.tuples(side, side).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))
    return st.one_of(st.just((0, 0, limit, limit)), local)


def distortions() -> st.SearchStrategy[Distortion]:
    return st.builds(
        Distortion,
        type=st.sampled_from(get_args(DistortionType)),
        severity=st.sampled_from(get_args(Severity)),
        bbox_1000=boxes(),
    )


@st.composite
def frame_reports(draw: st.DrawFn, most: int = 6, most_keys: int = 2) -> FrameReport:
    """Any valid report with at most so many distortions and key ones; the score lies in its level's band."""
    items = draw(st.lists(distortions(), max_size=most))
    places = st.lists(st.integers(0, max(0, len(items) - 1)), min_size=1, max_size=most_keys, unique=True)
    score = draw(st.floats(1.0, 5.0))
    return FrameReport(
        dynamic_range=draw(st.sampled_from(GRADES)),
        contrast=draw(st.sampled_from(CONTRASTS)),
        distortions=tuple(items),
        key=tuple(sorted(draw(places))) if items else (),
        level=level_of(score),
        score=score,
    )
