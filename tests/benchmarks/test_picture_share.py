"""Intervals of shares whose cases come in bundles."""

from __future__ import annotations

from benchmarks.damage.figures import Share
from benchmarks.picture_share import PictureShare


def bundles(right: int, wrong: int, size: int) -> PictureShare:
    """Pictures whose `size` cases all go one way."""
    return PictureShare.of(
        (f"{counts}-{number}", counts)
        for counts, pictures in ((False, right), (True, wrong))
        for number in range(pictures)
        for _ in range(size)
    )


def test_cases_of_one_picture_count_as_little_more_than_one() -> None:
    found = bundles(right=18, wrong=2, size=20)
    low, high = found.interval
    coin_low, coin_high = Share(found.count, len(found.cases)).interval
    assert (found.count, found.pictures) == (40, 20)
    assert low == 0
    assert high > 20
    assert high - low > 2 * (coin_high - coin_low)


def test_the_interval_is_the_same_every_time_and_holds_the_share() -> None:
    found = bundles(right=30, wrong=10, size=3)
    low, high = found.interval
    assert found.interval == (low, high)
    assert low < 25 < high


def test_no_error_among_few_pictures_is_no_proof_of_none() -> None:
    found = bundles(right=10, wrong=0, size=50)
    assert found.interval == Share(0, 10).interval
    assert found.interval[1] > 20
    assert bundles(right=0, wrong=10, size=50).interval[0] < 80
    assert PictureShare.of(()).interval == (0, 100)
