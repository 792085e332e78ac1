"""The analyser's tables: figures, bars and intervals where they belong; the page is what the results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.analyser_tables import (
    BARS,
    RESULTS,
    ablation_table,
    fill,
    main_table,
    parts_of,
    plot,
    read,
    type_table,
)
from training.evaluate import FIGURES, Evaluation, Figure, TypeFigure

PAGE = Path(__file__).parents[2] / "docs" / "analyser-quality.md"


def _evaluation(value: float) -> Evaluation:
    figures = {name: Figure(value=value, low=value - 0.1, high=value + 0.1, of=7) for name in FIGURES}
    figures["choice_regret"] = Figure(value=None, low=None, high=None, of=0)
    return Evaluation(
        frames=7, sources=3, figures=figures, types={"noise": TypeFigure(true=4, found=3, hits=2, f1=4 / 7)}
    )


def test_a_bar_that_is_met_is_bold_and_none_other() -> None:
    text = main_table({"test-signals": _evaluation(0.5), "test-shipped": _evaluation(0.6)}, "test")
    row = next(line for line in text.splitlines() if line.startswith("| detection F1"))
    assert row.split(" | ")[1:] == ["0.55", "0.500 (0.40 to 0.60)", "**0.600** (0.50 to 0.70) |"]
    assert "7 frames of 3 sources" in text
    assert sum(f"| {BARS[name]:.2f} |" in text for name in BARS) == len(BARS)


def test_types_ablations_and_plot(tmp_path: Path) -> None:
    found = {"test-shipped": _evaluation(0.6), "test-ablation-sft-seed0": _evaluation(0.3)}
    assert "| noise | 4 | 0.571 |" in type_table(found)
    assert "| SFT only | 0 | 0.300 (0.20 to 0.40) |" in ablation_table(found)
    plot(found, "test", tmp_path / "test.png")
    assert (tmp_path / "test.png").stat().st_size > 10_000


def test_only_marked_parts_are_replaced() -> None:
    page = "a\n<!-- test -->\nold\n<!-- end -->\nb\n"
    assert fill(page, {"test": "new"}) == "a\n<!-- test -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="no part clips"):
        fill(page, {"clips": "new"})


def test_the_page_shows_the_results_that_lie_beside_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, parts_of(read(PAGE.parent / RESULTS))) == page
