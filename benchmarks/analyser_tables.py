"""The analyser's figures as tables and plots of docs/analyser-quality.md, from the JSON of `agent train eval`.

    python -m benchmarks.analyser_tables docs/analyser-quality.md

reads docs/benchmarks/analyser/<split>-<who>.json and rewrites what stands between `<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.evaluate import FIGURES, Evaluation, Figure

RESULTS = Path("benchmarks/analyser")
"""Beside the page."""
BARS: dict[str, float] = {
    "detection_f1": 0.55,
    "local_f1": 0.30,
    "type_f1": 0.72,
    "key_accuracy": 0.55,
    "severity_within_one": 0.85,
    "level_within_one": 0.85,
    "pristine": 0.65,
    "dynamic_range_exact": 0.55,
    "dynamic_range_within_one": 0.92,
    "valid": 1.0,
}
WHO: dict[str, str] = {
    "signals": "signals only (measured rules)",
    "conv": "plain convolutional net",
    "head": "the model's own cell head",
    "sft": "SFT only",
    "shipped": "SFT, mining, GRPO: **shipped**",
}
SPLITS = ("test", "clips")
ABLATIONS: dict[str, str] = {
    "ablation-sft": "SFT only",
    "ablation-grpo": "GRPO only",
    "ablation-sft-grpo": "SFT, then GRPO",
    "ablation-sft-grpo-unmined": "SFT, then GRPO without mining",
    "ablation-unmerged": "SFT, one question a prompt",
    "ablation-blank": "SFT without diagnostic pictures",
}

Found = Mapping[str, Evaluation]


def read(folder: Path) -> dict[str, Evaluation]:
    """Every evaluation of the folder by its file's name."""
    return {
        path.stem: Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def main_table(found: Found, split: str) -> str:
    """Figures by who answered, with the bar each is held to."""
    who = [name for name in WHO if f"{split}-{name}" in found]
    columns = [found[f"{split}-{name}"] for name in who]
    head = ["figure", "bar", *(WHO[name] for name in who)]
    rows = [
        [FIGURES[figure], f"{bar:.2f}", *(_cell(one.figures[figure], bar) for one in columns)]
        for figure, bar in BARS.items()
    ]
    others = [name for name in FIGURES if name not in BARS and any(one.figures[name].of for one in columns)]
    rows += [[FIGURES[name], "", *(_cell(one.figures[name]) for one in columns)] for name in others]
    frames = ", ".join(f"{one.frames} frames of {one.sources} sources" for one in columns[:1])
    return f"{frames}; 95 % intervals over sources; **bold**: the bar is met.\n\n{_table(head, rows)}"


def type_table(found: Found) -> str:
    """F1 at IoU 0.5 of each type, by who answered."""
    who = [name for name in WHO if f"test-{name}" in found]
    columns = [found[f"test-{name}"].types for name in who]
    kinds = list(dict.fromkeys(kind for one in columns for kind in one))
    rows = []
    for kind in kinds:
        true = max((one[kind].true for one in columns if kind in one), default=0)
        rows.append([kind, str(true), *(_share(one[kind].f1) if kind in one else "-" for one in columns)])
    return _table(["type", "regions", *(WHO[name] for name in who)], rows)


def ablation_table(found: Found) -> str:
    """The runs of equal length, on the test split."""
    names = (
        "detection_f1",
        "local_f1",
        "type_f1",
        "key_accuracy",
        "level_within_one",
        "pristine",
        "dynamic_range_exact",
    )
    rows = []
    for who, label in ABLATIONS.items():
        for name, one in found.items():
            if seed := re.fullmatch(rf"test-{who}-seed(\d+)", name):
                rows.append([label, seed[1], *(_cell(one.figures[figure]) for figure in names)])
    return _table(["run", "seed", *(FIGURES[name] for name in names)], rows)


def plot(found: Found, split: str, picture: Path) -> None:
    """Every barred figure by who answered, with intervals and the bar."""
    from matplotlib.figure import Figure as Drawing

    who = [name for name in WHO if f"{split}-{name}" in found]
    figures = [name for name in BARS if name != "valid"]
    drawing = Drawing(figsize=(11, 5), layout="constrained")
    axes = drawing.add_subplot(ylabel="share", ylim=(0, 1))
    for index, name in enumerate(who):
        shown = [found[f"{split}-{name}"].figures[figure] for figure in figures]
        places = [place + (index - (len(who) - 1) / 2) * 0.8 / len(who) for place in range(len(figures))]
        values = [one.value or 0.0 for one in shown]
        below = [
            value - (one.low if one.low is not None else value) for value, one in zip(values, shown, strict=True)
        ]
        above = [
            (one.high if one.high is not None else value) - value for value, one in zip(values, shown, strict=True)
        ]
        axes.bar(places, values, 0.8 / len(who), yerr=[below, above], label=WHO[name].replace("*", ""), capsize=2)
    for place, figure in enumerate(figures):
        axes.hlines(BARS[figure], place - 0.45, place + 0.45, colors="black", linestyles="dashed")
    axes.set_xticks(range(len(figures)), [name.replace("_", "\n") for name in figures])
    axes.set_title(f"{split}: 95 % intervals; dashed: what is asked for")
    axes.legend(fontsize="small")
    drawing.savefig(picture, dpi=90)


def fill(page: str, parts: Mapping[str, str]) -> str:
    """The page with every marked part replaced. ValueError for a part that the page has no marks for."""
    for name, text in parts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(page):
            raise ValueError(f"the page has no part {name}")
        page = marked.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page, count=1)
    return page


def parts_of(found: Found) -> dict[str, str]:
    """What the page shows, by the names of its parts."""
    return {
        **{split: main_table(found, split) for split in SPLITS},
        "types": type_table(found),
        "ablations": ablation_table(found),
    }


def _cell(figure: Figure, bar: float | None = None) -> str:
    if figure.value is None:
        return "-"
    value = _share(figure.value)
    shown = f"**{value}**" if bar is not None and figure.value >= bar else value
    return shown if figure.low is None or figure.high is None else f"{shown} ({figure.low:.2f} to {figure.high:.2f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    found = read(page.parent / RESULTS)
    for split in SPLITS:
        plot(found, split, page.parent / RESULTS / f"{split}.png")
    page.write_text(fill(page.read_text(encoding="utf-8"), parts_of(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
