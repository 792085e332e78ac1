"""The percentile scale: exact at the benchmark's own scores, monotone, bounded, and only for its own model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.vqa import shipped
from analysis.vqa.scale import (
    STORED_STEPS,
    PercentileMap,
    Thresholds,
    benchmark_hash,
    build_map,
    conformal_half_width,
    dkw_half_width_points,
    load_map,
    mid_rank_percentiles,
    shipped_map,
)
from toolchain.errors import AgentError, InputError, UsageError

MODEL, PREPROCESSING = "a" * 64, "b" * 64
SCORES = st.lists(st.one_of(st.integers(0, 12).map(float), st.floats(0, 100)), min_size=1, max_size=60)


def made(scores: list[float], **options: object) -> PercentileMap:
    by_digest = {f"{number:064x}": score for number, score in enumerate(scores)}
    return build_map(by_digest, MODEL, PREPROCESSING, command="test", version="0", **options)  # type: ignore[arg-type]


@given(SCORES)
def test_a_score_of_the_benchmark_has_its_mid_rank(scores: list[float]) -> None:
    scale = made(scores)
    for score in scores:
        below, equal = sum(other < score for other in scores), scores.count(score)
        mid_rank = sum(range(below + 1, below + equal + 1)) / equal
        assert scale.percentile(score) == pytest.approx(100 * mid_rank / (len(scores) + 1), abs=1e-9)


@given(SCORES, st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_percentiles_rise_with_the_score_and_stay_inside(scores: list[float], asked: list[float]) -> None:
    scale = made(scores)
    places = [scale.place(score) for score in sorted(asked)]
    percentiles = [place.percentile for place in places]
    assert percentiles == sorted(percentiles)
    for place in places:
        assert 0 <= place.low <= place.percentile <= place.high <= 100
        assert 0 < place.percentile < 100


@given(SCORES)
def test_a_map_survives_its_file(scores: list[float]) -> None:
    scale = made(scores, score_half_width=2.5)
    assert PercentileMap.model_validate_json(scale.model_dump_json()) == scale


def test_between_two_stored_quantiles_the_percentile_is_linear() -> None:
    scale = made([10.0, 20.0, 40.0])
    assert [scale.percentile(score) for score in (10, 15, 20, 25, 40)] == [25.0, 37.5, 50.0, 56.25, 75.0]


def test_tails_are_clamped_and_flagged() -> None:
    scale = made([10.0, 20.0, 40.0])
    below, inside, above = scale.place(9.9), scale.place(10.0), scale.place(41.0)
    assert (below.percentile, below.tail, below.low) == (25.0, "below", 0.0)
    assert (inside.percentile, inside.tail) == (25.0, "inside")
    assert (above.percentile, above.tail, above.high) == (75.0, "above", 100.0)


@pytest.mark.parametrize(("n", "points"), [(200, 9.6), (1000, 4.3), (150_000, 0.35)])
def test_dkw_half_widths_are_the_published_ones(n: int, points: float) -> None:
    assert dkw_half_width_points(n) == pytest.approx(points, abs=0.05 if n < 150_000 else 0.005)


def test_one_video_says_nothing_with_certainty() -> None:
    place = made([50.0]).place(50.0)
    assert (place.percentile, place.low, place.high, place.dkw_points) == (50.0, 0.0, 100.0, 100.0)
    assert place.uncertain


def test_a_benchmark_of_equal_scores_has_one_percentile_and_no_certain_word() -> None:
    scale = made([7.0] * 400)
    assert (scale.scores, scale.percentiles, scale.n) == ((7.0,), (50.0,), 400)
    assert [scale.place(score).percentile for score in (6.0, 7.0, 8.0)] == [50.0] * 3
    assert [scale.place(score).uncertain for score in (6.0, 7.0, 8.0)] == [True, False, True]


def test_words_are_certain_away_from_the_limits_only() -> None:
    scale = made([float(number) for number in range(1, 1000)])  # score s stands at percentile s / 10, +- 4.3 points
    words = {
        score: (scale.place(score).label, scale.place(score).uncertain) for score in (200, 240, 260, 500, 720, 800)
    }
    assert words == {
        200: ("poor", False),
        240: ("poor", True),
        260: ("fair", True),
        500: ("fair", False),
        720: ("fair", True),
        800: ("excellent", False),
    }


def test_the_limits_can_be_chosen_and_belong_to_the_upper_word() -> None:
    scale = made([1.0, 2.0, 3.0], thresholds=Thresholds(poor_below=50, excellent_from=75))
    assert [scale.place(score).label for score in (1.9, 2.0, 2.9, 3.0)] == ["poor", "fair", "fair", "excellent"]
    assert Thresholds().basis.startswith("provisional")
    with pytest.raises(ValidationError):
        Thresholds(poor_below=75, excellent_from=75)


def test_a_scores_own_interval_widens_the_percentiles() -> None:
    scores = [float(number) for number in range(1, 1000)]
    plain, wide = made(scores).place(500.0), made(scores, score_half_width=100.0).place(500.0)
    assert (plain.low, plain.high) == pytest.approx((50 - wide.dkw_points, 50 + wide.dkw_points))
    assert (wide.low, wide.high) == pytest.approx((40 - wide.dkw_points, 60 + wide.dkw_points))
    assert made(scores, score_half_width=400.0).place(500.0).uncertain


def test_split_conformal_takes_the_right_residual() -> None:
    assert conformal_half_width([-float(number) for number in range(1, 20)]) == 19.0  # ceil(20 * 0.95) = 19th of 19
    assert conformal_half_width([float(number) for number in range(1, 100)]) == 95.0
    with pytest.raises(InputError, match="18 residuals are too few"):
        conformal_half_width([1.0] * 18)
    with pytest.raises(InputError, match="not finite"):
        conformal_half_width([math.nan] * 30)


def test_split_conformal_covers_new_residuals() -> None:
    rng = np.random.default_rng(5)
    held = [conformal_half_width(rng.laplace(size=99).tolist()) >= abs(rng.laplace()) for _ in range(2000)]
    assert 0.935 <= np.mean(held) <= 0.965  # 0.95 by construction; 3 standard errors are 0.015


def test_the_dkw_band_holds_the_true_percentile() -> None:
    """Of 400 benchmarks drawn from a known distribution, at least 95 % hold all of it inside their band (97 % do)."""
    rng, asked = np.random.default_rng(6), np.linspace(0.02, 0.98, 25)
    held = 0
    for _ in range(400):
        scale = made(rng.random(100).tolist())
        places = [(scale.place(score), 100 * score) for score in asked]
        held += all(place.low <= truth <= place.high for place, truth in places)
    assert held / 400 >= 0.95


@pytest.mark.parametrize("ties", [False, True])
def test_a_large_benchmark_is_thinned_to_a_tenth_of_a_point(ties: bool) -> None:
    scores = np.random.default_rng(7).gamma(2, 10, 20_000)
    scores = np.concatenate([scores.round(0), scores[:5000]]) if ties else scores
    scale = made(scores.tolist())
    assert len(scale.scores) <= 2 * STORED_STEPS + 2
    distinct, exact = mid_rank_percentiles(scores)
    assert np.interp(distinct, scale.scores, scale.percentiles) == pytest.approx(exact, abs=100 / STORED_STEPS + 1e-9)
    assert (scale.scores[0], scale.scores[-1]) == (scores.min(), scores.max())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="1 of them not finite"):
        made([1.0, bad])
    with pytest.raises(AgentError, match="no percentile"):
        made([1.0, 2.0]).place(bad)
    with pytest.raises(InputError, match="0 scores"):
        made([])


def test_the_benchmarks_hash_knows_files_and_scores_and_no_order() -> None:
    first = {"1" * 64: 1.0, "2" * 64: 2.0}
    assert benchmark_hash(first) == benchmark_hash(dict(reversed(first.items())))
    assert benchmark_hash(first) != benchmark_hash({**first, "2" * 64: math.nextafter(2.0, 3.0)})
    assert benchmark_hash(first) != benchmark_hash({"1" * 64: 1.0, "3" * 64: 2.0})


def test_a_map_is_loaded_for_its_own_model_only(tmp_path: Path) -> None:
    path, scale = tmp_path / "map.json", made([1.0, 2.0])
    path.write_text(scale.model_dump_json())
    assert load_map(path, MODEL, PREPROCESSING) == scale
    with pytest.raises(
        UsageError, match="the model aaaaaaaaaaaa and the model here is cccccccccccc; run `agent vqa cal"
    ):
        load_map(path, "c" * 64, PREPROCESSING)
    with pytest.raises(UsageError, match="the preprocessing bbbbbbbbbbbb and"):
        load_map(path, MODEL, "c" * 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "n: "),
        ({"scores": [2.0, 1.0]}, "rise strictly"),
        ({"percentiles": [50.0, 50.0]}, "rise strictly"),
        ({"percentiles": [50.0]}, "do not fit together"),
        ({"scores": [1.0, "NaN"]}, "finite"),
        ({"scores": [], "percentiles": []}, "at least 1"),
        ({"percentiles": [0.0, 50.0]}, "greater than 0"),
        ({"schema_version": "2.0"}, "1.0"),
        ({"model_hash": "../etc"}, "model_hash"),
        ({"extra": 1}, "extra"),
        ({"thresholds": {"poor_below": 80.0, "excellent_from": 20.0}}, "must be less"),
        ({"score_half_width": -1.0}, "score_half_width"),
    ],
)
def test_a_map_that_is_no_scale_is_refused(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({**made([1.0, 2.0]).model_dump(mode="json"), **change}))
    with pytest.raises(UsageError, match="is not a percentile map") as refused:
        load_map(path, MODEL, PREPROCESSING)
    assert words in str(refused.value)
    assert "calibrate" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)])
def test_a_map_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a percentile map"):
        load_map(path, MODEL, PREPROCESSING)


def test_a_missing_map_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="is not a percentile map"):
            load_map(path, MODEL, PREPROCESSING)


def test_nothing_is_shipped_for_a_model_nobody_has() -> None:
    assert shipped_map("0" * 64, "0" * 64) is None


def test_the_shipped_map_belongs_to_the_shipped_network() -> None:
    from analysis.vqa import bilivqa

    path = Path(shipped.__file__).parent / "percentiles.json"
    if not path.is_file():
        pytest.skip("no percentile map is shipped yet")
    scale = load_map(path, bilivqa.model_hash(), bilivqa.preprocessing_hash())
    assert shipped_map(scale.model_hash, scale.preprocessing_hash) == scale
    assert scale.command.startswith("agent vqa calibrate ")
    assert "/" not in scale.command


def test_a_map_of_more_videos_than_there_are_is_refused(tmp_path: Path) -> None:
    stated = {**json.loads(made([1.0, 2.0]).model_dump_json()), "n": 10**400}
    path = tmp_path / "map.json"
    path.write_text(json.dumps(stated))
    with pytest.raises(UsageError, match="n: "):
        load_map(path, MODEL, PREPROCESSING)
