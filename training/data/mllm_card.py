"""The card of the analyser's training set, from its manifest."""

from __future__ import annotations

from typing import Any

_TEXT = """# Frames with known damage, for the analyser

Version {version}, {total} samples, SHA-256 of the list of files `{sha256}`.

A sample is a frame measured at native size: the shrunk picture, {statistics} statistics of each of 16 x 9
cells, and the report that a model should give. It was drawn or photographed as an HDR master, graded to SDR,
damaged (every type of the report's but flicker, which no single frame shows; five strengths; over the whole
frame or in one to three boxes that do not overlap; blocks by real coders), now and then cropped, mirrored and
coded lightly. Damage that does not show in a picture was drawn anew or left out. Dynamic range and contrast are
the master's, not the SDR picture's, where `luminance_truth` says `hdr master`. Pictures are split before
anything is done to them; three families of grading curves are in the test alone. Score, level and key
distortion follow the rule in training/data/distortions_score.py: they are simulated, no person gave them.

Limits: most sources are drawn by rules, few are photographs; labels know one cause a distortion; borderline pictures
(a night that is dark by intent, a sky that is flat by nature) are screened out rather than labelled.

{tables}
## Sources and licences

{credits}
"""


def card(manifest: dict[str, Any]) -> str:
    """Markdown."""
    counts = manifest["counts"]
    named = ("samples", "pictures")
    tables = [_table("Samples and distinct pictures", {name: counts[name] for name in named}, down="what")]
    for name in ("layout", "level", "dynamic_range", "contrast", "origin", "distortions"):
        turned: dict[str, dict[str, int]] = {}
        for split, found in counts[name].items():
            for value, number in found.items():
                turned.setdefault(value, {})[split] = number
        tables.append(_table(name.replace("_", " ").capitalize(), turned, down=name))
    return _TEXT.format(
        version=manifest["version"],
        total=sum(counts["samples"].values()),
        sha256=manifest["sha256"],
        statistics=len(manifest["statistics"]),
        tables="\n".join(tables),
        credits="\n".join(f"- {origin}: {credit}" for origin, credit in manifest["credits"].items()),
    )


def _table(title: str, rows: dict[str, dict[str, int]], down: str) -> str:
    splits = sorted({split for row in rows.values() for split in row})
    lines = [f"## {title}", "", f"| {down} | {' | '.join(splits)} |", f"|---{'|---:' * len(splits)}|"]
    lines += [f"| {name} | {' | '.join(str(row.get(split, 0)) for split in splits)} |" for name, row in rows.items()]
    return "\n".join([*lines, ""])
