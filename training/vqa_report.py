"""What a judging model's test says: correlations of each head, pairs in the right order, losses by kind of damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.data.vqa_shards import Row
from training.vqa_figures import Values, fitted, interval, ordered_share, plcc, srcc

Answers = Mapping[str, tuple[Sequence[Row], str, Values, int]]
"""Data set -> its rows, its label's name, the scores of all heads (rows, heads), and which head is its own."""


def report(answers: Answers) -> dict[str, object]:
    """Everything `metrics.json` holds. Intervals are [value, lower, upper], 95 %, over titles.

    `heads`: each on its own data set. `clean_over_severe`: pairs of a clean and a severely damaged version of one
    title, by kind.
    """
    return {
        "heads": {name: _head(*answer) for name, answer in answers.items()},
        "clean_over_severe": {
            name: _clean_over_severe(rows, scores) for name, (rows, _, scores, _) in _sets(answers)
        },
    }


def _sets(answers: Answers) -> list[tuple[str, tuple[Sequence[Row], str, Values, int]]]:
    """One entry for each group of label sources on the same clips."""
    seen: dict[tuple[str, ...], str] = {}
    for name, (rows, *_) in answers.items():
        seen.setdefault(tuple(f"{row.title}/{row.version}" for row in rows), name)
    return [(name, answers[name]) for name in seen.values()]


def _head(rows: Sequence[Row], label: str, scores: Values, head: int) -> dict[str, object]:
    """One head on its own data set: a row is a version of a clip, or, of videos with opinion scores, a video."""
    if not rows:
        return {"rows": 0}
    own, labels, titles, kinds = _units(rows, label, scores[:, head])
    found: dict[str, object] = {"rows": len(own), "titles": len(set(titles))}
    found["srcc"] = interval(srcc, own, labels, titles)
    found["plcc"] = interval(plcc, own, labels, titles)
    found["plcc_fitted"] = interval(plcc, fitted(own, labels), labels, titles)
    found["mean_error"] = float(np.mean(np.abs(own - labels)))
    share, pairs = ordered_share(own, labels, titles)
    found["pairs_in_title"] = {"right": share, "pairs": pairs}
    found["by_kind"] = {kind: _kind(own, labels, np.array(kinds) == kind) for kind in sorted(set(kinds))}
    return found


def _units(rows: Sequence[Row], label: str, scores: Values) -> tuple[Values, Values, list[str], list[str]]:
    labels = np.array([row.labels[label] for row in rows])
    if any(row.kind != "opinion" for row in rows):
        return scores, labels, [row.title for row in rows], [row.kind for row in rows]
    titles = sorted({row.title for row in rows})
    at = [[i for i, row in enumerate(rows) if row.title == title] for title in titles]
    means = (np.array([values[i].mean() for i in at]) for values in (scores, labels))
    own, known = means
    return own, known, titles, ["opinion"] * len(titles)


def _kind(scores: Values, labels: Values, of_kind: np.ndarray) -> dict[str, float]:
    own, known = scores[of_kind], labels[of_kind]
    return {
        "rows": len(own),
        "label": float(known.mean()),
        "score": float(own.mean()),
        "mean_error": float(np.abs(own - known).mean()),
        "srcc": srcc(own, known),
    }


def _clean_over_severe(rows: Sequence[Row], scores: Values) -> dict[str, object]:
    """By kind of damage: how many (clean, severe) pairs there are, and the share that the mean of the heads and each
    head puts in order. Clean is the title's master; where an SDR picture was damaged, that picture undamaged too."""
    values = np.column_stack([scores.mean(1), scores])
    at = {(row.title, row.kind): index for index, row in enumerate(rows)}
    right: dict[str, list[np.ndarray]] = {}
    for index, row in enumerate(rows):
        clean = ["master", *(["direct203"] if row.carrier == "direct203" else [])]
        for kind in clean if row.strength == "severe" else []:
            if (row.title, kind) in at:
                right.setdefault(row.kind, []).append(values[at[row.title, kind]] > values[index])
    everything = [pair for found in right.values() for pair in found]
    table = {kind: _shares(found) for kind, found in sorted(right.items())}
    return {"all": _shares(everything), **table} if everything else {}


def _shares(pairs: list[np.ndarray]) -> dict[str, object]:
    shares = np.mean(pairs, axis=0)
    return {"pairs": len(pairs), "right": float(shares[0]), "right_by_head": [float(share) for share in shares[1:]]}
